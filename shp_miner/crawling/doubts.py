"""Items that could not be read or that a platform called gone: the evidence, kept until their state is clear.

The evidence is in the crawl's SQLite file: ids, times and the kind of evidence, and no text of any author.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from shp_miner.platforms.items import Origin
from shp_miner.sources.source import Evidence
from shp_miner.store.forgotten_list import GoneState
from shp_miner.transaction import transaction

#: What is known against an item: what a source says (`sources.source.Evidence`), or "flag": the platform's own.
Against = Evidence | Literal["flag"]

#: Evidence that says nothing about a single item: a closed door, or a web page in the place of an answer.
CLOSED = ("closed", "wall")

#: Two askings count as two only when so long lies between them, in microseconds: a site that is unwell answers the same
#: question alike a minute later.
_APART_US = 4 * 3600 * 1_000_000

_KEY = "source = ? AND site = ? AND post_id = ? AND answer_id = ?"
_COLUMNS = "post_id, answer_id, whole, against, state, since, askings, first_asked"


class Doubt(msgspec.Struct, frozen=True):
    """An item in doubt.

    `answer_id` is null for a post. `whole` means that the whole thread is in doubt. `state` is the state that a purge
    would leave. `since` is when the doubt began. `askings` counts the requests that confirmed it, the first at
    `first_asked` (null before the first). Times are microseconds since 1970.
    """

    post_id: str
    answer_id: str | None
    whole: bool
    against: Against
    state: GoneState
    since: int
    askings: int
    first_asked: int | None


class Doubts:
    """The doubts of a store, in its crawl's file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def note(
        self,
        origin: Origin,
        post_id: str,
        answer_id: str | None,
        *,
        whole: bool,
        against: Against,
        state: GoneState,
        now: int,
    ) -> Doubt:
        """Note evidence against an item. Return all evidence against it so far."""
        key = (origin.source, origin.site, post_id, answer_id or "")
        counts = against not in CLOSED
        with transaction(self._database):
            self._database.execute(
                "INSERT INTO doubts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET "
                "whole = excluded.whole, against = excluded.against, state = excluded.state, "
                "askings = askings + (excluded.askings AND (asked_at IS NULL OR excluded.asked_at - asked_at >= ?)), "
                "first_asked = coalesce(first_asked, excluded.first_asked), "
                "asked_at = CASE WHEN excluded.askings AND (asked_at IS NULL OR excluded.asked_at - asked_at >= ?) "
                "THEN excluded.asked_at ELSE asked_at END",
                (
                    *key, origin.community, int(whole), against, state, now, int(counts),
                    now if counts else None, now if counts else None, _APART_US, _APART_US,
                ),
            )  # fmt: skip
            row = self._database.execute(f"SELECT {_COLUMNS} FROM doubts WHERE {_KEY}", key).fetchone()
        return _doubt(row)

    def clear(self, origin: Origin, post_id: str, answer_ids: Iterable[str | None] | None = None) -> None:
        """Delete doubts: all of a thread, or only those of these items (None is the post)."""
        thread = (origin.source, origin.site, post_id)
        with transaction(self._database):
            if answer_ids is None:
                self._database.execute("DELETE FROM doubts WHERE source = ? AND site = ? AND post_id = ?", thread)
            else:
                self._database.executemany(
                    f"DELETE FROM doubts WHERE {_KEY}", [(*thread, answer_id or "") for answer_id in answer_ids]
                )

    def shown(self, origin: Origin, post_id: str) -> bool:
        """Delete the doubt about a whole thread, because the thread is shown again, at least in part.

        Returns whether the evidence was a closed community or a wall.
        """
        key = (origin.source, origin.site, post_id, "")
        with transaction(self._database):
            found = self._database.execute(
                f"DELETE FROM doubts WHERE {_KEY} AND whole RETURNING against", key
            ).fetchall()
        return any(against in CLOSED for (against,) in found)

    def about(self, origin: Origin, post_id: str) -> bool:
        """Whether anything of a thread is in doubt."""
        key = (origin.source, origin.site, post_id)
        found = self._database.execute(
            "SELECT 1 FROM doubts WHERE source = ? AND site = ? AND post_id = ? LIMIT 1", key
        )
        return found.fetchone() is not None

    def unconfirmed(self, origin: Origin) -> tuple[int, int]:
        """Count a community's whole threads and single items that are absent or refused, but not confirmed gone."""
        row = self._database.execute(
            "SELECT coalesce(sum(whole), 0), coalesce(sum(NOT whole), 0) FROM doubts "
            "WHERE source = ? AND site = ? AND community = ? AND against IN ('missing', 'forbidden')",
            (origin.source, origin.site, origin.community),
        ).fetchone()
        return int(row[0]), int(row[1])

    def unhidden(self, origin: Origin) -> list[Doubt]:
        """Return a community's doubts whose items the store does not hide yet, also those of a killed run."""
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM doubts WHERE source = ? AND site = ? AND community = ? AND NOT hidden",
            (origin.source, origin.site, origin.community),
        )
        return [_doubt(row) for row in rows]

    def hid(self, origin: Origin, doubts: Sequence[Doubt]) -> None:
        """Note that the store hides the items of these doubts."""
        with transaction(self._database):
            self._database.executemany(
                f"UPDATE doubts SET hidden = 1 WHERE {_KEY}",
                [(origin.source, origin.site, doubt.post_id, doubt.answer_id or "") for doubt in doubts],
            )


def _doubt(row: tuple[Any, ...]) -> Doubt:
    post_id, answer_id, whole, *rest = row
    return Doubt(post_id, answer_id or None, bool(whole), *rest)
