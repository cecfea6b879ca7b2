"""Opens Parquet files that anybody may have damaged: what cannot be read is bad input, and not a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.errors import BadInput
from shp_miner.paths import is_remote


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
    with readable(path, hint), ExitStack() as opened:
        source = opened.enter_context(arrow_source(path)) if isinstance(path, Path) and is_remote(path) else path
        yield opened.enter_context(pq.ParquetFile(source))


@contextmanager
def arrow_source(path: Path) -> Iterator[pa.NativeFile]:
    """Open a file of a disk or an object store for Arrow, which would look a path up among all file systems first."""
    if not is_remote(path):
        with pa.OSFile(str(path), "rb") as file:
            yield file
        return
    with path.open("rb") as remote, pa.PythonFile(remote, mode="r") as file:
        yield file
