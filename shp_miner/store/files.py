"""Writing the files of the store: data files, their entries for the log, and files that replace others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from shp_miner.paths import is_remote
from shp_miner.store.replacing import replace_file, sync_to_disk
from shp_miner.units import from_us, utc_text

__all__ = ["Ends", "replace_file", "row_group", "sync_to_disk", "write_file", "write_tables"]

#: Columns worth statistics: those that reading filters by. Text never has any, so that what a person wrote stands in
#: no log and no footer.
STATISTICS = ("thread_hash", "community", "created_at", "observed_at")

#: Rows of a row group: the smallest piece that a reader of one hash range must decode.
ROW_GROUP = 20_000

#: Columns of few different values. A dictionary of any other is made in vain: it outgrows its page and is dropped.
_FEW_VALUES = ("source", "platform", "site", "community", "body_format", "author_role", "license", "state")

#: Level 1 was measured against 3: a fifth less time, 2 % more bytes.
COMPRESSION: Literal["ZSTD"] = "ZSTD"
COMPRESSION_LEVEL = 1


def write_file(folder: Path, table: pa.Table) -> AddAction:
    """Write `table` under a new name in `folder`, and return its entry for the log. Raises OSError.

    The file is on the disk, and nobody reads it until the log names it, so a file left by a crash does no harm.
    """
    return write_tables(folder, table.schema, [table])


def write_tables(folder: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> AddAction:
    """As `write_file`, for rows that come in parts, so that memory holds one part at a time."""
    path = folder / f"part-00000-{uuid4()}-c000.zstd.parquet"
    ends = Ends()
    try:
        with ExitStack() as stack:
            out = stack.enter_context(path.open("wb")) if is_remote(path) else path
            writer = stack.enter_context(parquet_writer(out, schema))
            for table in tables:
                writer.write_table(table, row_group_size=ROW_GROUP)
                ends.add(table)
        size = path.stat().st_size
        # Before the log names it: a table whose log is on the disk and whose rows are not could not be read any more.
        sync_to_disk(path, folder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    now_ms = time.time_ns() // 1_000_000
    return AddAction(path.name, size, {}, now_ms, data_change=True, stats=json.dumps(ends.statistics()))


def parquet_writer(out: Path | BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Return the writer of a data file, as the store's files are written."""
    return pq.ParquetWriter(
        out,
        schema,
        compression="zstd",  # COMPRESSION, as this library spells it
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=list(_FEW_VALUES),  # type: ignore[arg-type]  # the stubs know no list
        write_statistics=list(STATISTICS),
    )


def row_group(file: pq.ParquetFile, number: int, schema: pa.Schema) -> pa.Table:
    """Return a row group with the columns of `schema`; those that a file of an earlier schema lacks are null."""
    table = file.read_row_group(number, columns=schema.names)
    for name in schema.names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, schema.field(name).type))
    return table.select(schema.names).cast(schema)


class Ends:
    """Least and greatest values of the columns with statistics, over the parts of a file."""

    def __init__(self) -> None:
        self._rows = 0
        self._least: dict[str, Any] = {}
        self._most: dict[str, Any] = {}
        self._nulls = dict.fromkeys(STATISTICS, 0)

    def add(self, table: pa.Table) -> None:
        """Take the rows of one part into account."""
        import pyarrow.compute as pc  # noqa: PLC0415  (it is slow to import, and readers of a store do without)

        self._rows += table.num_rows
        for name in STATISTICS:
            column = table[name]
            self._nulls[name] += column.null_count
            ends = pc.min_max(column)
            for kept, value, choose in ((self._least, ends["min"], min), (self._most, ends["max"], max)):
                plain = _plain(value)
                if plain is not None:
                    kept[name] = choose(kept.get(name, plain), plain)

    def statistics(self) -> dict[str, Any]:
        """Return the per-file statistics of the Delta protocol."""
        return {"numRecords": self._rows, "minValues": self._least, "maxValues": self._most, "nullCount": self._nulls}


def _plain(value: pa.Scalar[pa.DataType]) -> Any:
    """A value as JSON has it. Times all have one length, so their text is ordered as they are."""
    if pa.types.is_timestamp(value.type) and value.is_valid:
        # As a number: to hand out a time itself, this library imports pandas, which takes longer than all the rest.
        return utc_text(from_us(value.cast(pa.int64()).as_py()), "microseconds")
    return value.as_py()
