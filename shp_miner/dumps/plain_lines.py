"""JSON of any form as the lines of UTF-8 that readers take: one record a line.

People hand in one array, records over several lines or without anything between them, UTF-16, and the line ends of old
Macs. Blocks of bytes are rewritten as they pass, in bounded memory. Bytes keep their places, so that messages name the
right offset; only text of another encoding moves, and what follows records that nothing separates.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain

#: What may stand before text in UTF-8.
UTF8_MARK = b"\xef\xbb\xbf"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: Bytes at the beginning of a file that tell its form.
LOOKED_AT = 1 << 16
#: Blocks that are not bytes are those of a ring, of which few can be held.
_BLOCKS_LOOKED_AT = 2

#: How an array of records begins. Names of columns may be in brackets, too.
_ARRAY = re.compile(rb"\[\s*(?:[\[{\]]|$)")
#: What matters where values of JSON begin and end.
_TOKENS = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_NO_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def plain_lines(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The blocks of a file, with its records one to a line. Those of files that are so already pass as they are."""
    passing = iter(blocks)
    first: list[bytes | memoryview] = []
    size = 0
    for block in passing:
        first.append(block)
        size += len(block)
        if size >= LOOKED_AT or (len(first) >= _BLOCKS_LOOKED_AT and not isinstance(block, bytes)):
            break
    start = b"".join(bytes(block[:LOOKED_AT]) for block in first)[:LOOKED_AT]
    whole: Iterable[bytes | memoryview] = chain(first, passing)
    encoding = _encoding(start)
    if encoding:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        recoded = (decoder.decode(bytes(block)).encode("utf-8", "replace") for block in whole)
        yield from plain_lines(block for block in recoded if block)
        return
    text = start.removeprefix(UTF8_MARK).lstrip()
    if _has_old_line_ends(start):
        # No string of JSON, and no attribute of XML as programs write it, holds a bare carriage return.
        yield from plain_lines(bytes(block).replace(b"\r", b"\n") for block in whole)
    elif _ARRAY.match(text):
        yield from _Records(1).split(whole)
    elif text.startswith(b"{") and _is_spread(text, ends=size < LOOKED_AT):
        yield from _Records(0).split(whole)
    else:
        yield from whole


def is_in_lines(start: bytes, *, ends: bool) -> bool:
    """Whether `plain_lines` leaves a file that begins with `start` as it is; it `ends` there or goes on."""
    text = start.removeprefix(UTF8_MARK).lstrip()
    if _encoding(start) or _has_old_line_ends(start) or _ARRAY.match(text):
        return False
    return not (text.startswith(b"{") and _is_spread(text, ends=ends))


def _has_old_line_ends(start: bytes) -> bool:
    """Whether lines end as on old Macs."""
    return b"\n" not in start and b"\r" in start.removeprefix(UTF8_MARK).strip()


def _encoding(start: bytes) -> str | None:
    """The encoding of text that is not UTF-8, by its mark or by its zero bytes."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if len(start) > 1 and start[:64].strip(b"\0"):
        # ASCII in UTF-16 has a zero in every other place.
        if not start[1:64:2].strip(b"\0"):
            return "utf-16-le"
        if not start[:64:2].strip(b"\0"):
            return "utf-16-be"
    return None


def _is_spread(text: bytes, *, ends: bool) -> bool:
    """Whether the first line is no record alone: its record goes on in the next line, or another begins in it."""
    first, line_end, rest = text.partition(b"\n")
    is_cut = not line_end and not ends  # a long record, or many without a line end
    line = first.decode("utf-8", "replace")
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return line[error.pos :].lstrip().startswith("{")
        if is_cut:
            return False
        # Of a record that goes on the line ends inside; a damaged line has its fault earlier, and no line after it that
        # cannot begin a record.
        return bool(rest.strip()) and error.pos >= len(line.rstrip()) - 1 and not rest.lstrip().startswith(b"{")
    except (ValueError, RecursionError):
        return False
    return False


class _Records:
    """Puts each value at depth `top` on a line of its own; what is between them becomes blank."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._depth = 0
        self._in_string = self._escaped = self._ended = False

    def split(self, blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
        """The blocks with their line ends moved."""
        for block in blocks:
            yield self._rewritten(bytes(block))
        yield b"\n"

    def _rewritten(self, block: bytes) -> bytes:
        out: list[bytes] = []
        inside = self._depth > self._top
        since = 0  # where the record, or what is between two, began in this block
        begin = 1 if self._escaped else 0
        self._escaped = False
        for found in _TOKENS.finditer(block, begin):
            token = found[0]
            if token[0] == 0x5C or (self._in_string and token != b'"'):
                continue
            if token == b'"':
                self._in_string = not self._in_string
            elif token in b"{[":
                self._depth += 1
                if self._depth == self._top + 1:
                    out.append(self._between(found.start() - since, before=True))
                    since, inside = found.start(), True
            else:
                self._depth -= 1
                if self._depth == self._top and inside:
                    out.append(block[since : found.end()].translate(_NO_LINE_ENDS))
                    since, inside, self._ended = found.end(), False, True
        # A backslash at the end escapes what comes next; it is no token without it.
        tail = len(block[begin:]) - len(block[begin:].rstrip(b"\\"))
        self._escaped = self._in_string and tail % 2 == 1
        rest = block[since:]
        out.append(rest.translate(_NO_LINE_ENDS) if inside else self._between(len(rest), before=False))
        return b"".join(out)

    def _between(self, size: int, *, before: bool) -> bytes:
        """Blanks for what is between two records, with the end of the line of the last one."""
        if not self._ended or (not size and not before):
            return b" " * size
        self._ended = False
        return b"\n" + b" " * (size - 1)
