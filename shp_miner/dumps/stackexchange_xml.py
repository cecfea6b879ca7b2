"""Rows of a Stack Exchange table by a parser of XML, one by one, with all that can be wrong with them.

A row has the attributes of one `<row .../>` element as strings, with the byte of the XML text at which it begins.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from shp_miner.dumps.stackexchange_columns import Row
from shp_miner.tally import Damage, Tally

#: The parser's errors that a forbidden character causes.
_FORBIDDING = tuple(
    expat.errors.codes[message]
    for message in (expat.errors.XML_ERROR_BAD_CHAR_REF, expat.errors.XML_ERROR_INVALID_TOKEN)
)

#: A record longer than this is lost rather than held; the sites allow a post 30,000 characters.
MAX_RECORD_BYTES = 64 << 20

#: Bytes given to the parser at a time, at least and at most. After an error, what was given after it is given again, so
#: they are few. In a long record they are as many as came before: the parser reads a record that has not ended from its
#: beginning each time, which would take time that grows with the square of its length.
_PIECE, _PIECE_MAX = 1 << 14, 32 << 20


class _RefusedError(Exception):
    """The XML says something that a table of a dump never says."""


class RowParser:
    """Rows out of the bytes of one XML table, pushed block by block.

    A record that is not well-formed is lost (counted as "not_xml", with the byte and the parser's words) and reading
    goes on at the next `<row`, which is safe because no attribute can hold a bare `<`. Published dumps have
    characters that XML forbids, as references (`&#0;`, a lone surrogate) or control bytes, and copies have bytes of
    other encodings: such a record is read again with U+FFFD in their place, and counted as "text_repaired". A
    document type, the only place that can declare entities, ends the reading of the table as damage, and so does a
    root element of another name.
    """

    def __init__(self, root: str, where: str, tally: Tally) -> None:
        self._root, self._where, self._tally = root, where, tally
        self._rows: list[Row] = []
        # The bytes from the beginning of the last row on: what may have to be read again after an error.
        self._held = bytearray()
        self._held_from = 0
        self._waiting = bytearray()  # not given to the parser yet
        self._last_row = self._last_error = -1
        self._rooted = self._refused = False
        # A record that waits for its end to be repaired: its beginning, the error in it and the parser's words.
        self._broken: tuple[int, int, str] | None = None
        self._searched = self._repaired_at = -1
        self._parser: expat.XMLParserType | None = self._fresh_parser()
        self._base = 0

    @classmethod
    def midway(cls, root: str, where: str, tally: Tally, offset: int) -> RowParser:
        """A parser for what comes from byte `offset` of a table on, between two of its records."""
        found = cls(root, where, tally)
        opening = f"<{root}>".encode()
        found._held_from, found._base, found._rooted = offset, offset - len(opening), True
        assert found._parser is not None
        found._parser.Parse(opening, False)
        return found

    def push(self, data: bytes) -> list[Row]:
        """The rows of `data`, all of which is read at once."""
        self._feed(data)
        return self._take()

    @property
    def lost(self) -> bool:
        """Whether what was read was no record, and the next one is yet to be found."""
        return self._parser is None and self._broken is None and not self._refused

    def feed(self, data: bytes) -> list[Row]:
        """The rows that `data` completes; the last few may come with the next data."""
        self._waiting += data
        start = 0
        while (size := min(max(_PIECE, len(self._held)), _PIECE_MAX)) <= len(self._waiting) - start:
            self._feed(bytes(self._waiting[start : start + size]))
            start += size
        del self._waiting[:start]
        return self._take()

    def _feed(self, data: bytes) -> None:
        if self._refused:
            return
        self._held += data
        try:
            if self._parser is None:
                data = self._resume(self._held_from) if self._broken is None else self._repair()
            self._push(data)
        except _RefusedError as refused:
            self._refused = True
            offset = self._base + self._parser.CurrentByteIndex if self._parser else self._held_from
            note_once(self._tally, Damage(self._where, offset, str(refused)))
        if self._last_row > self._held_from:
            del self._held[: self._last_row - self._held_from]
            self._held_from = self._last_row
        if len(self._held) > MAX_RECORD_BYTES:
            self._broken = None
            self._lose("line_too_long", self._held_from, f"a record is longer than {MAX_RECORD_BYTES} bytes")
            self._resume(self._held_from + len(self._held))

    def close(self, broken: bool = False) -> list[Row]:
        """The rows still to come. Text that ends early is damage, unless it is `broken` and its damage known."""
        self._feed(bytes(self._waiting))
        if self._broken is not None:
            self._lose("not_xml", self._broken[1], self._broken[2])
        if self._parser is not None and not self._refused:
            try:
                self._parser.Parse(b"", True)
            except expat.ExpatError as error:
                if not broken:
                    end = self._held_from + len(self._held)
                    note_once(self._tally, Damage(self._where, end, f"the XML breaks off here ({_words(error)})"))
        return self._take()

    def _take(self) -> list[Row]:
        found, self._rows = self._rows, []
        return found

    def _fresh_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        # Newer versions of expat may put off reading what they were given; an error would then come blocks later.
        defer = getattr(parser, "SetReparseDeferralEnabled", None)
        if defer is not None:
            defer(False)
        parser.StartElementHandler = self._element
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    def _push(self, data: bytes) -> None:
        while data and self._parser is not None:
            try:
                self._parser.Parse(data, False)
                return
            except expat.ExpatError as error:
                offset = self._base + self._parser.ErrorByteIndex
                start = self._row_at(offset) if error.code in _FORBIDDING else None
                if start is not None and start != self._repaired_at:
                    what = f"a record is not well-formed XML ({_words(error)})"
                    self._broken, self._repaired_at, self._searched = (start, offset, what), start, 1
                    del self._held[: start - self._held_from]
                    self._held_from, self._parser = start, None
                    data = self._repair()
                    continue
                # Most errors name the offending byte; some name the beginning of the element, which must not be
                # tried for ever. Nor is it wrong at once: what came before it may have been the trouble.
                again = offset == self._last_error
                if not again:
                    self._lose("not_xml", offset, f"a record is not well-formed XML ({_words(error)})")
                self._last_error = offset
                data = self._resume(offset + again)

    def _row_at(self, offset: int) -> int | None:
        """Where the record begins that byte `offset` is in."""
        place = offset - self._held_from
        start = self._held.rfind(b"<row", 0, place + len(b"<row"))
        inside = start >= 0 and self._held.find(b"<", start + 1, max(place, start + 1)) < 0
        return self._held_from + start if inside else None

    def _repair(self) -> bytes:
        """Read the broken record without forbidden characters, once its end is there; gives what comes after it."""
        assert self._broken is not None
        start, offset, what = self._broken
        end = self._held.find(b"<", self._searched)
        if end < 0:
            self._searched = len(self._held)
            return b""
        self._broken = None
        attributes = _one_row(_repaired(bytes(self._held[:end])))
        if attributes is None:
            self._lose("not_xml", offset, what)
        else:
            self._rows.append((start, attributes))
            self._tally.note("line", "text_repaired")
        return self._resume(start + end)

    def _resume(self, offset: int) -> bytes:
        """Begin again at the first `<row` from byte `offset` on; gives what is held from there, if it is there yet."""
        del self._held[: offset - self._held_from]
        self._held_from = offset
        found = self._held.find(b"<row")
        skipped = found if found >= 0 else max(len(self._held) - len(b"<ro"), 0)
        del self._held[:skipped]
        self._held_from += skipped
        if found < 0:
            self._parser = None
            return b""
        self._rooted = True
        self._parser = self._fresh_parser()
        opening = f"<{self._root}>".encode()
        self._base = self._held_from - len(opening)
        return opening + bytes(self._held)

    def _lose(self, reason: str, offset: int, what: str) -> None:
        self._tally.lose("line", reason, Damage(self._where, offset, what))

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        if not self._rooted:
            self._rooted = True
            if name != self._root:
                raise _RefusedError(f"the XML is not a table of {self._root}: its first element is <{name:.40}>")
        elif name == "row" and self._parser is not None:
            self._last_row = self._base + self._parser.CurrentByteIndex
            self._rows.append((self._last_row, attributes))

    def _doctype(self, *_: object) -> None:
        raise _RefusedError("the XML declares a document type, which could define entities; it is not read further")


#: A reference to a character by its number, and control bytes, which XML 1.0 forbids. NUL bytes come from damaged
#: disks, not from what people typed: their record is lost.
_FORBIDDEN = re.compile(rb"&#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,10}));|[\x01-\x08\x0b\x0c\x0e-\x1f]")
_INSTEAD = "\N{REPLACEMENT CHARACTER}".encode()


def _repaired(text: bytes) -> bytes:
    """A record with U+FFFD for each forbidden character, and for bytes that are not UTF-8."""
    return _FORBIDDEN.sub(_replaced, text).decode("utf-8", "replace").encode()


def _replaced(found: re.Match[bytes]) -> bytes:
    """What stands in the place of a forbidden character; a reference to one that is allowed stays."""
    if not (found[1] or found[2]):
        return _INSTEAD
    number = int(found[1], 16) if found[1] else int(found[2])
    allowed = (
        number in (9, 10, 13) or 0x20 <= number < 0xD800 or 0xE000 <= number < 0xFFFE or 0xFFFF < number < 0x110000
    )
    return found[0] if allowed else _INSTEAD


def row_alone(line: bytes, tally: Tally) -> dict[str, str] | None:
    """The attributes of one record that is all of `line`, None where it is not. What is repaired in it is noted."""
    found = _one_row(line)
    if found is None:
        found = _one_row(_repaired(line))
        if found is not None:
            tally.note("line", "text_repaired")
    return found


def _one_row(text: bytes) -> dict[str, str] | None:
    """The attributes of one record, None where it is not well-formed."""
    rows: list[dict[str, str]] = []
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda _, attributes: rows.append(attributes)
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        return None
    return rows[0] if rows else None


def _words(error: expat.ExpatError) -> str:
    return str(expat.ErrorString(error.code))


def note_once(tally: Tally, damage: Damage) -> None:
    """Note damage that may have been met before."""
    if damage not in tally.damages:
        tally.damages.append(damage)
