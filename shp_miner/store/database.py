"""The store's SQLite file: the memory of crawls, and the log of runs. `local` says where it lies."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

from shp_miner.errors import BadInput, from_os_error
from shp_miner.store.local import state_folder
from shp_miner.transaction import PATIENCE_S, transaction

FILE = "crawl.sqlite"

#: What each version of the schema added, in order; the last is the current one. SQLite's user_version says how far a
#: file is. Nothing is ever changed here: a file of any age is brought forward by what it lacks.
#:
#: All times are microseconds since 1970.
#: sites: where a source's site was last asked, so that later visits ask there too.
#: windows: everything the listing holds up to `complete_to` has been taken over. `lossy_since`: listings since then had
#:   records that could not be used, so `complete_to` stays where it was.
#: threads: `changed_at` as last listed, `read_change` up to which change it was read; what changed later is waiting.
#:   `due_at` is the next visit by age, `claimed_until` keeps two processes from reading the same thread.
#:   `post_gone`: only a stub of its post is left. `failed_since`: reading it has failed since then, null if it has not.
#:   `retry_at`: it is not read before then; NEVER for one that is given up, and 0 beside an `error` for one that was,
#:   and is to be tried once more.
#:   `unreadable` counts how often a whole thread could not be read, by no fault of ours; such a thread, and one that is
#:   `gone` (since `gone_at`), is asked for again at `due_at`.
#: answers: what was present at any reading, so that what is missing at the next is noticed.
#: doubts: items that could not be read or that the platform called gone, until that is certain. `answer_id` is empty
#:   for a post, `whole` is set where the whole thread is meant. `askings` counts how often it was asked for in vain,
#:   first at `first_asked`, last at `asked_at`; `hidden` says that the store keeps it out of exports.
#: runs: every run of a pipeline; one without an end is going on or was killed. `summary` is JSON.
#: done: what need not be done again: files that were imported, lists that were forgotten, exports that are up to date.
SCHEMAS = (
    """
CREATE TABLE sites (
    source TEXT, site TEXT, url TEXT, allow_private INTEGER NOT NULL,
    PRIMARY KEY (source, site)
);
CREATE TABLE windows (
    source TEXT, site TEXT, community TEXT, complete_to INTEGER,
    PRIMARY KEY (source, site, community)
);
CREATE TABLE threads (
    source TEXT, site TEXT, post_id TEXT, community TEXT NOT NULL,
    created_at INTEGER, changed_at INTEGER NOT NULL, read_change INTEGER, read_at INTEGER, due_at INTEGER,
    missing INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0, post_gone INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, retry_at INTEGER NOT NULL DEFAULT 0, error TEXT,
    claimed_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, site, post_id)
);
CREATE INDEX threads_due ON threads (due_at) WHERE due_at IS NOT NULL AND NOT gone;
CREATE TABLE answers (
    source TEXT, site TEXT, post_id TEXT, answer_id TEXT, created_at INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, site, post_id, answer_id)
) WITHOUT ROWID;
""",
    """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER, exit_code INTEGER,
    summary TEXT
);
CREATE TABLE done (what TEXT PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX threads_waiting ON threads (source, site, community, changed_at)
    WHERE NOT gone AND (read_change IS NULL OR read_change < changed_at);
""",
    """
ALTER TABLE threads ADD COLUMN failed_since INTEGER;
UPDATE threads SET failed_since = retry_at WHERE error IS NOT NULL;
CREATE INDEX threads_failing ON threads (failed_since) WHERE failed_since IS NOT NULL;
""",
    """
CREATE TABLE doubts (
    source TEXT, site TEXT, post_id TEXT, answer_id TEXT, community TEXT NOT NULL, whole INTEGER NOT NULL,
    against TEXT NOT NULL, state TEXT NOT NULL, since INTEGER NOT NULL, askings INTEGER NOT NULL,
    first_asked INTEGER, asked_at INTEGER, hidden INTEGER NOT NULL,
    PRIMARY KEY (source, site, post_id, answer_id)
) WITHOUT ROWID;
ALTER TABLE threads ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE threads ADD COLUMN gone_at INTEGER;
ALTER TABLE threads ADD COLUMN first_read_at INTEGER;
UPDATE threads SET first_read_at = read_at;
UPDATE threads SET due_at = 0, gone_at = coalesce(read_at, 0) WHERE gone;
UPDATE threads SET due_at = read_at + 2592000000000
    WHERE due_at IS NULL AND NOT gone AND read_at IS NOT NULL AND created_at IS NOT NULL;
CREATE INDEX threads_again ON threads (due_at) WHERE gone OR unreadable;
CREATE INDEX threads_seen ON threads (read_at) WHERE NOT gone;
""",
    """
ALTER TABLE windows ADD COLUMN lossy_since INTEGER;
""",
)

#: The `retry_at` of a thread that is given up: the largest number that SQLite has.
NEVER = (1 << 63) - 1

#: Threads that can be read, for all that is known.
READABLE = "NOT gone AND NOT unreadable"

#: Threads that are gone or could not be read, and may be back.
AWAY = "(gone OR unreadable)"

#: Threads that wait to be read.
WAITING = f"NOT gone AND NOT unreadable AND (read_change IS NULL OR read_change < changed_at) AND retry_at < {NEVER}"

#: Threads that are given up, those that are to be tried once more among them.
GIVEN_UP = f"error IS NOT NULL AND retry_at IN (0, {NEVER})"


def database_file(folder: Path) -> Path:
    """Return the path of the file of the store in `folder`; it need not exist."""
    return state_folder(folder, look_only=True) / FILE


def opened_database(folder: Path) -> sqlite3.Connection:
    """Open the file of the store in `folder`; create or migrate it if needed.

    Raises BadInput if it is damaged or from a newer version.
    """
    path = state_folder(folder) / FILE
    try:
        with ExitStack() as closing_it:
            database = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
            closing_it.callback(database.close)
            _write_ahead(database)
            database.execute("PRAGMA synchronous = FULL")
            with transaction(database):
                version = _brought_forward(database)
            closing_it.pop_all()  # it is as it should be, and stays open
    except (sqlite3.DatabaseError, OSError) as error:
        raise from_os_error(error, f"opening {path}") or BadInput(
            f"{path} cannot be read: {error}.",
            "Run `shp-miner doctor --repair` to set the file aside; the next crawl then starts anew.",
        ) from error
    if version > len(SCHEMAS):
        database.close()
        raise newer_schema(path, version)
    return database


def newer_schema(path: Path, version: int) -> BadInput:
    """Return the error for a file whose schema this version does not know."""
    return BadInput(f"{path} has schema {version}; this version reads {len(SCHEMAS)}.", "Install the newest shp-miner.")


def _brought_forward(database: sqlite3.Connection) -> int:
    """Add what a file of an earlier schema lacks; returns the version it had."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    for number, schema in enumerate(SCHEMAS[version:], version + 1):
        for statement in filter(str.strip, schema.split(";")):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {number}")
    return int(version)


def shrink_log(folder: Path) -> None:
    """Merge the write-ahead log into the file, so that no log grows beside it.

    Rows are hardly ever deleted, so the file itself has no free space. Does nothing if no crawl or run has created it.
    """
    if database_file(folder).exists():
        with closing(opened_database(folder)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_ahead(database: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side. SQLite's own patience does not cover this step, so it is here."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
