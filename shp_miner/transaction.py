"""SQLite files that several processes write to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds that one process waits for another to finish writing.
PATIENCE_S = 60


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing, for a connection with `isolation_level=None`."""
    # IMMEDIATE: who writes says so at once, and waits there instead of failing in the middle.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
