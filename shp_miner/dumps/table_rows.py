"""Rows of a table, whatever file holds it: CSV in any encoding, TSV, JSON or Parquet, compressed or not.

Every cell becomes text, or None where there is nothing. Memory does not grow with the file.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from shp_miner.dumps import parquet
from shp_miner.dumps.compressed import Advance, compression_of, decompressed_head, ignore_progress
from shp_miner.dumps.inputs import NotOurs, refuse_container
from shp_miner.dumps.plain_lines import UTF8_MARK
from shp_miner.dumps.table_map import TableMap
from shp_miner.dumps.table_names import KNOWN, plain
from shp_miner.dumps.threads_lines import decoded
from shp_miner.dumps.whole_lines import LINE_MAX, decompressed_lines, line_blocks
from shp_miner.errors import BadInput
from shp_miner.tally import Damage, Lost, Tally

#: Bytes looked at to tell what kind of table this is, and records of JSON whose keys make its header.
_SNIFFED = 1 << 18
_RECORDS_SNIFFED = 200
#: What parts the cells of a line: the first of those that part most lines alike wins.
_DELIMITERS = ("\t", ",", ";", "|")
_LINES_SNIFFED = 50
#: The line above the header by which Excel is told what parts the cells.
_SEPARATOR = re.compile(r"\A\ufeff?\"?sep=(.)\"?\r?\n?\Z", re.IGNORECASE)
#: Encodings before UTF-8, the most frequent first; the names of columns tell which it is.
_ENCODINGS = ("cp1252", "cp1251", "cp932", "gb18030", "koi8-r", "euc-jp")
#: How often a file may begin a cell in quotes that never ends, before it is not read further.
_OPEN_CELLS_MAX = 100
#: Whole numbers that a float holds exactly.
_EXACT = 1 << 53
#: The longest row, in characters.
_ROW_MAX = LINE_MAX // 4

#: A row: its place, and the text of each of the header's columns, or Lost.
Row = tuple[Damage, "list[str | None] | Lost"]


class Table(Struct, frozen=True):
    """A file that holds a table: what it is, and the names of its columns."""

    path: Path
    form: str
    header: list[str]
    delimiter: str = ","
    encoding: str = "utf-8"


def open_table(path: Path, table_map: TableMap) -> Table:
    """The table in a file, by its first bytes. Raises BadInput where it is none."""
    start = decompressed_head(path, _SNIFFED)
    refuse_container(path, start, "table")
    if start.startswith(b"PAR1") and compression_of(path) == "plain":
        return Table(path, "parquet", _parquet_header(path))
    text = start.removeprefix(UTF8_MARK).lstrip()
    if text.startswith(b"{"):
        header = _json_header(path)
        if header:
            return Table(path, "json", header)
    encoding = table_map.encoding or _encoding(start)
    words = start.removeprefix(UTF8_MARK).decode(encoding, "replace")
    lines = words.split("\n")[:_LINES_SNIFFED]
    told = _SEPARATOR.match(lines[0])
    delimiter = table_map.delimiter or (told[1] if told else _delimiter(lines))
    table = Table(path, "csv", [], delimiter, encoding)
    found = _csv_rows(table, table_map, Tally(), ignore_progress)
    header = next((cells for _, cells in found if isinstance(cells, list) and cells), [])
    if len(header) < 2 or not all(map(str.isprintable, header)):
        if not start and compression_of(path) != "plain":
            return table  # damaged at its start: reading it says so
        raise NotOurs(
            f"{path} is not a table: its first line does not name columns.",
            "`import table` reads CSV, TSV, JSONL and Parquet; the first line of a CSV file must name its columns.",
        )
    twice = next((name for name in header if header.count(name) > 1), "")
    if twice:
        raise BadInput(f"{path} has two columns {twice!r:.60}.", "Give each column its own name.")
    return msgspec.structs.replace(table, header=header)


def rows(table: Table, table_map: TableMap, tally: Tally, advance: Advance = ignore_progress) -> Iterator[Row]:
    """Yield the rows of a table in their order; damage of the file is noted in `tally`."""
    if table.form == "parquet":
        for place, record in parquet.records(table.path, tally, advance):
            yield place, _cells(record, table.header)
    elif table.form == "json":
        for offset, line in decompressed_lines(table.path, tally, advance):
            yield Damage(str(table.path), offset, ""), _cells(decoded(offset, line, tally), table.header)
    else:
        width = len(table.header)
        for place, cells in islice(_csv_rows(table, table_map, tally, advance), 1, None):
            if isinstance(cells, Lost):
                yield place, cells
            elif len(cells) > width:
                what = f"the row has {len(cells)} cells, and the header {width}"
                yield place, Lost("wrong_cells", what)
            elif cells:
                yield place, [*cells, *[None] * (width - len(cells))]


# -- JSON and Parquet -------------------------------------------------------------------------------------------------


def _json_header(path: Path) -> list[str]:
    """The keys of the first records, those inside of others with a dot; empty if they are no objects."""
    names: dict[str, None] = {}
    for offset, line in islice(decompressed_lines(path, Tally()), _RECORDS_SNIFFED):
        names |= dict.fromkeys(_names(decoded(offset, line, Tally())))
    return list(names)


def _names(record: Any, before: str = "") -> Iterator[str]:
    for name, value in record.items() if isinstance(record, dict) else ():
        yield from _names(value, f"{before}{name}.") if isinstance(value, dict) else [f"{before}{name}"]


def _parquet_header(path: Path) -> list[str]:
    try:
        return [name for one in pq.read_schema(path) for name in _field_names(one)]
    except parquet.UNREADABLE as error:
        raise BadInput(f"{path} is damaged: {error!s:.100}.", "Get an undamaged copy.") from error


def _field_names(one: pa.Field[Any], before: str = "") -> Iterator[str]:
    if pa.types.is_struct(one.type):
        for inner in one.type:
            yield from _field_names(inner, f"{before}{one.name}.")
    else:
        yield before + one.name


def _cells(record: Any, header: Sequence[str]) -> list[str | None] | Lost:
    if isinstance(record, Lost):
        return record
    if not isinstance(record, dict):
        return Lost("not_an_object", "a JSON object was expected")
    return [_text(record[name] if name in record else _inside(record, name)) for name in header]


def _inside(record: Any, name: str) -> Any:
    """A value of a record inside a record."""
    for part in name.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record


def _text(value: Any) -> str | None:
    """A value as a cell of text has it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float | Decimal):
        if value != value:  # noqa: PLR0124  (NaN, which pandas writes for an empty cell)
            return None
        return str(int(value)) if -_EXACT < value < _EXACT and value == int(value) else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value).lower() if isinstance(value, int) else json.dumps(value, default=str)


