"""Reading the crawl's file (what crawls remember, what runs did) without blocking its writers."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from shp_miner.crawling.doubts import CLOSED
from shp_miner.crawling.state import LATE_US
from shp_miner.errors import BadInput, from_os_error
from shp_miner.store.database import GIVEN_UP, NEVER, SCHEMAS, WAITING, database_file, newer_schema
from shp_miner.store.runs import Run, as_run

#: What a file of an earlier schema has no column for, and nothing of.
_SINCE_4 = " AND NOT unreadable"

#: A visit to an old thread, this long or longer after the one before, may be late by as long: nobody is called earlier.
_SLACK = f"CASE WHEN due_at - read_at >= {LATE_US} THEN due_at - read_at ELSE 0 END"

_MONTH_US = 30 * 86_400_000_000

_FAILING = f"NOT gone AND error IS NOT NULL AND NOT ({GIVEN_UP})"
_GIVEN_UP = f"NOT gone AND {GIVEN_UP}"


class Cursor(Struct, frozen=True):
    """How far a community has been read. Times are microseconds since 1970; the other fields count threads."""

    source: str
    site: str
    community: str
    complete_to: int | None
    threads: int
    waiting: int
    due: int
    failing: int
    given_up: int
    unreadable: int


class ThreadSeen(Struct, frozen=True):
    """A thread that waits since `since`, and the reason if it is known."""

    source: str
    site: str
    community: str
    post_id: str
    since: int
    error: str | None = None


class Look:
    """Opens the crawl file of a store's folder read-only; a missing file counts as empty.

    Raises BadInput if the file is damaged or from a newer version.
    """

    def __init__(self, folder: Path) -> None:
        self._path = database_file(folder)
        self._database = open_to_look(self._path) if self._path.exists() else None
        #: 0 where there is nothing yet.
        self._schema = len(SCHEMAS)
        self._schema = int(self._rows("PRAGMA user_version")[0][0]) if self._database else 0
        if self._schema > len(SCHEMAS):
            self.__exit__()
            raise newer_schema(self._path, self._schema)
        self._since = "failed_since" if self._schema >= 3 else "retry_at"

    def __enter__(self) -> Look:
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()

    # -- runs ---------------------------------------------------------------------------------------------------------

    def runs(self, count: int) -> list[Run]:
        """Return the last runs, newest first."""
        if self._schema < 2:
            return []
        return [as_run(row) for row in self._rows("SELECT * FROM runs ORDER BY id DESC LIMIT ?", count)]

    def last_success(self) -> int | None:
        """Return when a run last ended with exit code 0 or 3.

        Without such a run, return when the first run began; None without any run.
        """
        if self._schema < 2:
            return None
        query = "SELECT coalesce(max(CASE WHEN exit_code IN (0, 3) THEN ended_at END), min(started_at)) FROM runs"
        value: int | None = self._rows(query)[0][0]
        return value

    # -- threads ------------------------------------------------------------------------------------------------------

    def cursors(self, now: int) -> list[Cursor]:
        """Return every community that was listed or read at any time."""
        if not self._schema:
            return []
        rows = self._rows(
            "SELECT source, site, community, max(complete_to), sum(known), sum(waiting), sum(due), sum(failing), "
            "sum(given_up), sum(away) FROM (SELECT source, site, community, complete_to, 0 known, 0 waiting, 0 due, "
            f"0 failing, 0 given_up, 0 away FROM windows UNION ALL SELECT source, site, community, NULL, 1, {WAITING}, "
            f"coalesce(NOT gone AND due_at <= ? AND retry_at < {NEVER}, 0), {_FAILING}, {_GIVEN_UP}, "
            f"{'unreadable > 0' if self._schema >= 4 else '0'} FROM threads) "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            now,
        )
        return [Cursor(*row) for row in rows]

    def failing(self) -> ThreadSeen | None:
        """Return the thread that has failed for longest, with its last error; given up threads do not count."""
        return self._first(f"{self._since}, error FROM threads WHERE {_FAILING}", self._since)

    def given_up(self, count: int = -1) -> list[ThreadSeen]:
        """Return the given up threads, newest first, with the time of their first failure and the last error."""
        if not self._schema:
            return []
        what = f"SELECT source, site, community, post_id, {self._since}, error FROM threads WHERE {_GIVEN_UP}"
        return [ThreadSeen(*row) for row in self._rows(f"{what} ORDER BY {self._since} DESC, post_id LIMIT ?", count)]

    def overdue(self, now: int) -> ThreadSeen | None:
        """Return the thread whose visit is overdue for longest, and since when; given up threads do not count.

        The visit of an old thread is overdue if its delay is as long as the planned interval.
        """
        overdue = f"due_at + {_SLACK}"
        return self._first(
            f"{overdue}, error FROM threads WHERE {overdue} <= ? AND NOT gone AND NOT ({GIVEN_UP})", overdue, now
        )

    def oldest_unchecked(self) -> ThreadSeen | None:
        """Return the thread that was not read for longest, and its last reading time; gone threads do not count."""
        return self._first("read_at, error FROM threads WHERE NOT gone AND read_at IS NOT NULL", "read_at")

    def shut_out(self, now: int) -> ThreadSeen | None:
        """Return the thread that a closed community or a wall has hidden for longest, since when, and which of the two.

        After a month the thread is not reported any more: the community counts as closed.
        """
        if self._schema < 4:
            return None
        closed = ", ".join(f"'{against}'" for against in CLOSED)
        return self._first(
            f"since, against FROM doubts WHERE against IN ({closed}) AND since > ?", "since", now - _MONTH_US
        )

    def next_visit(self, now: int) -> int | None:
        """Return when the next visit by age is due."""
        if not self._schema:
            return None
        query = f"SELECT min(due_at) FROM threads WHERE due_at > ? AND NOT gone AND retry_at < {NEVER}"
        value: int | None = self._rows(query, now)[0][0]
        return value

    def _first(self, rest: str, order: str, *values: Any) -> ThreadSeen | None:
        if not self._schema:
            return None
        rows = self._rows(f"SELECT source, site, community, post_id, {rest} ORDER BY {order}, post_id LIMIT 1", *values)
        return ThreadSeen(*rows[0]) if rows else None

    def _rows(self, query: str, *values: Any) -> list[Any]:
        assert self._database is not None
        if self._schema < 4:
            query = query.replace(_SINCE_4, "")
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _unreadable(self._path, error) from error


def open_to_look(path: Path) -> sqlite3.Connection:
    """The file, as its writers see it, or where nobody can write beside it, as it lies on the disk."""
    error: Exception | None = None
    for how in ("mode=ro", "mode=ro&immutable=1"):
        try:
            with ExitStack() as closing_it:
                database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{how}", uri=True, timeout=10)
                closing_it.callback(database.close)
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
                closing_it.pop_all()  # it can be read, and stays open
        except sqlite3.DatabaseError as refused:
            error = error or refused
        else:
            return database
    assert error is not None
    raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> Exception:
    return from_os_error(error, f"reading {path}") or BadInput(
        f"{path} cannot be read: {error}.",
        "Run `shp-miner doctor --repair` to set the file aside; the next crawl then starts anew.",
    )
