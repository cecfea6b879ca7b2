"""Opening Delta tables and Parquet files where they lie: on a disk, or on an object store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from shp_miner.paths import is_remote
from shp_miner.places.path import scan_options, storage_options

#: On an object store, the entries of a log after which its state is written as a whole. Whoever opens a table reads
#: each entry since then, in two requests each. On a disk the library's hundred is right.
_CHECKPOINT_EVERY = "10"


def open_table(folder: Path, version: int | None = None) -> DeltaTable:
    """Return the Delta table in `folder`, as it is or at a version. Raises DeltaError, OSError."""
    return DeltaTable(str(folder), version=version, storage_options=storage_options(folder))


@contextmanager
def parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, of which row groups are read. Raises OSError, pa.ArrowException."""
    with ExitStack() as stack:
        if is_remote(path):
            # Columns of a row group lie side by side: they are fetched in few requests.
            opened = stack.enter_context(path.open("rb"))
            yield stack.enter_context(pq.ParquetFile(opened, pre_buffer=True))
        else:
            yield stack.enter_context(pq.ParquetFile(path))


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Return columns of a Parquet file. Raises OSError, pa.ArrowException."""
    with parquet_file(path) as file:
        return file.read(columns=list(columns))


def scan_files(paths: Sequence[Path | str], **how: object) -> pl.LazyFrame:
    """Return Parquet files, taken by their names as they are, as a lazy frame."""
    options = scan_options(paths[0]) if paths else None
    return pl.scan_parquet([str(path) for path in paths], glob=False, storage_options=options, **how)  # type: ignore[arg-type]


def create_table(folder: Path, schema: pa.Schema, configuration: Mapping[str, str | None]) -> None:
    """Create an empty table, if there is none."""
    more = {"delta.checkpointInterval": _CHECKPOINT_EVERY} if is_remote(folder) else {}
    DeltaTable.create(
        str(folder),
        schema=schema,
        mode="ignore",
        configuration={**configuration, **more},
        storage_options=storage_options(folder),
    )
