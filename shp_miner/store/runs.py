"""The log of pipeline runs, and of steps that need not be repeated, in the store's SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from shp_miner.store.database import opened_database
from shp_miner.transaction import transaction

#: Runs that are remembered: three years of one a day, and no file that grows for ever.
_KEPT = 1000


class Run(msgspec.Struct, frozen=True):
    """A run; times are microseconds since 1970.

    A run that is active or was killed has no `ended_at` and no `exit_code`.
    """

    id: int
    pipeline: str
    started_at: int
    ended_at: int | None
    exit_code: int | None
    summary: dict[str, Any]


class Runs:
    """The runs of a store. Only the holder of the store's run lock may begin one."""

    def __init__(self, folder: Path) -> None:
        self._database = opened_database(folder)

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def begin(self, pipeline: str, now: int) -> int:
        """Note that a run begins; return its id. Very old runs are deleted."""
        with transaction(self._database):
            run = self._database.execute(
                "INSERT INTO runs (pipeline, started_at) VALUES (?, ?)", (pipeline, now)
            ).lastrowid
            assert run is not None
            self._database.execute("DELETE FROM runs WHERE id <= ?", (run - _KEPT,))
        return run

    def end(self, run: int, now: int, exit_code: int, summary: dict[str, Any]) -> None:
        """Note how a run ended."""
        text = msgspec.json.encode(summary).decode()
        with transaction(self._database):
            self._database.execute(
                "UPDATE runs SET ended_at = ?, exit_code = ?, summary = ? WHERE id = ?", (now, exit_code, text, run)
            )

    def last(self, count: int) -> list[Run]:
        """Return the last runs, newest first."""
        rows = self._database.execute("SELECT * FROM runs ORDER BY id DESC LIMIT ?", (count,)).fetchall()
        return [as_run(row) for row in rows]

    def state_of(self, what: str) -> str | None:
        """Return the state in which something was last done completely; None if it never was."""
        row = self._database.execute("SELECT state FROM done WHERE what = ?", (what,)).fetchone()
        return None if row is None else str(row[0])

    def did(self, what: str, state: str, now: int) -> None:
        """Note that something was done completely, with a state that tells whether it must be repeated."""
        with transaction(self._database):
            self._database.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (what, state, now))


def as_run(row: tuple[Any, ...]) -> Run:
    """A row of the table as a run."""
    number, pipeline, started_at, ended_at, exit_code, summary = row
    return Run(number, pipeline, started_at, ended_at, exit_code, msgspec.json.decode(summary) if summary else {})
