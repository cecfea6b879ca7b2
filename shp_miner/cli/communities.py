"""Names of a store's communities for completion in a shell: read within a time, from what is quick to read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from shp_miner.cli.variables import STORE
from shp_miner.paths import DEFAULT_STORE, expanded, is_remote
from shp_miner.store.database import database_file

#: Reading ends after this many seconds; the names found until then are offered.
_PATIENCE_S = 0.4

#: Files of the table of posts that are looked into, the newest first, and rows read at a time.
_FILES = 32
_ROWS = 50_000


def communities_of(store: Path | str | None) -> list[str]:
    """Return names of communities of a store, sorted; not all of them if the store is large.

    `store` is what --store says; without it, SHP_MINER_STORE or the default is meant. Raises what reading raises.
    """
    folder = expanded(store or os.environ.get(STORE) or DEFAULT_STORE)
    names: set[str] = set()
    end_s = time.monotonic() + _PATIENCE_S
    for name in [*_crawled(folder), *_stored(folder, end_s)]:
        names.add(name)
    return sorted(names)


def _crawled(folder: Path) -> list[str]:
    """Return the communities that crawls have read."""
    path = database_file(folder)
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as database:
        return [name for (name,) in database.execute("SELECT DISTINCT community FROM windows LIMIT 1000") if name]


def _stored(folder: Path, end_s: float) -> Iterator[str]:
    """Yield the communities in the column of the table of posts until the time is over."""
    if is_remote(folder):
        return  # too slow for the Tab key
    files = sorted((folder / "posts").glob("*.parquet"), key=lambda path: -path.stat().st_mtime)[:_FILES]
    if not files:
        return
    from pyarrow.parquet import ParquetFile

    for path in files:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS, columns=["community"], use_threads=False):
                yield from (str(name) for name in batch.column(0).unique().to_pylist() if name)
                if time.monotonic() > end_s:
                    return
