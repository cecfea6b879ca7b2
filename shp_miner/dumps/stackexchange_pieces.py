"""The tables of a Stack Exchange dump in pieces of whole lines, so that several can be cut into rows at once.

A table that does not begin as published ones do, or has a line without an end, comes as it is from there on: a parser
must read it in order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from shp_miner.dumps.stackexchange_blocks import Block, BrokenFileError

#: Bytes of a table that are cut at once, and those without any line's end after which a parser takes over.
AT_ONCE_BYTES = 8 << 20
_LINE_MAX = 64 << 20

#: How published tables begin: a mark of their encoding, a declaration, comments.
_HEAD = (
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\s+version=[\"']1\.0[\"'](?:\s+encoding=[\"']utf-8[\"'])?\s*\?>)?\s*"
    rb"(?:<!--(?:(?!--)[\x20-\x7e\s])*-->\s*)*<%s>\s*"
)


@dataclass(frozen=True)
class Piece:
    """A piece of a table.

    `text` begins at byte `offset` of the table and is whole lines of rows, or for a parser (`is_raw`). The last piece
    of a table is raw; where the file is damaged behind it, `broken` says how.
    """

    table: str
    offset: int
    text: bytes
    is_raw: bool
    is_last: bool = False
    broken: BrokenFileError | None = None


def table_pieces(stream: Iterable[Block], wanted: Collection[str]) -> Iterator[Piece]:
    """The pieces of the `wanted` tables. Damage comes as the last piece, of the table that it is in if it is in one."""
    gathered: _Gathered | None = None
    try:
        for table, data in stream:
            if table not in wanted:
                continue
            gathered = gathered or _Gathered(table)
            if data is None:
                yield from gathered.rest()
                gathered = None
            else:
                yield from gathered.add(data)
    except BrokenFileError as broken:
        if gathered is None:
            yield Piece("", 0, b"", is_raw=True, is_last=True, broken=broken)
        else:
            yield from gathered.rest(broken)


class _Gathered:
    """The bytes of a table that wait to become a piece."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._held: list[bytes | memoryview] = []
        self._size = self._offset = 0
        self._begun = self._is_raw = False

    def add(self, data: bytes) -> Iterator[Piece]:
        """Take bytes; gives the pieces that they complete."""
        self._held.append(data)
        self._size += len(data)
        if self._size < AT_ONCE_BYTES and not self._is_raw:
            return
        end = data.rfind(b"\n") + 1
        if self._begun and not self._is_raw and end:
            # The usual way: what is handed on is put together, and nothing else is copied.
            self._held[-1] = memoryview(data)[:end]
            text = b"".join(self._held)
            self._held, self._size = [data[end:]], len(data) - end
            offset, self._offset = self._offset, self._offset + len(text)
            yield Piece(self._table, offset, text, is_raw=False)
        else:
            yield from self._pieces()

    def rest(self, broken: BrokenFileError | None = None) -> Iterator[Piece]:
        """The pieces of all that is left."""
        if not self._is_raw:
            yield from self._pieces()
        yield Piece(self._table, self._offset, b"".join(self._held), is_raw=True, is_last=True, broken=broken)

    def _pieces(self) -> Iterator[Piece]:
        text = b"".join(self._held)
        start = 0
        if not self._begun and not self._is_raw:
            start = text.find(b"<row")
            self._begun = start >= 0 and bool(re.fullmatch(_HEAD % self._table.encode(), text[:start], re.IGNORECASE))
            self._is_raw = not self._begun
        end = text.rfind(b"\n") + 1
        if self._is_raw or (end <= start and len(text) > _LINE_MAX):
            self._is_raw = True
            start, end = max(start, 0) if self._begun else 0, len(text)
        end = max(start, end)
        self._held = [text[end:]]
        self._size = len(text) - end
        offset, self._offset = self._offset + start, self._offset + end
        if end > start:
            yield Piece(self._table, offset, text[start:end], is_raw=self._is_raw)
