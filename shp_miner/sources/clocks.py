"""Clocks of hosts in a file, so that all runs of a person on this machine share one pace."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar

from shp_miner.errors import BadInput, from_os_error
from shp_miner.sources.pace import next_place
from shp_miner.transaction import PATIENCE_S, transaction

log = logging.getLogger("shp_miner.http")

_SCHEMA = "CREATE TABLE IF NOT EXISTS clocks (key TEXT PRIMARY KEY, until REAL NOT NULL, why TEXT NOT NULL)"

#: The key of a clock that holds for every host, and how far it is set ahead when all others were lost: nobody knows any
#: more who asked us to wait. Long waits are asked for again by the first answer.
_EVERY = ""
_AFTER_LOSS_S = 60.0

#: What SQLite says of a damaged file, or of one that is another's.
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_MISMATCH")

Result = TypeVar("Result")


def default_path() -> Path:
    """Return the default path of the file: the user's state folder of the XDG base directories."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "shp-miner" / "hosts.sqlite"


class FileClocks:
    """Clocks by key (see pace.Clocks) in an SQLite file. Keys contain only hosts and methods.

    A damaged file is set aside and created again, with a wait for every host. Raises BadInput if the file cannot be
    used. `now` gives the time in seconds since 1970.
    """

    def __init__(self, path: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self.path = path or default_path()
        self._lock, self._now = Lock(), now
        self._database: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._guarded(lambda _: None)
        except (sqlite3.DatabaseError, OSError) as error:
            raise from_os_error(error, f"opening {self.path}") or BadInput(
                f"{self.path} cannot be used: {error}.", "Delete it: it holds only the waiting time of each host."
            ) from error

    def until(self, key: str) -> float:
        """See pace.Clocks."""
        with self._lock:
            return self._guarded(lambda database: _until(database, key))

    def set(self, key: str, until: float, why: str) -> None:
        """See pace.Clocks."""

        def write(database: sqlite3.Connection) -> None:
            with transaction(database):
                _write(database, key, max(until, _until(database, key)), why)

        with self._lock:
            self._guarded(write)

    def take(self, key: str, now: float, interval_s: float, burst: int) -> float:
        """See pace.Clocks."""

        def write(database: sqlite3.Connection) -> float:
            with transaction(database):
                at, until = next_place(_until(database, key), now, interval_s, burst)
                _write(database, key, until, "")
            return at

        with self._lock:
            return self._guarded(write)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _guarded(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do something with the file; one that turns out to be damaged is begun anew first."""
        try:
            return work(self._opened())
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
        self.close()
        self._begin_anew()
        return work(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = sqlite3.connect(
                self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            self._database.execute(_SCHEMA)
            (said,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise _Damaged(said)
            self._database.execute("SELECT key, until, why FROM clocks LIMIT 1").fetchone()
        return self._database

    def _begin_anew(self) -> None:
        """Set the file aside and begin another. Of many processes one does it, and the others find it done."""
        with self.path.with_name(f"{self.path.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with suppress(sqlite3.DatabaseError):
                self._opened()
                return
            self.close()
            aside = self.path.with_name(f"{self.path.name}.damaged")
            self.path.replace(aside)
            for rest in ("-journal", "-wal", "-shm"):  # they are the damaged file's
                self.path.with_name(f"{self.path.name}{rest}").unlink(missing_ok=True)
            with transaction(self._opened()):
                _write(
                    self._opened(),
                    _EVERY,
                    self._now() + _AFTER_LOSS_S,
                    "may have asked for a pause (the record was lost)",
                )
            log.warning(
                "%s is damaged and was set aside as %s: requests to all hosts wait %d seconds.",
                self.path, aside.name, _AFTER_LOSS_S,
            )  # fmt: skip


class _Damaged(sqlite3.DatabaseError):
    """A file that SQLite opens, and that does not pass its check."""

    sqlite_errorname = "SQLITE_CORRUPT"


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGE)


def _until(database: sqlite3.Connection, key: str) -> float:
    rows = database.execute("SELECT until FROM clocks WHERE key IN (?, ?)", (key, _EVERY)).fetchall()
    return max((float(until) for (until,) in rows if isinstance(until, int | float)), default=0.0)


def _write(database: sqlite3.Connection, key: str, until: float, why: str) -> None:
    database.execute("INSERT OR REPLACE INTO clocks VALUES (?, ?, ?)", (key, until, why))
