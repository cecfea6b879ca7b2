"""Opens Parquet files that anybody may have damaged: what cannot be read is bad input, and not a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.errors import BadInput


@contextmanager
def readable(path: Path | str, hint: str = "Export again.") -> Iterator[None]:
    """Raise BadInput with `hint` if Arrow cannot read the file at `path` while the block runs.

    Errors of the operating system, such as a missing file, stay what they are.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None or isinstance(error, MemoryError):
            raise
        raise BadInput(f"{path} is damaged: it is not readable as Parquet.", hint) from error


@contextmanager
def open_parquet(path: Path | str, hint: str = "Export again.") -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises BadInput with `hint` if it is damaged, also later in the block."""
    with readable(path, hint), pq.ParquetFile(path) as file:
        yield file
