"""Many rows of a Stack Exchange table at once: each usual line is cut at its quotes, without an XML parser.

In the published files a row is one line, `  <row Id="1" ... />`. A line is usual if it is just that, in UTF-8, with
none but the common references to characters and nothing that XML forbids; then what stands between its quotes are its
attributes, alternating with their names. All other lines go to the parser of stackexchange_xml, and so does all of a
file that does not begin as published ones do.

    <row Id="1" Body="&lt;p&gt;" />
    -------- - ------ --------- ---      pieces of the line, cut at the quotes
    name  value  name   value   end
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import stringzilla as sz

from shp_miner.dumps.lines import line_bounds, positions_of

#: (byte offset in the XML text, attributes)
Row = tuple[int, dict[str, str]]

#: References to characters that published files have, and what they mean.
_REFERENCES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&amp;": "&", "&#xA;": "\n", "&#xD;": "\r", "&#x9;": "\t"}
_OTHER_REFERENCE = re.compile(rb"&(?!(?:lt|gt|quot|amp|#xA|#xD|#x9);)")
#: Characters that XML forbids although UTF-8 has them.
_NON_CHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_CONTROLS = re.compile(rb"[\x00-\x09\x0b\x0c\x0e-\x1f]|\r(?!\n)")

_FIRST_NAME = re.compile(r"\s*<row ([A-Za-z][A-Za-z0-9]*)=")
_NAME = re.compile(r" ([A-Za-z][A-Za-z0-9]*)=")
_LAST = re.compile(r" ?/>[ \t\r]*")

_Mask = npt.NDArray[np.bool_]
_Places = npt.NDArray[np.int64]


class Columns:
    """Rows of a table whose attributes are asked for by name, as text.

    `offsets` says where each row begins in the XML text.
    """

    def __init__(self, offsets: _Places, pieces: pl.Series, first: _Places, counts: _Places) -> None:
        self.offsets = offsets
        self._pieces, self._first, self._counts = pieces, first, counts
        # Names stand at every other place of a row, but for its end.
        attributes = (counts - 1) // 2
        self._whose = np.repeat(np.arange(len(counts)), attributes)
        begins = np.cumsum(attributes) - attributes
        self._at = np.repeat(first, attributes) + 2 * (np.arange(len(self._whose)) - np.repeat(begins, attributes))
        names = pieces.gather(self._at)
        self.names = names.unique(maintain_order=True).to_list()
        self._codes = names.cast(pl.Enum(self.names)).to_physical().to_numpy()
        self._texts: dict[str, pl.Series] = {}

    def __len__(self) -> int:
        return len(self.offsets)

    def text(self, name: str) -> pl.Series:
        """The attribute of each row, null where a row lacks it."""
        if name not in self._texts:
            here = np.flatnonzero(self._is(name))
            whose = self._whose[here]
            found = pl.Series([None], dtype=pl.String).new_from_index(0, len(self))
            if len(here):
                # Most tables have the same attributes in every row.
                values = _meant(self._pieces.gather(self._at[here] + 1))
                found = values if len(here) == len(self) else found.scatter(whose, values)
            self._texts[name] = found.alias(name)
        return self._texts[name]

    def repeating(self) -> _Mask:
        """Which rows have an attribute twice, which XML forbids."""
        found = np.zeros(len(self), bool)
        for name in {_plain(piece) for piece in self.names}:
            whose = self._whose[self._is(name)]
            found[whose[1:][whose[1:] == whose[:-1]]] = True
        return found

    def before(self, offset: int) -> Columns:
        """The rows before a byte of the XML text."""
        end = int(np.searchsorted(self.offsets, offset))
        return Columns(self.offsets[:end], self._pieces, self._first[:end], self._counts[:end])

    def row(self, index: int) -> Row:
        """One row alone."""
        first, count = int(self._first[index]), int(self._counts[index])
        pieces = self._pieces.slice(first, count - 1)
        names = map(_plain, pieces.gather_every(2))
        return int(self.offsets[index]), dict(zip(names, _meant(pieces.gather_every(2, 1)), strict=True))

    def rows(self) -> list[Row]:
        """Every row alone."""
        return [self.row(index) for index in range(len(self))]

    def _is(self, name: str) -> _Mask:
        codes = [code for code, piece in enumerate(self.names) if _plain(piece) == name]
        return np.isin(self._codes, codes) if len(codes) != 1 else self._codes == codes[0]


def _plain(piece: str) -> str:
    """The name in what stands before a value; before the first one stands what begins a row."""
    return piece.rstrip("=").split()[-1]


def cut(offset: int, text: bytes, longest: int) -> tuple[Columns, list[tuple[int, int]]]:
    """The usual rows of some whole lines, and where the others begin and end in `text`, blank ones left out.

    `offset` is that of the text in the file; lines of more than `longest` bytes are not usual.
    """
    starts, ends = line_bounds(text)
    opened = positions_of(text, b"<")
    of_line = np.searchsorted(starts, opened, "right") - 1
    odd = _forbidden(text, starts) | (np.bincount(of_line, minlength=len(starts)) != 1)
    lines = _lines(text, starts)
    if lines is None:
        odd |= _undecodable(text, starts, ends)
        lines = _lines(_without(text, starts, ends, odd), starts)
        assert lines is not None
    pieces = lines.str.split('"')
    counts = pieces.list.len().to_numpy().astype(np.int64)
    flat = pieces.explode()
    first = np.cumsum(counts) - counts
    odd |= (counts < 3) | (counts % 2 == 0)
    odd |= _no_row(flat, first, counts, odd)
    odd |= ends - starts > longest
    begins = np.zeros(len(starts), np.int64)
    begins[of_line] = opened
    kept = np.flatnonzero(~odd)
    columns = Columns(begins[kept] + offset, flat, first[kept], counts[kept])
    twice = columns.repeating()
    if twice.any():
        odd[kept[twice]] = True
        kept = kept[~twice]
        columns = Columns(begins[kept] + offset, flat, first[kept], counts[kept])
    others = np.flatnonzero(odd)
    found = zip(starts[others].tolist(), ends[others].tolist(), strict=True)
    return columns, [(start, end) for start, end in found if text[start:end].strip()]


def _meant(values: pl.Series) -> pl.Series:
    if not values.str.contains("&", literal=True).any():
        return values
    return values.str.replace_many(list(_REFERENCES), list(_REFERENCES.values()))


def _lines(text: bytes, starts: _Places) -> pl.Series | None:
    """The lines as text, with their ends; None where one is not UTF-8."""
    bounds = pa.py_buffer(np.append(starts, len(text)).tobytes())
    raw = pa.Array.from_buffers(pa.large_binary(), len(starts), [None, bounds, pa.py_buffer(text)])
    try:
        found = pl.from_arrow(raw.cast(pa.large_string()))
    except pa.ArrowInvalid:
        return None
    assert isinstance(found, pl.Series)
    return found


def _undecodable(text: bytes, starts: _Places, ends: _Places) -> _Mask:
    odd = np.zeros(len(starts), bool)
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        try:
            text[start:end].decode()
        except UnicodeDecodeError:
            odd[index] = True
    return odd


def _without(text: bytes, starts: _Places, ends: _Places, odd: _Mask) -> bytes:
    """The text with blanks in the place of the odd lines."""
    kept = bytearray(text)
    for index in np.flatnonzero(odd).tolist():
        kept[starts[index] : ends[index]] = b" " * int(ends[index] - starts[index])
    return bytes(kept)


def _forbidden(text: bytes, starts: _Places) -> _Mask:
    """Which lines have a character, a reference or a mark that a usual row has not.

    Counting is a fraction of finding; only where a count is not as it must be is the place looked for.
    """
    places: list[int] = []
    raw = np.frombuffer(text, np.uint8)
    returns = sz.count(text, b"\r\n")
    if np.count_nonzero(raw < 0x20) != sz.count(text, b"\n") + returns:
        places += [
            found.start() for found in _CONTROLS.finditer(text) if text[found.start() : found.start() + 2] != b"\r\n"
        ]
    if sz.count(text, b"&") != sum(sz.count(text, reference.encode()) for reference in _REFERENCES):
        places += [found.start() for found in _OTHER_REFERENCE.finditer(text)]
    for character in _NON_CHARACTERS:
        if sz.find(text, character) >= 0:
            places += positions_of(text, character).tolist()
    odd = np.zeros(len(starts), bool)
    odd[np.searchsorted(starts, places, "right") - 1] = True
    return odd


def _no_row(pieces: pl.Series, first: _Places, counts: _Places, odd: _Mask) -> _Mask:
    """Which lines, of those not odd so far, do not begin, go on and end as a row does."""
    fine = ~odd
    found = np.zeros(len(first), bool)
    some = np.flatnonzero(fine)
    found[some[_differs(pieces.gather(first[some]), _FIRST_NAME)]] = True
    found[some[_differs(pieces.gather(first[some] + counts[some] - 1), _LAST)]] = True
    attributes = np.where(fine, (counts - 1) // 2 - 1, 0)
    whose = np.repeat(np.arange(len(first)), attributes)
    begins = np.cumsum(attributes) - attributes
    at = first[whose] + 2 * (np.arange(len(whose)) - begins[whose] + 1)
    found[whose[_differs(pieces.gather(at), _NAME)]] = True
    return found


def _differs(pieces: pl.Series, pattern: re.Pattern[str]) -> _Places:
    """Where the pieces are not of the pattern; there are few different ones."""
    wrong = [piece for piece in pieces.unique() if not pattern.fullmatch(piece.rstrip("\n"))]
    return np.flatnonzero(pieces.is_in(wrong).to_numpy()) if wrong else np.empty(0, np.int64)
