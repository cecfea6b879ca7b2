"""The shortcut of big dumps: search the raw bytes for the lines worth parsing, and parse only those.

A search of bytes runs many times faster than any parser. It is right only if every line spells the searched key the
same way, which is checked for every block by counting: if the key does not stand once in every line, the block's lines
are parsed one by one. A share of the blocks is also parsed in full and compared (`AUDIT_EVERY`), so that a kind of file
that nobody thought of stops the import instead of losing rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import stringzilla as sz

#: One block (of about 1 MiB) in this many is parsed in full and held against the shortcut, the first one included.
AUDIT_EVERY = 256

#: How programs separate a key from its value.
_STYLES = (b":", b": ")

_LINE_END = 0x0A
_DIRECT, _NESTED = b"t3_", b"t1_"


class Shortcut:
    """Finds candidate lines in blocks of one file.

    `kind` is "post" or "answer"; `wanted` are lower-case communities, none for all. Candidates are a superset of the
    lines that can be kept: the parsed line decides.
    """

    def __init__(self, kind: str, wanted: Collection[str], first_block: bytes | memoryview) -> None:
        self._keys: list[bytes] = []
        self._needles: list[bytes] = []
        total = count_lines(first_block)
        for style in _STYLES:
            if wanted:
                # Names alone are found faster than with their key before them; a line that has one elsewhere is parsed
                # in vain.
                keys, needles = [b'"subreddit"' + style + b'"'], [name.encode() + b'"' for name in wanted]
            elif kind == "answer":
                parent = b'"parent_id"' + style + b'"'
                keys, needles = [parent + _DIRECT, parent + _NESTED], [parent + _DIRECT]
            else:
                return  # every line is wanted: there is nothing to search for
            if sum(sz.count(first_block, key) for key in keys) >= total:
                self._keys, self._needles = keys, needles
                return

    def candidates(self, offset: int, text: bytes | memoryview) -> list[tuple[int, bytes]] | None:
        """(offset, line) of the block's candidates in their order, or None if its lines must be parsed one by one."""
        if not self._needles or sum(sz.count(text, key) for key in self._keys) < count_lines(text):
            return None
        if len(self._needles) == 1:
            return list(self._lines(offset, text, self._needles[0]))
        found = {place: line for needle in self._needles for place, line in self._lines(offset, text, needle)}
        return sorted(found.items())

    @staticmethod
    def _lines(offset: int, text: bytes | memoryview, needle: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines that hold the needle, each once; a community's name may be in any letter case."""
        search = sz.find if needle.startswith(b'"parent_id"') else sz.utf8_uncased_search
        position = search(text, needle)
        while position >= 0:
            start = sz.rfind(text, b"\n", 0, position) + 1
            end = sz.find(text, b"\n", position)
            if end < 0:
                end = len(text)
            yield offset + start, bytes(text[start:end])
            position = search(text, needle, end)


def count_lines(text: bytes | memoryview) -> int:
    """Lines of a block; the last one counts without its end too."""
    ends: int = sz.count(text, b"\n")
    return ends + (text[-1] != _LINE_END)
