"""Rows of a Parquet file of threads, in limited memory, however much its bytes unpack to.

A dictionary may hold one long string that thousands of rows name, and a run of equal values takes no room. So such
texts are read as dictionaries (`parquet_reader`), and each becomes one Python string that all its rows share. A row
group's declared size is checked against its bytes before it is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from shp_miner.dumps.compressed import Advance
from shp_miner.dumps.parquet_footer import RowGroup, row_groups
from shp_miner.dumps.parquet_reader import Reader, bytes_of
from shp_miner.dumps.sections import Section
from shp_miner.dumps.whole_lines import LINE_MAX
from shp_miner.engine import Step
from shp_miner.tally import Damage, Lost, Tally

#: Bytes of a file turned into records at a time, and rows and values of a column at most.
_BATCH = 16 << 20
_ROWS, _VALUES = 4096, 1 << 20

#: What no file of threads unpacks to: over so many bytes of text that were packed so many times smaller, in a column or
#: in all row groups so far; so many rows, or values of a column, with less than a byte of the file for each.
_UNPACKED, _PACKED = 64 << 20, 1000
_MANY = 100_000

#: Values in one row of a column at most: as JSON, so many answers would be longer than a line may be.
VALUES_OF_ROW = 1 << 20


#: What the library raises where a file is damaged: names of columns are decoded where they are first asked for.
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)

#: A row as a dictionary, or Lost, and its place.
Record = tuple[Damage, Any]


@dataclass(frozen=True)
class Batch:
    """Some rows of a file whose texts are sound and not too long, from number `first` on."""

    path: Path
    offset: int
    first: int
    table: pa.RecordBatch

    def records(self, rows: Sequence[int]) -> Iterator[Record]:
        """Some of the rows, each by itself."""
        for row in rows:
            for _, record in rows_of(self.table.slice(row, 1)):
                yield Damage(str(self.path), self.offset, f"row {self.first + row}: "), record


def records(path: Path, tally: Tally, advance: Advance) -> Iterator[Record]:
    """Yield each row by itself. A damaged row group is noted and skipped."""
    for part in parts(path, tally, advance, in_batches=False):
        if not isinstance(part, Batch):
            yield part


def parts(
    path: Path, tally: Tally, advance: Advance, *, in_batches: bool = True, section: Section | None = None
) -> Generator[Batch | Record, None, None]:
    """Yield the rows of a file, or of some of its row groups, as `records` does.

    They come in batches, or one by one where a batch may be too large or unsound. What row groups before the section
    say of their sizes counts for what it may unpack to, as if they had been read.
    """
    try:
        groups = row_groups(path)
        reader = Reader(path)
        if len(groups) != reader.row_groups:
            raise pa.ArrowInvalid("its row groups are not told")
    except UNREADABLE as error:
        what = f"the directory at its end is unreadable ({error})"
        tally.damages.append(Damage(str(path), path.stat().st_size, what))
        return
    advance(Step(doing=path.name))
    first, allowed = 0, _Allowed()
    for number, group in enumerate(groups[: section.end] if section else groups):
        is_before = section is not None and number < section.begin
        offset, packed, size = group.columns[0].offset, group.packed, _rows_at_once(group)
        row = first
        first += group.rows
        try:
            allowed.begin(group, packed)
            for batch in () if is_before else reader.batches(number, group, size):
                size_bytes = _text_bytes(batch) if in_batches else None
                if size_bytes is not None and allowed.has(size_bytes):
                    allowed.text(size_bytes)
                    yield Batch(path, offset, row, batch)
                    row += batch.num_rows
                    continue
                for chars, record in rows_of(batch):
                    allowed.text(chars)
                    yield Damage(str(path), offset, f"row {row}: "), record
                    row += 1
        except _TooLargeError as error:
            if is_before:
                continue  # the task of that section says so
            tally.damages.append(Damage(str(path), offset, f"row group {number} is not read: {error}"))
        except UNREADABLE as error:
            tally.damages.append(Damage(str(path), offset, f"row group {number} breaks off at row {row} ({error})"))
        advance(0 if is_before else packed)


class _TooLargeError(Exception):
    """A row group would unpack to more than its bytes can mean."""


class _Allowed:
    """What a file may still unpack to, by the bytes of the row groups so far: many small groups are as one large."""

    def __init__(self) -> None:
        self._packed, self._chars, self._values = 0, _UNPACKED, _MANY

    def begin(self, group: RowGroup, packed: int) -> None:
        """Take in a row group. Raises _TooLargeError where it cannot be one of threads."""
        self._packed = packed
        self._chars += _PACKED * packed
        self._values += packed
        for column in group.columns:
            if column.unpacked > _UNPACKED and column.unpacked > _PACKED * column.packed:
                raise _TooLargeError(f"its column {column.name} unpacks {column.packed:,} bytes to {column.unpacked:,}")
        values = max([group.rows, *(column.values for column in group.columns)])
        if values > self._values:
            raise _TooLargeError(f"it has {values:,} rows or values of a column in {packed:,} bytes")
        self._values -= values

    def has(self, chars: int) -> bool:
        """Whether so many characters may come."""
        return chars <= self._chars

    def text(self, chars: int) -> None:
        """Take in so many characters of a row. Raises _TooLargeError where they are too many."""
        self._chars -= chars
        if self._chars < 0:
            raise _TooLargeError(f"its text is more than {_PACKED:,} times as long as its {self._packed:,} bytes")


def _rows_at_once(group: RowGroup) -> int:
    values = max(column.values for column in group.columns)
    by_size = _BATCH * group.rows // max(group.unpacked, 1)
    by_values = _VALUES * group.rows // max(values, 1)
    return max(1, min(_ROWS, by_size, by_values))


def rows_of(batch: pa.RecordBatch) -> Iterator[tuple[int, Any]]:
    """(characters, row as a dictionary) for each row of a batch; Lost for one that is too long or not UTF-8."""
    names = batch.schema.names
    if _longest(batch) <= VALUES_OF_ROW:
        try:
            yield from _bounded(names, [_values(column) for column in batch.columns])
            return
        except UnicodeDecodeError:
            pass
    for number in range(batch.num_rows):
        row = batch.slice(number, 1)
        if _longest(row) > VALUES_OF_ROW:
            yield 0, Lost("line_too_long", f"it has more than {VALUES_OF_ROW:,} answers")
            continue
        try:
            columns = [_values(column) for column in row.columns]
        except UnicodeDecodeError:
            yield 0, Lost("not_utf8", "its text is not UTF-8")
        else:
            yield from _bounded(names, columns)


def _text_bytes(batch: pa.RecordBatch) -> int | None:
    """The bytes of all texts of a batch, None where it must be read row by row."""
    if _longest(batch) > VALUES_OF_ROW:
        return None
    size = sum(map(bytes_of, batch.columns))
    if size > LINE_MAX:
        return None
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return size


def _longest(batch: pa.RecordBatch) -> int:
    """The most values that a row has in a column of lists."""
    lists = [column for column in batch.columns if pa.types.is_list(column.type) or pa.types.is_large_list(column.type)]
    return max((pc.max(pc.list_value_length(column)).as_py() or 0 for column in lists), default=0)


def _bounded(names: list[str], columns: list[list[Any]]) -> Iterator[tuple[int, Any]]:
    for values in zip(*columns, strict=True):
        chars = _chars(values)
        if chars > LINE_MAX:
            yield chars, Lost("line_too_long", f"its texts are longer than {LINE_MAX} characters")
        else:
            yield chars, dict(zip(names, values, strict=True))


def _chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return 0
    return sum(map(_chars, value))


def _values(array: pa.Array[Any]) -> list[Any]:
    """As `to_pylist`, with one object for all that name the same text. Raises UnicodeDecodeError."""
    kind = array.type
    if isinstance(array, pa.DictionaryArray):
        texts, indices = _texts(array.dictionary), array.indices.to_pylist()
        if any(index is not None and not 0 <= index < len(texts) for index in indices):
            raise pa.ArrowInvalid("a row names a text that its dictionary does not have")
        return [None if index is None else _sound(texts[index]) for index in indices]
    if isinstance(array, pa.StructArray):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        parts = zip(*(_values(part) for part in array.flatten()), strict=True) if names else iter(lambda: (), None)
        return [
            dict(zip(names, part, strict=True)) if there else None
            for there, part in zip(array.is_valid().to_pylist(), parts, strict=False)
        ]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lists = cast("pa.ListArray[Any]", array)
        ends: list[int] = lists.offsets.to_numpy().tolist()
        first = ends[0] if ends else 0
        inside = _values(lists.values.slice(first, ends[-1] - first)) if ends else []
        there = array.is_valid().to_pylist()
        return [
            inside[ends[number] - first : ends[number + 1] - first] if there[number] else None
            for number in range(len(array))
        ]
    return list(array.to_pylist())


def _texts(dictionary: pa.Array[Any]) -> list[Any]:
    """The entries of a dictionary, with the error in the place of one that is not UTF-8: rows may name another."""
    try:
        return list(dictionary.to_pylist())
    except UnicodeDecodeError:
        found: list[Any] = []
        for value in dictionary.cast(pa.large_binary()).to_pylist():
            try:
                found.append(None if value is None else value.decode())
            except UnicodeDecodeError as error:
                found.append(error)
        return found


def _sound(text: Any) -> Any:
    if isinstance(text, UnicodeDecodeError):
        raise text
    return text