# -- CSV --------------------------------------------------------------------------------------------------------------


def _encoding(start: bytes) -> str:
    """UTF-8, or an older one if most lines that are not ASCII are none; UTF-16 has been read before."""
    sound = broken = 0
    for line in start.split(b"\n")[:-1] or [start]:
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                broken += 1
            else:
                sound += 1
    return max(_ENCODINGS, key=lambda name: _names_known(start, name)) if broken > sound else "utf-8"


def _names_known(start: bytes, encoding: str) -> int:
    """How many known names of columns the header has in an encoding."""
    lines = (line for line in start.split(b"\n") if line.strip() and not _SEPARATOR.match(line.decode("latin-1")))
    try:
        header = next(lines, b"").decode(encoding)
    except UnicodeDecodeError:
        return -1
    return sum(plain(name) in KNOWN for name in re.split(r"[\t,;|]", header))


def _delimiter(lines: Sequence[str]) -> str:
    """What parts the cells: what stands in the header most often, outside of quotes."""
    header = re.sub(r'"[^"]*"', "", next((line for line in lines if line.strip()), ""))
    return max(_DELIMITERS, key=lambda mark: (header.count(mark), -_DELIMITERS.index(mark)))


class _Source:
    """The lines of a file as text; `held` has those of the row that is being read, with their places."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: deque[tuple[int, str]] = deque()
        self.held: list[tuple[int, str]] = []
        self._size, self.ended = 0, False

    def begin(self) -> None:
        """Begin a row."""
        self.held, self._size, self.ended = [], 0, False

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> str:
        one = self._again.popleft() if self._again else next(self._lines, None)
        if one is None:
            self.ended = True
            raise StopIteration
        self.held.append(one)
        self._size += len(one[1])
        if self._size > _ROW_MAX:
            raise _OpenCellError
        return one[1]

    def step_back(self) -> None:
        """Give all lines of this row again but the first."""
        self._again.extendleft(reversed(self.held[1:]))


class _OpenCellError(Exception):
    """A row is too long: a cell in quotes does not end."""


def _csv_rows(
    table: Table, table_map: TableMap, tally: Tally, advance: Advance
) -> Iterator[tuple[Damage, list[str] | Lost]]:
    """The place and the cells of each row, Lost for one that cannot be read. Empty lines have no cells."""
    csv.field_size_limit(_ROW_MAX)
    path = str(table.path)
    source = _Source(_texts(table, tally, advance))
    form = {
        "delimiter": table.delimiter,
        "quoting": csv.QUOTE_MINIMAL if table_map.quotes else csv.QUOTE_NONE,
        "escapechar": table_map.escape,
    }
    reader, open_cells = csv.reader(source, **form), 0  # type: ignore[arg-type]
    while True:
        source.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _OpenCellError):
            cells = None
        place = Damage(path, source.held[0][0], "")
        # A row that is whole does not ask for another line: this one ended because the file did.
        if cells is not None and not source.ended:
            yield place, cells
            continue
        open_cells += 1
        yield place, Lost("wrong_cells", "a cell in quotes does not end")
        if open_cells == _OPEN_CELLS_MAX:
            what = f"{_OPEN_CELLS_MAX} cells in quotes do not end, and it is not read further"
            tally.damages.append(Damage(path, place.offset, what, "If quotes mean nothing in it, add quotes = false."))
            return
        source.step_back()
        reader = csv.reader(source, **form)  # type: ignore[arg-type]


def _texts(table: Table, tally: Tally, advance: Advance) -> Iterator[tuple[int, str]]:
    """The lines of a file with their ends, and where each begins."""
    for start, block in line_blocks(table.path, tally, advance):
        text = bytes(block)
        offset = start
        for number, line in enumerate(text.split(b"\n")):
            if number and not line and offset == start + len(text):
                break  # what comes after the end of the last line
            own = line.removeprefix(UTF8_MARK) if offset == 0 else line
            try:
                decoded = own.decode(table.encoding)
            except UnicodeDecodeError:
                decoded = own.decode(table.encoding, "replace")
                tally.note("line", "text_repaired")
            if offset == 0 and _SEPARATOR.match(decoded):
                offset += len(line) + 1
                continue
            # A carriage return inside a line is no end of a row; csv would refuse it outside of quotes.
            yield offset, decoded.removesuffix("\r").replace("\r", " ") + "\n"
            offset += len(line) + 1
