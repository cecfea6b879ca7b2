"""Correcting notes with future times, which a clock that was ahead has left.

Otherwise threads would wait for those times.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from shp_miner.crawling.look import open_to_look
from shp_miner.model import SKEW_US
from shp_miner.store.database import NEVER, SCHEMAS, database_file, opened_database
from shp_miner.transaction import transaction

#: No visit is planned so far ahead, and none of a thread that could not be read.
_FAR_US = 11 * 365 * 86_400_000_000
_FAR_AWAY_US = 32 * 86_400_000_000

_PAST = ("read_at", "first_read_at", "failed_since", "gone_at")
_OWN = ("created_at", "changed_at", "read_change")

#: Threads of which something is noted that cannot have been noted yet.
_AHEAD = " OR ".join(
    [
        *(f"{name} > :late" for name in (*_PAST, *_OWN, "claimed_until")),
        "due_at > :far",
        f"(retry_at > :far AND retry_at < {NEVER})",
        "(unreadable AND due_at > :far_away)",
    ]
)
_STATEMENTS = (
    f"UPDATE threads SET {', '.join(f'{name} = min({name}, :now)' for name in _PAST)}, "
    "created_at = min(created_at, :now), "
    # Whatever the listing says next is news.
    f"{', '.join(f'{name} = CASE WHEN {name} > :late THEN 0 ELSE {name} END' for name in _OWN[1:])}, "
    f"due_at = CASE WHEN due_at IS NOT NULL THEN :now END, claimed_until = 0, "
    f"retry_at = CASE WHEN retry_at = {NEVER} THEN retry_at ELSE 0 END WHERE {_AHEAD}",
    # Listed again from the beginning: nobody knows how far it was read.
    "DELETE FROM windows WHERE complete_to > :late OR lossy_since > :late",
    "UPDATE doubts SET since = min(since, :now), first_asked = min(first_asked, :now), "
    "asked_at = min(asked_at, :now) WHERE since > :late OR first_asked > :late OR asked_at > :late",
    "UPDATE runs SET started_at = min(started_at, :now), ended_at = min(ended_at, :now) "
    "WHERE started_at > :late OR ended_at > :late",
)


def set_back(folder: Path, now: int) -> int:
    """Correct the future times in the crawl file of a store's folder; return how many there were.

    `now` is in microseconds since 1970. The threads concerned are visited at once.
    """
    if not database_file(folder).exists():
        return 0
    far = {"late": now + SKEW_US, "far": now + _FAR_US, "far_away": now + _FAR_AWAY_US, "now": now}
    changed = 0
    with closing(opened_database(folder)) as database, transaction(database):
        for statement in _STATEMENTS:
            changed += database.execute(statement, far).rowcount
    return changed


def is_ahead(folder: Path, now: int) -> bool:
    """Whether the crawl's file has times in the future."""
    if not database_file(folder).exists():
        return False
    far = {"late": now + SKEW_US, "far": now + _FAR_US, "far_away": now + _FAR_AWAY_US}
    with closing(open_to_look(database_file(folder))) as database:
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        if schema != len(SCHEMAS):
            return False  # what an earlier version noted is looked at when it was brought forward
        (threads,) = database.execute(f"SELECT count(*) FROM threads WHERE {_AHEAD}", far).fetchone()
        (windows,) = database.execute(
            "SELECT count(*) FROM windows WHERE complete_to > :late OR lossy_since > :late", far
        ).fetchone()
    return bool(threads or windows)
