"""The memory of crawls between runs, in SQLite beside the tables: how far listings were read, and every thread seen.

It holds ids and times, and no text of any author. A thread is written to the tables before it is marked here, so every
marked thread is stored. A thread left unmarked by a crash is read again, which changes no export.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.crawling.doubts import Doubts
from shp_miner.crawling.queues import ONCE_MORE, Queues, community_key
from shp_miner.crawling.windows import Windows
from shp_miner.platforms.items import Answer, Origin, Thread
from shp_miner.sources.source import Listed
from shp_miner.store.database import AWAY, FILE, NEVER, READABLE, WAITING, database_file, opened_database
from shp_miner.transaction import transaction

__all__ = ["FILE", "CrawlState", "Known"]

#: Sites round times to the second, and clocks differ a little: a change as young as this when a thread was read may not
#: be the last of that second. One in the future is a mistake, and would hide every change up to it.
_ROUNDED_US = 5_000_000

#: A visit this long after the one before is one of the visits to old threads, which go on at growing distances.
LATE_US = 30 * 86_400_000_000

#: The `claimed_until` of a thread that a run was ended on.
_CUT_OFF = 1

_DUE = f"{READABLE} AND due_at <= :now"
_AGAIN = f"{AWAY} AND due_at <= :now"

#: What is noted of a thread that was asked for in vain: `due_at`, the same as `retry_at`, and `unreadable`.
_ASKED = "due_at = ?, retry_at = ?, unreadable = ?, tries = 0, error = NULL, failed_since = NULL, claimed_until = 0"


class Known(msgspec.Struct, frozen=True):
    """A thread that was read before: when it was made, and its answers that were there (id, created_at).

    `created_at` is null for one that was only listed. Of a thread whose post is gone only answers are left;
    `gone_answers` are the ids of those that are gone. `gone_at` is when the whole thread was found gone, null
    for one that is there, `first_read_at` when the thread was first read, null before that.
    """

    post_id: str
    created_at: int | None
    answers: list[tuple[str, int]]
    post_gone: bool = False
    gone_answers: list[str] = []
    gone_at: int | None = None
    first_read_at: int | None = None


class CrawlState(Queues):
    """The crawl's memory in a store's folder. Raises BadInput if the file is damaged or from a newer version."""

    def __init__(self, folder: Path) -> None:
        self._database = opened_database(folder)
        self.path = database_file(folder)
        self.doubts = Doubts(self._database)
        self.windows = Windows(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> CrawlState:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- sites --------------------------------------------------------------------------------------------------------

    def asked_at(self, source: str, site: str, url: str | None, *, allow_private: bool) -> None:
        """Remember the address of a site's API if it differs from the site's name."""
        with transaction(self._database):
            self._database.execute(
                "INSERT OR REPLACE INTO sites VALUES (?, ?, ?, ?)", (source, site, url, int(allow_private))
            )

    def sites(self) -> list[tuple[str, str, str | None, bool]]:
        """Return (source, site, address or None, whether private addresses are allowed) of every crawled site."""
        rows = self._database.execute("SELECT * FROM sites ORDER BY 1, 2").fetchall()
        return [(source, site, url, bool(private)) for source, site, url, private in rows]

    @property
    def is_new(self) -> bool:
        """Whether no crawl is remembered."""
        return self._database.execute("SELECT 1 FROM sites LIMIT 1").fetchone() is None

    def remember(self, threads: Iterable[tuple[Any, ...]], answers: Iterable[tuple[Any, ...]]) -> None:
        """Know threads and answers again that the store has, all of them due at once. What is known stays as it is.

        Threads are (source, site, post_id, community, created_at, first and last time of reading, whether all of it is
        gone, whether its post is), answers (source, site, post_id, answer_id, created_at, whether it is gone).
        """
        with transaction(self._database):
            self._database.executemany(
                "INSERT INTO threads (source, site, post_id, community, created_at, first_read_at, read_at, gone, "
                "post_gone, gone_at, changed_at, read_change, due_at) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, CASE WHEN ?8 THEN ?7 END, 0, 0, 0) "
                "ON CONFLICT DO NOTHING",
                threads,
            )
            self._database.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", answers)

    # -- listings -----------------------------------------------------------------------------------------------------

    def listed(self, origin: Origin, threads: Iterable[Listed], complete_to: int | None = None) -> int:
        """Store a page of a listing and how far the listing is complete; return the number of new or changed threads.

        A changed thread that was given up, gone or unreadable is requested at once. Names of communities known only
        from the store are in lower case; they get the platform's spelling here.
        """
        fresh = 0
        with transaction(self._database):
            for thread in threads:
                fresh += self._database.execute(
                    "INSERT INTO threads (source, site, post_id, community, changed_at) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET changed_at = excluded.changed_at, "
                    "community = iif(community = lower(excluded.community), excluded.community, community), "
                    f"retry_at = CASE WHEN retry_at = ? OR {AWAY} THEN 0 ELSE retry_at END, "
                    f"due_at = CASE WHEN {AWAY} THEN 0 ELSE due_at END WHERE excluded.changed_at > changed_at",
                    (origin.source, origin.site, thread.post_id, origin.community, thread.changed_at, NEVER),
                ).rowcount
            if complete_to is not None:
                self.windows.complete(origin, complete_to)
        return fresh

    # -- reading ------------------------------------------------------------------------------------------------------

    def claim_waiting(self, origin: Origin, now: int, until: int, count: int) -> list[str]:
        """Claim up to `count` of the oldest waiting threads; other processes leave them alone until `until`."""
        return self._claim(origin, f"{WAITING} ORDER BY changed_at", now, until, count)

    def claim_due(self, origin: Origin, now: int, until: int, count: int) -> list[str]:
        """Claim threads whose next visit is due; otherwise as `claim_waiting`.

        Visits at set ages come first, those longest due before others; then old threads, those unseen longest first.
        """
        late = f"due_at - read_at >= {LATE_US}"
        order = f"{late}, CASE WHEN {late} THEN read_at ELSE due_at END"
        return self._claim(origin, f"{_DUE} ORDER BY {order}", now, until, count)

    def claim_away(self, origin: Origin, now: int, until: int, count: int) -> list[str]:
        """Claim gone or unreadable threads that are to be requested again; otherwise as `claim_waiting`."""
        return self._claim(origin, f"{_AGAIN} ORDER BY due_at", now, until, count)

    def claim_unseen(self, origin: Origin, now: int, until: int, count: int, *, before: int) -> list[str]:
        """Claim threads that were last read before a time, due or not, those unseen longest first."""
        return self._claim(origin, f"read_at < {before:d} ORDER BY read_at", now, until, count)

    def ask_away_again(self, origin: Origin, before: int) -> None:
        """Make gone or unreadable threads that were last read before a time due at once."""
        with transaction(self._database):
            self._database.execute(
                "UPDATE threads SET due_at = 0, retry_at = 0 WHERE source = ? AND site = ? AND community = ? "
                f"AND {AWAY} AND coalesce(read_at, 0) < ?",
                (*community_key(origin), before),
            )

    def door_opened(self, origin: Origin) -> None:
        """Make all threads of a community due at once that a closed community or a wall kept from being read."""
        with transaction(self._database):
            self._database.execute(
                "UPDATE threads SET due_at = 0, retry_at = 0 WHERE source = ? AND site = ? AND community = ? "
                "AND unreadable AND post_id IN (SELECT post_id FROM doubts WHERE source = ? AND site = ? AND whole "
                "AND against IN ('closed', 'wall'))",
                (*community_key(origin), origin.source, origin.site),
            )

    def claim_once_more(self, origin: Origin, now: int, until: int, count: int) -> list[str]:
        """Claim given up threads that are to be retried once; otherwise as `claim_waiting`."""
        return self._claim(origin, f"{ONCE_MORE} ORDER BY failed_since", now, until, count)

    def known(self, origin: Origin, post_ids: Sequence[str]) -> list[Known]:
        """Return what is remembered of threads, in the requested order."""
        found = []
        for post_id in post_ids:
            key = (origin.source, origin.site, post_id)
            row = self._database.execute(
                "SELECT created_at, post_gone, CASE WHEN gone THEN coalesce(gone_at, 0) END, first_read_at "
                "FROM threads WHERE source = ? AND site = ? AND post_id = ?",
                key,
            ).fetchone()
            created_at, post_gone, gone_at, first_read_at = row or (None, 0, None, None)
            answers = self._database.execute(
                "SELECT answer_id, created_at, gone FROM answers "
                "WHERE source = ? AND site = ? AND post_id = ? ORDER BY created_at, answer_id",
                key,
            ).fetchall()
            there = [(answer_id, at) for answer_id, at, gone in answers if not gone]
            away = [answer_id for answer_id, _, gone in answers if gone]
            found.append(Known(post_id, created_at, there, bool(post_gone), away, gone_at, first_read_at))
        return found

    def noted(self, origin: Origin, thread: Thread) -> None:
        """Note the items of a thread before they are stored, so that this file knows every item in the tables.

        Answers that were gone and are shown again count as existing. Answers that are gone at first sight are noted
        when the thread is marked `read`: until then they count as new, also for the run after a crash.
        """
        key = (origin.source, origin.site, thread.post.post_id)
        with transaction(self._database):
            self._database.execute(
                "UPDATE threads SET created_at = ? WHERE source = ? AND site = ? AND post_id = ?",
                (thread.post.created_at, *key),
            )
            self._answers(origin, [answer for answer in thread.answers if answer.state == "live"])
        self.back(origin, thread.post.post_id, [a.answer_id for a in thread.answers if a.state == "live"])

    def back(self, origin: Origin, post_id: str, answer_ids: Sequence[str]) -> None:
        """Note that answers are shown; gone answers among them exist again."""
        with transaction(self._database):
            self._database.executemany(
                "UPDATE answers SET gone = 0 WHERE source = ? AND site = ? AND post_id = ? AND answer_id = ? AND gone",
                [(origin.source, origin.site, post_id, answer_id) for answer_id in answer_ids],
            )

    def read(self, origin: Origin, thread: Thread, read_at: int, due_at: int | None) -> None:
        """Mark a thread as read and stored, with the time of its next visit.

        A change in a later listing causes no new reading if this reading already includes it.
        """
        post = thread.post
        changed_at = thread.changed_at or 0
        knows = changed_at if changed_at < read_at - _ROUNDED_US else 0
        with transaction(self._database):
            self._seen(origin, post.post_id, read_at, due_at)
            self._answers(origin, thread.answers)
            self._database.execute(
                "UPDATE threads SET missing = ?, post_gone = ?, read_change = max(changed_at, ?) "
                "WHERE source = ? AND site = ? AND post_id = ?",
                (thread.missing, int(post.state != "live"), knows, origin.source, origin.site, post.post_id),
            )

    def visited(self, origin: Origin, post_id: str, read_at: int, due_at: int | None) -> None:
        """Mark a thread whose items were read again by id, with the time of its next visit.

        The visit says nothing about new answers: a thread that waits to be read whole still waits.
        """
        with transaction(self._database):
            self._seen(origin, post_id, read_at, due_at)

    def gone(self, origin: Origin, post_id: str, now: int, due_at: int) -> None:
        """Remember that a whole thread is gone. It is requested again at `due_at`, in case it was restored."""
        key = (origin.source, origin.site, post_id)
        where = "source = ? AND site = ? AND post_id = ?"
        with transaction(self._database):
            self._database.execute(
                "UPDATE threads SET gone = 1, gone_at = CASE WHEN gone THEN gone_at ELSE ? END, "
                f"{_ASKED} WHERE {where}",
                (now, due_at, due_at, 0, *key),
            )
            self._database.execute(f"UPDATE answers SET gone = 1 WHERE {where}", key)

    def unreadable(self, origin: Origin, post_id: str, times: int, due_at: int) -> None:
        """Remember that a whole thread was unreadable `times` times so far, and is requested again at `due_at`."""
        with transaction(self._database):
            self._database.execute(
                f"UPDATE threads SET {_ASKED} WHERE source = ? AND site = ? AND post_id = ?",
                (due_at, due_at, times, origin.source, origin.site, post_id),
            )

    def times_unreadable(self, origin: Origin, post_id: str) -> int:
        """Return how many times in a row a thread could not be read."""
        row = self._database.execute(
            "SELECT unreadable FROM threads WHERE source = ? AND site = ? AND post_id = ?",
            (origin.source, origin.site, post_id),
        ).fetchone()
        return int(row[0]) if row else 0

    def parts_gone(self, origin: Origin, post_id: str, answer_ids: Iterable[str | None]) -> None:
        """Remember that answers of a thread are gone; None is its post."""
        key = (origin.source, origin.site, post_id)
        where = "source = ? AND site = ? AND post_id = ?"
        with transaction(self._database):
            for answer_id in answer_ids:
                if answer_id is None:
                    self._database.execute(f"UPDATE threads SET post_gone = 1 WHERE {where}", key)
                else:
                    self._database.execute(
                        f"UPDATE answers SET gone = 1 WHERE {where} AND answer_id = ?", (*key, answer_id)
                    )

    def failed(self, origin: Origin, post_id: str, error: str, retry_at: int, now: int) -> None:
        """Schedule a thread for a later retry. `error` contains no name of a person and no secret."""
        with transaction(self._database):
            self._database.execute(
                "UPDATE threads SET tries = tries + 1, error = ?, retry_at = ?, claimed_until = 0, "
                "failed_since = coalesce(failed_since, ?) WHERE source = ? AND site = ? AND post_id = ?",
                (error, retry_at, now, origin.source, origin.site, post_id),
            )

    def failures(self, origin: Origin, post_id: str) -> tuple[int, int | None]:
        """Return how many times reading the thread has failed since its last reading, and since when."""
        row = self._database.execute(
            "SELECT tries, failed_since FROM threads WHERE source = ? AND site = ? AND post_id = ?",
            (origin.source, origin.site, post_id),
        ).fetchone()
        return row or (0, None)

    def give_up(self, origin: Origin, post_id: str) -> None:
        """Stop retrying a failed thread until its listing shows a change or a user asks for it."""
        with transaction(self._database):
            self._database.execute(
                "UPDATE threads SET retry_at = ? WHERE source = ? AND site = ? AND post_id = ? AND error IS NOT NULL",
                (NEVER, origin.source, origin.site, post_id),
            )

    def take_up_again(self) -> None:
        """Make all given up threads due for one retry."""
        with transaction(self._database):
            self._database.execute("UPDATE threads SET retry_at = 0 WHERE retry_at = ?", (NEVER,))

    def release(self, origin: Origin, post_ids: Sequence[str]) -> None:
        """Release claimed threads that were not read."""
        with transaction(self._database):
            self._database.executemany(
                "UPDATE threads SET claimed_until = 0 WHERE source = ? AND site = ? AND post_id = ?",
                [(origin.source, origin.site, post_id) for post_id in post_ids],
            )

    def cut_off(self, origin: Origin, post_id: str) -> None:
        """Note that a run was interrupted while it requested a thread: others come first, or no run might pass it."""
        with transaction(self._database):
            self._database.execute(
                f"UPDATE threads SET claimed_until = {_CUT_OFF} WHERE source = ? AND site = ? AND post_id = ?",
                (origin.source, origin.site, post_id),
            )

    def release_all(self) -> None:
        """Release all claims of dead runs. Only for a caller that knows that no other run is active."""
        with transaction(self._database):
            self._database.execute(f"UPDATE threads SET claimed_until = {_CUT_OFF} WHERE claimed_until > {_CUT_OFF}")

    def read_again(self, since: int) -> None:
        """Undo notes made since a time, because the store has lost rows: the next run repeats the work."""
        with transaction(self._database):
            self._database.execute("UPDATE threads SET read_change = NULL WHERE read_at >= ?", (since,))
            self._database.execute("DELETE FROM done WHERE at >= ?", (since,))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _answers(self, origin: Origin, answers: Iterable[Answer]) -> None:
        self._database.executemany(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                (
                    origin.source,
                    origin.site,
                    answer.post_id,
                    answer.answer_id,
                    answer.created_at,
                    int(answer.state != "live"),
                )
                for answer in answers
            ],
        )

    def _seen(self, origin: Origin, post_id: str, read_at: int, due_at: int | None) -> None:
        self._database.execute(
            "UPDATE threads SET read_at = :read, first_read_at = coalesce(first_read_at, :read), due_at = :due, "
            "tries = 0, retry_at = 0, error = NULL, failed_since = NULL, gone = 0, gone_at = NULL, unreadable = 0, "
            "claimed_until = 0 WHERE source = :source AND site = :site AND post_id = :post",
            {"read": read_at, "due": due_at, "source": origin.source, "site": origin.site, "post": post_id},
        )

    def _claim(self, origin: Origin, which: str, now: int, until: int, count: int) -> list[str]:
        condition, order = which.split(" ORDER BY ")
        values = {"source": origin.source, "site": origin.site, "community": origin.community}
        with transaction(self._database):
            found = self._database.execute(
                "SELECT post_id FROM threads WHERE source = :source AND site = :site AND community = :community "
                f"AND {condition} AND retry_at <= :now AND claimed_until <= :now "
                f"ORDER BY min(claimed_until, {_CUT_OFF}), {order}, post_id LIMIT :n",
                {**values, "now": now, "n": count},
            ).fetchall()
            self._database.executemany(
                "UPDATE threads SET claimed_until = ? WHERE source = ? AND site = ? AND post_id = ?",
                [(until, origin.source, origin.site, post_id) for (post_id,) in found],
            )
        return [post_id for (post_id,) in found]
