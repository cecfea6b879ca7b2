"""SQLite files that several processes write to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from shp_miner.errors import from_os_error

#: Seconds that one process waits for another to finish writing.
PATIENCE_S = 60


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing, for a connection with `isolation_level=None`. Raises TryLater on a full disk."""
    try:
        # IMMEDIATE: who writes says so at once, and waits there instead of failing in the middle.
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except BaseException as error:
        if database.in_transaction:  # SQLite has taken it back by itself where the disk was full
            database.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error) and (known := from_os_error(error, f"writing to {_file(database)}")):
            raise known from error
        raise


def _file(database: sqlite3.Connection) -> str:
    return str(database.execute("PRAGMA database_list").fetchone()[2])
