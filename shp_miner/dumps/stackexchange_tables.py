"""The tables of a Stack Exchange dump as streams of rows, from XML files and archives, in limited memory.

Usual rows come as columns (stackexchange_columns); whatever is unusual goes through the parser (stackexchange_xml).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shp_miner.dumps import stackexchange_xml
from shp_miner.dumps.compressed import Advance
from shp_miner.dumps.stackexchange_7z import BLOCK_BYTES, BrokenFileError, archive_blocks, wreck_blocks
from shp_miner.dumps.stackexchange_columns import Columns, Row, cut
from shp_miner.dumps.stackexchange_xml import RowParser, note_once, row_alone
from shp_miner.tally import Damage, Tally

#: Bytes of a table that are cut at once, and those without any line's end after which the parser takes over.
AT_ONCE_BYTES = 4 << 20
_LINE_MAX = 64 << 20

#: How published tables begin: a mark of their encoding, a declaration, comments.
_HEAD = (
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\s+version=[\"']1\.0[\"'](?:\s+encoding=[\"']utf-8[\"'])?\s*\?>)?\s*"
    rb"(?:<!--(?:(?!--)[\x20-\x7e\s])*-->\s*)*<%s>\s*"
)


@dataclass(frozen=True)
class DumpFile:
    """A file with one or more tables of a site.

    `tables` gives the name of each table's member in an archive, in the archive's order, or "" for a plain XML file.
    `listed` is false for an archive whose table of contents cannot be read; what it holds is found by looking.
    """

    path: Path
    tables: Mapping[str, str]
    is_archive: bool = False
    listed: bool = True

    def where(self, table: str) -> str:
        """What messages call the place of `table`: the file, or the member in the archive."""
        return f"{self.path}/{table.capitalize()}.xml" if self.is_archive else str(self.path)


class Meter:
    """Reports the consumed bytes of one file, once in all although the file may be read several times."""

    def __init__(self, size_bytes: int, passes: int, advance: Advance) -> None:
        self._size, self._passes, self._advance = size_bytes, max(passes, 1), advance
        self._done = self._reported = 0

    def at(self, position: int) -> None:
        """Say that the pass has come to byte `position`."""
        reached = (self._done * self._size + min(position, self._size)) // self._passes
        if reached > self._reported:
            self._advance(reached - self._reported)
            self._reported = reached

    def end_pass(self) -> None:
        """Say that the pass is over, wherever it came to."""
        self._done += 1
        self.at(0)


def table_rows(
    source: DumpFile, wanted: Collection[str], tally: Tally, meter: Meter, uncounted: Collection[str] = ()
) -> Iterator[tuple[str, Columns | list[Row]]]:
    """Yield (table, some of its rows) for the `wanted` tables of `source`, in the file's order.

    Whole rows before any damage are included. Damage is noted in `tally`, that of an archive once however often it is
    read. Errors inside the tables `uncounted` are left to a later reading.
    """
    if not source.is_archive:
        stream = _xml_blocks(source, meter)
    elif source.listed:
        members = [member for table, member in source.tables.items() if table in wanted]
        stream = archive_blocks(source.path, members, meter.at)
    else:
        stream = wreck_blocks(source.path, meter.at)
    reader: _TableReader | None = None
    table = ""
    try:
        for table, data in stream:
            if table not in wanted:
                continue
            if reader is None:
                reader = _TableReader(table, source.where(table), Tally() if table in uncounted else tally)
            found = reader.close() if data is None else reader.feed(data)
            if data is None:
                reader = None
            yield from ((table, part) for part in found if len(part))
    except BrokenFileError as broken:
        note_once(tally, Damage(str(source.path), broken.offset, broken.what))
        if reader is not None:
            yield from ((table, part) for part in reader.close(broken=True) if len(part))
    meter.end_pass()


class _TableReader:
    """Rows out of the bytes of one XML table, pushed block by block: cut where they are usual, else parsed."""

    def __init__(self, root: str, where: str, tally: Tally) -> None:
        self._root, self._where, self._tally = root, where, tally
        self._held = bytearray()
        self._offset = 0  # of what is held
        self._begun = False
        self._parser: RowParser | None = None

    def feed(self, data: bytes) -> list[Columns | list[Row]]:
        """The rows that `data` completes; those of the last bytes come with the next data."""
        if self._parser is not None:
            return [self._parser.feed(data)]
        self._held += data
        return self._taken() if len(self._held) >= AT_ONCE_BYTES else []

    def close(self, broken: bool = False) -> list[Columns | list[Row]]:
        """The rows still to come. Text that ends early is damage, unless it is `broken` and its damage known."""
        found = self._taken() if self._parser is None else []
        parser = self._parser if self._parser is not None else self._given_over(found)
        return [*found, parser.close(broken)]

    def _taken(self) -> list[Columns | list[Row]]:
        found: list[Columns | list[Row]] = []
        if not self._begun:
            first = self._held.find(b"<row")
            if first < 0 or not re.fullmatch(_HEAD % self._root.encode(), self._held[:first], re.IGNORECASE):
                self._given_over(found)
                return found
            self._begun = True
            self._drop(first)
        end = self._held.rfind(b"\n") + 1
        if end:
            self._cut(end, found)
        elif len(self._held) > _LINE_MAX:
            self._given_over(found)
        return found

    def _cut(self, end: int, found: list[Columns | list[Row]]) -> None:
        """Take the whole lines before byte `end`."""
        columns, others = cut(self._offset, bytes(self._held[:end]), stackexchange_xml.MAX_RECORD_BYTES)
        alone: list[Row] = []
        for start, stop in others:
            offset, line = self._offset + start, bytes(self._held[start:stop])
            if len(line) > stackexchange_xml.MAX_RECORD_BYTES:
                self._lose_long(offset + line.index(b"<"))
                continue
            attributes = row_alone(line, self._tally)
            if attributes is not None:
                alone.append((offset + line.index(b"<"), attributes))
                continue
            parser = RowParser.midway(self._root, self._where, self._tally, offset)
            alone += parser.push(line + b"\n")
            if not parser.lost:
                # A record of several lines, or the end of the table: the parser goes on from here.
                found += [columns.before(offset), alone]
                self._drop(stop + 1)
                self._parser = parser
                found.append(parser.feed(bytes(self._held)))
                return
        found += [columns, alone]
        self._drop(end)

    def _lose_long(self, offset: int) -> None:
        what = f"a record is longer than {stackexchange_xml.MAX_RECORD_BYTES} bytes"
        self._tally.lose("line", "line_too_long", Damage(self._where, offset, what))

    def _given_over(self, found: list[Columns | list[Row]]) -> RowParser:
        """Have a parser read what is held, and all that comes."""
        if self._begun:
            self._parser = RowParser.midway(self._root, self._where, self._tally, self._offset)
        else:
            self._parser = RowParser(self._root, self._where, self._tally)
        found.append(self._parser.feed(bytes(self._held)))
        return self._parser

    def _drop(self, size: int) -> None:
        size = min(size, len(self._held))
        del self._held[:size]
        self._offset += size


def _xml_blocks(source: DumpFile, meter: Meter) -> Iterator[tuple[str, bytes | None]]:
    table = next(iter(source.tables))
    with source.path.open("rb") as file:
        try:
            while block := file.read(BLOCK_BYTES):
                meter.at(file.tell())
                yield table, block
        except OSError as error:
            raise BrokenFileError(file.tell(), f"the file cannot be read further ({error.strerror})") from error
    yield table, None
