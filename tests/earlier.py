"""Stores as earlier versions made them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from shp_miner.model import OPTIONAL
from shp_miner.store import Store
from shp_miner.store.files import STATISTICS, write_file
from shp_miner.store.lake import TABLES
from shp_miner.store.migrate import MARK


def set_back(folder: Path, schema: int) -> None:
    """Make of a store one of schema 1 or 2: the same rows in tables without the columns in OPTIONAL."""
    for name, current in TABLES.items():
        rows = Store(folder).observations(name).collect()  # type: ignore[arg-type]
        earlier = pa.schema([field for field in current if field.name not in OPTIONAL])
        shutil.rmtree(folder / name)
        configuration = {"delta.dataSkippingStatsColumns": ",".join(STATISTICS)}
        DeltaTable.create(str(folder / name), schema=earlier, configuration=configuration)  # type: ignore[arg-type]
        if rows.height:
            table = rows.sort("thread_hash", maintain_order=True).select(earlier.names).to_arrow().cast(earlier)
            delta = DeltaTable(str(folder / name))
            written = write_file(folder / name, table)
            delta.create_write_transaction([written], mode="append", schema=delta.schema(), partition_by=[])
    mark = {"schema": 1} if schema == 1 else {**json.loads((folder / MARK).read_bytes()), "schema": 2}
    (folder / MARK).write_text(json.dumps(mark))


def columns(folder: Path, name: str) -> list[str]:
    """The columns of a table, by its log."""
    return [field.name for field in DeltaTable(str(folder / name)).schema().fields]


def files_without(folder: Path, name: str, column: str) -> int:
    """How many of the current files of a table lack a column."""
    paths = DeltaTable(str(folder / name)).file_uris()
    return sum(column not in pl.read_parquet_schema(path) for path in paths)
