"""The tables of a Stack Exchange dump as streams of rows, from XML files and archives, in limited memory.

Usual rows come as columns (stackexchange_columns); whatever is unusual goes through the parser (stackexchange_xml).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from shp_miner.dumps import stackexchange_xml
from shp_miner.dumps.ahead import threads_at_once, worked_ahead
from shp_miner.dumps.compressed import Advance, compression_of, decompressed_blocks
from shp_miner.dumps.stackexchange_blocks import Block, BrokenFileError
from shp_miner.dumps.stackexchange_columns import Columns, Row, Usual, cut
from shp_miner.dumps.stackexchange_kept import KeptPosts
from shp_miner.dumps.stackexchange_pieces import Piece, table_pieces
from shp_miner.dumps.stackexchange_xml import RowParser, note_once, row_alone
from shp_miner.tally import Damage, Tally

#: Bytes of a plain file that are read at once.
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class DumpFile:
    """A file with one or more tables of a site.

    `tables` gives the name of each table's member in an archive, in the archive's order, or "" for a plain XML file.
    `listed` is false for an archive whose table of contents cannot be read; what it holds is found by looking. `packed`
    is an XML file that is compressed, or not in UTF-8.
    """

    path: Path
    tables: Mapping[str, str]
    is_archive: bool = False
    listed: bool = True
    packed: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether decompressing takes longer than keeping what comes out of it for a second reading."""
        return self.is_archive or (self.packed and compression_of(self.path) in ("bz2", "xz"))

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

    def at_part(self, part: float) -> None:
        """Say that the pass has come to this part of what it reads, from 0 to 1."""
        self.at(int(self._size * part))

    def end_pass(self) -> None:
        """Say that the pass is over, wherever it came to."""
        self._done += 1
        self.at(0)


Made = TypeVar("Made")


def same(columns: Columns) -> Columns:
    """Make nothing else of usual rows."""
    return columns


def table_rows(  # noqa: PLR0917  (what a reading is told)
    source: DumpFile,
    wanted: Collection[str],
    tally: Tally,
    meter: Meter,
    make: Callable[[Columns], Made],
    uncounted: Collection[str] = (),
    kept: KeptPosts | None = None,
    proven: dict[int, Usual] | None = None,
) -> Iterator[tuple[str, Made | list[Row]]]:
    """Yield (table, some of its rows) for the `wanted` tables of `source`, in the file's order.

    Usual rows come as what `make` makes of them, in several threads at once; others come one by one. Whole rows before
    any damage are included. Damage is noted in `tally`, that of an archive once however often it is read. Errors inside
    the tables `uncounted` are left to a later reading. An archive's posts are kept in `kept`, from which a later
    reading of them alone takes them; what is found out of their lines is noted in `proven` for it.
    """
    decompressed = partial(_blocks, source, wanted, meter)
    stream = decompressed() if kept is None else kept.blocks(decompressed, meter.at_part)
    reader: _TableReader[Made] | None = None
    with closing(stream):
        for worked in worked_ahead(partial(_worked, make, proven), table_pieces(stream, wanted), threads_at_once()):
            piece = worked.piece
            if piece.broken is not None:
                note_once(tally, Damage(str(source.path), piece.broken.offset, piece.broken.what))
                if not piece.table:
                    continue
            if reader is None:
                its = Tally() if piece.table in uncounted else tally
                reader = _TableReader(piece.table, source.where(piece.table), its, make)
            yield from ((piece.table, part) for part in reader.feed(worked))
            if piece.is_last:
                reader = None
    meter.end_pass()


def _blocks(source: DumpFile, wanted: Collection[str], meter: Meter) -> Generator[Block, None, None]:
    if not source.is_archive:
        return _xml_blocks(source, meter)
    # The library of archives takes a tenth of a second to import.
    from shp_miner.dumps.stackexchange_7z import archive_blocks  # noqa: PLC0415
    from shp_miner.dumps.stackexchange_wreck import wreck_blocks  # noqa: PLC0415

    if not source.listed:
        return wreck_blocks(source.path, meter.at)
    members = [member for table, member in source.tables.items() if table in wanted]
    return archive_blocks(source.path, members, meter.at)


@dataclass(frozen=True)
class _Worked(Generic[Made]):
    """A piece, and of one of whole lines its usual rows, what was made of them, and where its other lines are."""

    piece: Piece
    columns: Columns | None = None
    made: Made | None = None
    others: Sequence[tuple[int, int]] = ()


