"""The queues of a crawl's threads: waiting, due, given up. Counts and names."""

from __future__ import annotations

import sqlite3

from shp_miner.platforms.communities import stored_name
from shp_miner.platforms.items import Origin
from shp_miner.store.database import GIVEN_UP, NEVER, READABLE, WAITING

#: What was given up and is to be tried once more.
ONCE_MORE = "NOT gone AND error IS NOT NULL AND retry_at = 0"


class Queues:
    """Reads the queues of a crawl's file; changes nothing."""

    _database: sqlite3.Connection

    def due_communities(self, source: str, site: str, now: int, unseen_since: int = 0) -> list[str]:
        """Return the communities of a site with threads to visit, the one waiting longest first.

        Such threads are due (also if delayed after a failure), to be retried once, or last read before `unseen_since`.
        """
        found = self._database.execute(
            "SELECT community FROM threads WHERE source = ? AND site = ? AND "
            f"((due_at <= ? AND retry_at < {NEVER}) OR ({ONCE_MORE}) OR read_at < ?) "
            "GROUP BY community ORDER BY min(max(coalesce(due_at, 0), retry_at)), min(coalesce(read_at, 0)), 1",
            (source, site, now, unseen_since),
        )
        return [community for (community,) in found]

    def visits_left(self, origin: Origin, now: int) -> int:
        """Count a community's threads that are due for a visit by age; given up threads do not count."""
        where = f"source = ? AND site = ? AND community = ? AND {READABLE} AND due_at <= ? AND retry_at < ?"
        (count,) = self._database.execute(
            f"SELECT count(*) FROM threads WHERE {where}", (*community_key(origin), now, NEVER)
        ).fetchone()
        return int(count)

    def lately(self, origin: Origin, since: int) -> tuple[int, int]:
        """Count a community's threads that were read since a time, and those found gone since then."""
        (read, gone) = self._database.execute(
            f"SELECT coalesce(sum({READABLE} AND read_at >= ?), 0), coalesce(sum(gone AND gone_at >= ?), 0) "
            "FROM threads WHERE source = ? AND site = ? AND community = ?",
            (since, since, *community_key(origin)),
        ).fetchone()
        return int(read), int(gone)

    def answers_lately(self, origin: Origin, since: int) -> int:
        """Count the answers of a community's threads that were read since a time."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM threads JOIN answers USING (source, site, post_id) "
            "WHERE read_at >= ? AND source = ? AND site = ? AND community = ?",
            (since, *community_key(origin)),
        ).fetchone()
        return int(count)

    def given_up(self, origin: Origin) -> int:
        """Count the given up threads of a community."""
        where = f"source = ? AND site = ? AND community = ? AND NOT gone AND {GIVEN_UP}"
        (count,) = self._database.execute(
            f"SELECT count(*) FROM threads WHERE {where}", community_key(origin)
        ).fetchone()
        return int(count)

    def last_read(self, origin: Origin, besides: str = "") -> str | None:
        """Return the last read thread of a community, among threads that can be read as far as is known."""
        row = self._database.execute(
            f"SELECT post_id FROM threads WHERE source = ? AND site = ? AND community = ? AND {READABLE} "
            "AND NOT post_gone AND error IS NULL AND read_at IS NOT NULL AND post_id <> ? "
            "ORDER BY read_at DESC, post_id LIMIT 1",
            (*community_key(origin), besides),
        ).fetchone()
        return row and str(row[0])

    def due(self, source: str, site: str, now: int, unseen_since: int = 0, limit: int | None = None) -> int:
        """Count the threads of a site that a recheck would visit, at most `limit` per community."""
        rows = self._database.execute(
            "SELECT count(*) FROM threads WHERE source = ? AND site = ? AND (due_at <= ? OR read_at < ?) "
            "AND retry_at <= ? GROUP BY community",
            (source, site, now, unseen_since, now),
        )
        return sum(count if limit is None else min(count, limit) for (count,) in rows)

    def expected(self, source: str, site: str | None, community: str) -> tuple[int, bool]:
        """Return how many threads of a community (named as people write it) wait, and whether it was ever listed."""
        where = "source = :source AND (:site IS NULL OR site = :site) AND lower(community) IN (:exact, :name)"
        values = {"source": source, "site": site, "exact": community.lower(), "name": stored_name(community)}
        (waiting,) = self._database.execute(
            f"SELECT count(*) FROM threads WHERE {where} AND {WAITING}", values
        ).fetchone()
        (windows,) = self._database.execute(f"SELECT count(*) FROM windows WHERE {where}", values).fetchone()
        return int(waiting), bool(windows)

    def waiting(self, origin: Origin) -> int:
        """Count a community's threads that wait to be read, failed threads included."""
        where = f"source = ? AND site = ? AND community = ? AND {WAITING}"
        (count,) = self._database.execute(
            f"SELECT count(*) FROM threads WHERE {where}", community_key(origin)
        ).fetchone()
        return int(count)


def community_key(origin: Origin) -> tuple[str, str, str]:
    """Return the key of a community in the file: source, site, community."""
    return origin.source, origin.site, origin.community
