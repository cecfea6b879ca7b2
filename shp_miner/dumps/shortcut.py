"""The fast path of big dumps: search the raw bytes for the lines worth parsing, and parse only those.

A byte search is many times faster than any parser. It is right only if every line spells the searched key the same way.
Every line is checked by counting: one that does not have the key exactly once is parsed. A share of the blocks is also
parsed in full and compared (`AUDIT_EVERY`), so that an unexpected kind of file stops the import instead of losing rows.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import stringzilla as sz

from shp_miner.dumps.lines import Lines, Places, cut_lines, line_bounds, positions_of

#: One block (of about 1 MiB) in this many is parsed in full and held against the shortcut, the first one included.
AUDIT_EVERY = 256

#: How programs separate a key from its value.
_STYLES = (b":", b": ")

_LINE_END = 0x0A

#: What the id of a parent begins with, and what comes next if the parent is the post.
_PARENT, _POST = b"t", 0x33


class Shortcut:
    """Finds candidate lines in blocks of one file.

    `kind` is "post" or "answer"; `wanted` are lower-case communities, none for all. Candidates are a superset of the
    lines that are kept: parsing them decides.
    """

    def __init__(self, kind: str, wanted: Collection[str], first_block: bytes | memoryview) -> None:
        self._key = b""
        self._names = [name.encode() + b'"' for name in wanted]
        if not wanted and kind == "post":
            return  # every line is wanted: there is nothing to search for
        total = count_lines(first_block)
        for style in _STYLES:
            key = b'"subreddit"' + style + b'"' if wanted else b'"parent_id"' + style + b'"' + _PARENT
            if sz.count(first_block, key) >= total:
                self._key = key
                return

    def candidates(self, offset: int, text: bytes | memoryview) -> Lines | None:
        """Return the block's candidates in order, or None if all its lines must be parsed."""
        if not self._key:
            return None
        if self._names:
            found = _lines_with(text, self._names)
            if sz.count(text, self._key) < count_lines(text):
                starts, ends = line_bounds(text)
                others = np.flatnonzero(_keys_in_lines(text, self._key, ends)[1] == 0)
                found = _united(found, (starts[others], ends[others]))
            return cut_lines(offset, text, *found)
        starts, ends = line_bounds(text)
        keys, count = _keys_in_lines(text, self._key, ends)
        after = np.frombuffer(text, np.uint8)[np.minimum(keys + len(self._key), len(text) - 1)]
        # A line without the key, or with several, may be anything.
        count[np.searchsorted(ends, keys[after == _POST])] = 0
        lines = np.flatnonzero(count != 1)
        return cut_lines(offset, text, starts[lines], ends[lines])


def _keys_in_lines(text: bytes | memoryview, key: bytes, ends: Places) -> tuple[Places, Places]:
    """Where the key stands, and how often in each line."""
    keys = positions_of(text, key)
    return keys, np.bincount(np.searchsorted(ends, keys), minlength=len(ends))


def _united(one: tuple[Places, Places], other: tuple[Places, Places]) -> tuple[Places, Places]:
    """Lines of either, each once and in order."""
    starts, places = np.unique(np.concatenate([one[0], other[0]]), return_index=True)
    return starts, np.concatenate([one[1], other[1]])[places]


def _lines_with(text: bytes | memoryview, names: Collection[bytes]) -> tuple[Places, Places]:
    """Where the lines begin and end that hold any of the names in any letter case, each line once."""
    # Names alone are found faster than with their key before them; a line that has one elsewhere is parsed in vain.
    found = set()
    for name in names:
        position = sz.utf8_uncased_search(text, name)
        while position >= 0:
            start = sz.rfind(text, b"\n", 0, position) + 1
            end = sz.find(text, b"\n", position)
            if end < 0:
                end = len(text)
            found.add((start, end))
            position = sz.utf8_uncased_search(text, name, end)
    spans = np.array(sorted(found), np.int64).reshape(-1, 2)
    return spans[:, 0], spans[:, 1]


def count_lines(text: bytes | memoryview) -> int:
    """Lines of a block; the last one counts without its end too."""
    ends: int = sz.count(text, b"\n")
    return ends + (text[-1] != _LINE_END)
