"""Many rows of a Stack Exchange table at once: each usual line is cut at its quotes, without an XML parser.

In the published files a row is one line, `  <row Id="1" ... />`. A line is usual if it is just that, in UTF-8, with
none but the common references to characters and nothing that XML forbids; then what stands between its quotes are its
attributes, alternating with their names. All other lines go to the parser of stackexchange_xml, and so does all of a
file that does not begin as published ones do.

      <row Id="1" Body="&lt;p&gt;" />
           -- - - ---- -----------      names and values, between the places of the quotes

No line and no name becomes an object, and no value is copied: a column of values is one of places in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import stringzilla as sz
from xxhash import xxh3_128_digest

from shp_miner.dumps.bytes_at import Places, Words, count_below, numbers_at, places_of, texts_at
from shp_miner.dumps.iso_times import iso_us_at
from shp_miner.dumps.lines import line_bounds, positions_of
from shp_miner.dumps.stackexchange_names import UNKNOWN, names_at
from shp_miner.dumps.stackexchange_values import WHOLE_TEXT

#: (byte offset in the XML text, attributes)
Row = tuple[int, dict[str, str]]

#: References to characters that published files have, and what they mean.
_REFERENCES = {"&lt;": "<", "&gt;": ">", "&#xA;": "\n", "&amp;": "&", "&quot;": '"', "&#xD;": "\r", "&#x9;": "\t"}
_REFERENCE = re.compile("|".join(_REFERENCES))
_OTHER_REFERENCE = re.compile(rb"&(?!(?:lt|gt|quot|amp|#xA|#xD|#x9);)")
#: Characters that XML forbids although UTF-8 has them.
_NON_CHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_CONTROLS = re.compile(rb"[\x00-\x09\x0b\x0c\x0e-\x1f]|\r(?!\n)")

_OPENING = b"<row"
#: How a row ends behind its last quote, without the line's end.
_TAILS = (b" />", b"/>", b" />\r", b"/>\r")

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Attributes:
    """All attributes of some rows: the number of the row, that of the name, and where in a text the value lies."""

    whose: Places
    codes: npt.NDArray[np.uint8]
    begins: Places
    ends: Places

    def where(self, kept: _Mask) -> Attributes:
        """Those at which `kept` is true."""
        return Attributes(self.whose[kept], self.codes[kept], self.begins[kept], self.ends[kept])


class Columns:
    """Rows of a table whose attributes are asked for by name, as text.

    `offsets` says where each row begins in the XML text. `attributes` have their values in `text`.
    """

    def __init__(self, text: bytes, offsets: Places, names: list[str], attributes: Attributes) -> None:
        self.offsets, self.names = offsets, names
        self._text, self._attributes = text, attributes
        self._words = Words(text)
        self._texts: dict[str, pl.Series] = {}

    def __len__(self) -> int:
        return len(self.offsets)

    def text(self, name: str) -> pl.Series:
        """The attribute of each row, null where a row lacks it."""
        if name not in self._texts:
            whose, found = self._values(name)
            # Most tables have the same attributes in every row.
            if len(found) < len(self):
                nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(self))
                found = nothing.scatter(whose, found) if len(found) else nothing
            self._texts[name] = found.alias(name)
        return self._texts[name]

    def values(self, name: str) -> pl.Series:
        """The attribute of the rows that have it."""
        return self._texts[name].drop_nulls() if name in self._texts else self._values(name)[1]

    def greatest(self, name: str) -> pl.Series:
        """The values of the attribute that begin as the greatest does: in the order of texts, it is one of these."""
        _, begins, ends = self._places(name)
        for part in (0, 8):
            words = self._words.first(begins + part, ends - begins - part).byteswap()
            foremost = words == words.max(initial=0)
            begins, ends = begins[foremost], ends[foremost]
        return self._texts_at(begins, ends)

    def whole(self, name: str) -> pl.Series:
        """The attribute of each row as a whole number (Int64), null where it is none or the row lacks it."""
        whose, numbers = self.numbers(name)
        found = pl.Series(name, [None], pl.Int64).new_from_index(0, len(self))
        return found.scatter(whose, numbers) if len(whose) else found

    def numbers(self, name: str) -> tuple[Places, Places]:
        """The rows whose attribute is a whole number, and the numbers."""
        whose, begins, ends = self._places(name)
        numbers, fine = numbers_at(self._words, begins, ends)
        other = np.flatnonzero(~fine & (ends > begins))
        if len(other):
            texts = self._texts_at(begins[other], ends[other])
            whole = texts.str.contains(WHOLE_TEXT)
            there = other[whole.to_numpy()]
            numbers[there], fine[there] = texts.filter(whole).cast(pl.Int64).to_numpy(), True
        return whose[fine], numbers[fine]

    def times(self, name: str) -> pl.Series:
        """The attribute of each row as microseconds since 1970 (`iso_us`), null where it is no time without a zone."""
        whose, begins, ends = self._places(name)
        us, fine = iso_us_at(self._words, begins, ends, zone=False)
        found = pl.Series(name, [None], pl.Int64).new_from_index(0, len(self))
        return found.scatter(whose[fine], us[fine]) if fine.any() else found

    def has(self, name: str, *, filled: bool = False) -> _Mask:
        """Which rows have the attribute, and with `filled` more in it than nothing."""
        whose, begins, ends = self._places(name)
        found = np.zeros(len(self), bool)
        found[whose[ends > begins] if filled else whose] = True
        return found

    def equals(self, name: str, value: bytes) -> _Mask:
        """In which rows the attribute is just this value of at most 8 bytes."""
        whose, begins, ends = self._places(name)
        same = self._words.first(begins, ends - begins) == int.from_bytes(value, "little")
        same &= ends - begins == len(value)
        found = np.zeros(len(self), bool)
        found[whose[same]] = True
        return found

    def _values(self, name: str) -> tuple[Places, pl.Series]:
        whose, begins, ends = self._places(name)
        return whose, _meant(self._texts_at(begins, ends))

    def _places(self, name: str) -> tuple[Places, Places, Places]:
        """The rows that have the attribute, and where its values begin and end."""
        of = self._attributes
        here = np.flatnonzero(of.codes == (self.names.index(name) if name in self.names else UNKNOWN))
        return of.whose[here], of.begins[here], of.ends[here]

    def _texts_at(self, begins: Places, ends: Places) -> pl.Series:
        return texts_at(self._text, self._words, begins, ends)

    def before(self, offset: int) -> Columns:
        """The rows before a byte of the XML text."""
        rows = int(np.searchsorted(self.offsets, offset))
        earlier = self._attributes.where(self._attributes.whose < rows)
        return Columns(self._text, self.offsets[:rows], self.names, earlier)

    def row(self, index: int) -> Row:
        """One row alone."""
        of = self._attributes
        first, end = np.searchsorted(of.whose, [index, index + 1]).tolist()
        attributes = {}
        for at in range(first, end):
            value = self._text[of.begins[at] : of.ends[at]].decode()
            attributes[self.names[of.codes[at]]] = _REFERENCE.sub(lambda found: _REFERENCES[found[0]], value)
        return int(self.offsets[index]), attributes

    def rows(self) -> list[Row]:
        """Every row alone."""
        return [self.row(index) for index in range(len(self))]


@dataclass(frozen=True)
class Usual:
    """A text of which all lines were found to be usual: its digest, and the blanks before each row."""

    digest: bytes
    indent: int


def cut(
    offset: int, text: bytes, longest: int, proven: dict[int, Usual] | None = None
) -> tuple[Columns, list[tuple[int, int]]]:
    """The usual rows of some whole lines, and where the others begin and end in `text`, blank ones left out.

    `offset` is that of the text in the file; lines of more than `longest` bytes are not usual. A text of usual lines
    alone is noted in `proven`, by its offset; where the same text comes again, nothing is looked for in it but values.
    """
    digest = b"" if proven is None else xxh3_128_digest(text)
    words = Words(text)
    starts, ends = line_bounds(text)
    known = proven.get(offset) if proven else None
    if known is not None and known.digest == digest:
        return _cut_again(offset, text, words, starts + known.indent, starts), []
    odd = _forbidden(text, starts, ends) | _undecodable(text, starts, ends) | (ends - starts > longest)
    opened = _opened(text, words, starts, ends, odd)
    quotes = places_of(text, b'"')
    first = np.searchsorted(quotes, starts)
    counts = np.diff(first, append=len(quotes))
    odd |= (counts == 0) | (counts % 2 == 1)
    kept = np.flatnonzero(~odd)
    odd[kept] = ~_is_ended(words, quotes[first[kept] + counts[kept] - 1] + 1, ends[kept])
    kept = np.flatnonzero(~odd)
    attributes, names = _attributes(text, words, opened[kept], quotes, first[kept], counts[kept] // 2)
    wrong = _wrong(attributes, len(kept))
    odd[kept[wrong]] = True
    if wrong.any():
        attributes = attributes.where(~wrong[attributes.whose])
        attributes = replace(attributes, whose=(np.cumsum(~wrong) - 1)[attributes.whose])
    columns = Columns(text, opened[kept[~wrong]] + offset, names, attributes)
    others = np.flatnonzero(odd)
    if proven is not None and not len(others) and np.ptp(opened - starts) == 0:
        proven[offset] = Usual(digest, int(opened[0] - starts[0]))
    found = zip(starts[others].tolist(), ends[others].tolist(), strict=True)
    return columns, [(start, end) for start, end in found if text[start:end].strip()]


def _cut_again(offset: int, text: bytes, words: Words, opened: Places, starts: Places) -> Columns:
    """The rows of usual lines."""
    quotes = places_of(text, b'"')
    first = np.searchsorted(quotes, starts)
    counts = np.diff(first, append=len(quotes))
    attributes, names = _attributes(text, words, opened, quotes, first, counts // 2)
    return Columns(text, opened + offset, names, attributes)


def _attributes(
    text: bytes, words: Words, opened: Places, quotes: Places, first: Places, counts: Places
) -> tuple[Attributes, list[str]]:
    """The attributes of rows and their names; UNKNOWN is the number of what is no name.

    Rows begin at `opened`, and each has the quotes of `counts` attributes, from number `first` on.
    """
    whose = np.repeat(np.arange(len(counts)), counts)
    of_row = np.cumsum(counts) - counts
    at = first[whose] + 2 * (np.arange(len(whose)) - of_row[whose])
    begins, ends = quotes[at] + 1, quotes[at + 1]
    # A name stands behind the value before it, the first one behind what opens the row: a blank, the name, "=".
    behind = np.empty(len(at), np.int64)
    behind[1:] = ends[:-1] + 1
    behind[of_row] = opened + len(_OPENING)
    codes, names = names_at(text, words, behind + 1, begins - behind - 3)
    raw = np.frombuffer(text, np.uint8)
    codes[(raw[behind] != ord(" ")) | (raw[begins - 2] != ord("="))] = UNKNOWN
    return Attributes(whose, codes, begins, ends), names


def _meant(values: pl.Series) -> pl.Series:
    if not values.str.contains("&", literal=True).any():
        return values
    return values.str.replace_many(list(_REFERENCES), list(_REFERENCES.values()))


def _opened(text: bytes, words: Words, starts: Places, ends: Places, odd: _Mask) -> Places:
    """Where the `<row` of each line begins; lines that have not just that, behind blanks, are noted as odd."""
    opened = places_of(text, b"<")
    if len(opened) != len(starts) or not ((opened >= starts) & (opened < ends)).all():
        lines = np.searchsorted(starts, opened, "right") - 1
        odd |= np.bincount(lines, minlength=len(starts)) != 1
        found = starts.copy()
        found[lines] = opened
        opened = found
    odd |= words.first(opened, np.full(len(starts), len(_OPENING))) != int.from_bytes(_OPENING, "little")
    before = opened - starts
    blank = np.array([int.from_bytes(b" " * size, "little") for size in range(9)], np.uint64)
    odd |= (before > 8) | (words.first(starts, before) != blank[np.minimum(before, 8)])
    return opened


def _is_ended(words: Words, places: Places, ends: Places) -> _Mask:
    """Whether what is between `places` and `ends` is the end of a row."""
    sizes = ends - places
    found = words.first(places, sizes)
    fits = np.zeros(len(places), bool)
    for tail in _TAILS:
        fits |= (sizes == len(tail)) & (found == int.from_bytes(tail, "little"))
    return fits


def _wrong(attributes: Attributes, rows: int) -> _Mask:
    """Which rows have an attribute without a proper name, or one twice, which XML forbids."""
    wrong = np.zeros(rows, bool)
    wrong[attributes.whose[attributes.codes == UNKNOWN]] = True
    if rows:
        bits = np.left_shift(np.uint64(1), np.minimum(attributes.codes, 63).astype(np.uint64))
        first = np.searchsorted(attributes.whose, np.arange(rows))
        wrong |= np.add.reduceat(bits, first) != np.bitwise_or.reduceat(bits, first)
    return wrong


def _undecodable(text: bytes, starts: Places, ends: Places) -> _Mask:
    """Which lines are not UTF-8."""
    odd = np.zeros(len(starts), bool)
    if not _is_utf8(text):
        for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            odd[index] = not _is_utf8(text[start:end])
    return odd


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _forbidden(text: bytes, starts: Places, ends: Places) -> _Mask:
    """Which lines have a character, a reference or a mark that a usual row has not.

    Counting is a fraction of finding; only where a count is not as it must be is the place looked for.
    """
    places: list[int] = []
    line_ends = len(ends) - (ends[-1] == len(text)) + sz.count(text, b"\r\n")
    if count_below(text, 0x20) != line_ends:
        places += [
            found.start() for found in _CONTROLS.finditer(text) if text[found.start() : found.start() + 2] != b"\r\n"
        ]
    unknown = sz.count(text, b"&")
    for reference in _REFERENCES:  # the common ones first: mostly they are all there are
        unknown -= sz.count(text, reference.encode()) if unknown else 0
    if unknown:
        places += [found.start() for found in _OTHER_REFERENCE.finditer(text)]
    for character in () if text.isascii() else _NON_CHARACTERS:
        if sz.find(text, character) >= 0:
            places += positions_of(text, character).tolist()
    odd = np.zeros(len(starts), bool)
    odd[np.searchsorted(starts, places, "right") - 1] = True
    return odd
