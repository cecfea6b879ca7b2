"""Clocks of hosts in a file, so that every run of a person on this machine keeps the same pace, whatever its store."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from threading import Lock

from shp_miner.errors import BadInput, from_os_error
from shp_miner.sources.pace import place
from shp_miner.transaction import PATIENCE_S, transaction

_SCHEMA = "CREATE TABLE IF NOT EXISTS clocks (key TEXT PRIMARY KEY, until REAL NOT NULL, why TEXT NOT NULL)"


def default_path() -> Path:
    """Where the file lies unless told otherwise: the user's folder for state, as the XDG base directories say."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "shp-miner" / "hosts.sqlite"


class FileClocks:
    """Clocks by key (see pace.Clocks) in an SQLite file. Keys name hosts and methods, nothing else.

    Raises BadInput where the file cannot be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self._lock = Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            self._database.execute(_SCHEMA)
        except (sqlite3.DatabaseError, OSError) as error:
            raise from_os_error(error, f"opening {self.path}") or BadInput(
                f"{self.path} cannot be used: {error}.", "Delete it: it only holds how long to wait for which host."
            ) from error

    def until(self, key: str) -> float:
        """See pace.Clocks."""
        with self._lock:
            return self._until(key)

    def set(self, key: str, until: float, why: str) -> None:
        """See pace.Clocks."""
        with self._lock, transaction(self._database):
            self._write(key, max(until, self._until(key)), why)

    def take(self, key: str, now: float, interval_s: float, burst: int) -> float:
        """See pace.Clocks."""
        with self._lock, transaction(self._database):
            at, until = place(self._until(key), now, interval_s, burst)
            self._write(key, until, "")
        return at

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _until(self, key: str) -> float:
        row = self._database.execute("SELECT until FROM clocks WHERE key = ?", (key,)).fetchone()
        return 0.0 if row is None else float(row[0])

    def _write(self, key: str, until: float, why: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO clocks VALUES (?, ?, ?)", (key, until, why))