def _worked(make: Callable[[Columns], Made], proven: dict[int, Usual] | None, piece: Piece) -> _Worked[Made]:
    if piece.is_raw:
        return _Worked(piece)
    noted = proven if piece.table == "posts" else None
    columns, others = cut(piece.offset, piece.text, stackexchange_xml.MAX_RECORD_BYTES, noted)
    return _Worked(piece, columns, make(columns) if len(columns) else None, others)


class _TableReader(Generic[Made]):
    """Rows out of the pieces of one XML table in their order: made of columns where they are usual, else parsed."""

    def __init__(self, root: str, where: str, tally: Tally, make: Callable[[Columns], Made]) -> None:
        self._root, self._where, self._tally, self._make = root, where, tally, make
        self._parser: RowParser | None = None

    def feed(self, worked: _Worked[Made]) -> Iterator[Made | list[Row]]:
        """The rows that a piece completes."""
        piece = worked.piece
        if self._parser is None and not piece.is_raw:
            yield from self._usual(worked)
            return
        if self._parser is None:
            self._parser = (
                self._midway(piece.offset) if piece.offset else RowParser(self._root, self._where, self._tally)
            )
        rows = self._parser.feed(piece.text)
        if piece.is_last:
            rows += self._parser.close(broken=piece.broken is not None)
        if rows:
            yield rows

    def _usual(self, worked: _Worked[Made]) -> Iterator[Made | list[Row]]:
        piece, columns, made = worked.piece, worked.columns, worked.made
        alone: list[Row] = []
        for start, stop in worked.others:
            offset, line = piece.offset + start, piece.text[start:stop]
            if len(line) > stackexchange_xml.MAX_RECORD_BYTES:
                self._lose_long(offset + line.index(b"<"))
                continue
            attributes = row_alone(line, self._tally)
            if attributes is not None:
                alone.append((offset + line.index(b"<"), attributes))
                continue
            parser = self._midway(offset)
            alone += parser.push(line + b"\n")
            if not parser.lost:
                # A record of several lines, or the end of the table: the parser goes on from here.
                if columns is not None and len(columns) and columns.offsets[-1] > offset:
                    earlier = columns.before(offset)
                    made = self._make(earlier) if len(earlier) else None
                self._parser = parser
                alone += parser.feed(piece.text[stop + 1 :])
                break
        if made is not None:
            yield made
        if alone:
            yield alone

    def _midway(self, offset: int) -> RowParser:
        return RowParser.midway(self._root, self._where, self._tally, offset)

    def _lose_long(self, offset: int) -> None:
        what = f"a record is longer than {stackexchange_xml.MAX_RECORD_BYTES} bytes"
        self._tally.lose("line", "line_too_long", Damage(self._where, offset, what))


#: What UTF-16 says of itself, which is wrong when it is UTF-8.
_ENCODING = re.compile(rb"\A(\s*<\?xml[^>]*?)\s+encoding=[\"']utf-16[^\"']*[\"']", re.IGNORECASE)


def _unpacked_blocks(source: DumpFile, table: str, meter: Meter) -> Generator[Block, None, None]:
    """The XML of a file that is compressed, or not in UTF-8."""
    read, damage = 0, Tally()

    def advance(count: int) -> None:
        nonlocal read
        read += count if type(count) is int else 0  # a Step says what is done, and counts nothing
        meter.at(read)

    first = True
    for block in decompressed_blocks(source.path, damage, advance):
        yield table, _ENCODING.sub(rb"\1", bytes(block)) if first else bytes(block)
        first = False
    if damage.damages:
        raise BrokenFileError(damage.damages[0].offset or 0, damage.damages[0].what)
    yield table, None


def _xml_blocks(source: DumpFile, meter: Meter) -> Generator[Block, None, None]:
    table = next(iter(source.tables))
    if source.packed:
        yield from _unpacked_blocks(source, table, meter)
        return
    with source.path.open("rb", buffering=0) as file:
        try:
            while block := file.read(BLOCK_BYTES):
                meter.at(file.tell())
                yield table, block
        except OSError as error:
            raise BrokenFileError(file.tell(), f"the file cannot be read further ({error.strerror})") from error
    yield table, None
