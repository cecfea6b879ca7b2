"""How far the listings of communities are complete, and since when records of them are missing."""

from __future__ import annotations

import sqlite3

from shp_miner.crawling.queues import community_key
from shp_miner.platforms.items import Origin

_OF = "source = ? AND site = ? AND community = ?"


class Windows:
    """The table `windows` of a crawl's file. Times are in microseconds since 1970."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def complete_to(self, origin: Origin) -> int | None:
        """Return the time up to which the listing is stored completely; None before the first complete listing."""
        return self._read(origin, "complete_to")

    def complete(self, origin: Origin, to: int) -> None:
        """Note that the listing is stored completely up to a time; an earlier time changes nothing."""
        self._write(origin, "complete_to", to, "max(ifnull(complete_to, excluded.complete_to), excluded.complete_to)")

    def lossy_since(self, origin: Origin, now: int) -> int:
        """Return since when listings have lost records; that is `now` if no earlier time is noted."""
        self._write(origin, "lossy_since", now, "min(ifnull(lossy_since, excluded.lossy_since), excluded.lossy_since)")
        return self._read(origin, "lossy_since") or now

    def whole(self, origin: Origin) -> None:
        """Note that no record of the listing is waited for."""
        self._database.execute(f"UPDATE windows SET lossy_since = NULL WHERE {_OF}", community_key(origin))

    def _read(self, origin: Origin, column: str) -> int | None:
        row = self._database.execute(f"SELECT {column} FROM windows WHERE {_OF}", community_key(origin)).fetchone()
        return None if row is None else row[0]

    def _write(self, origin: Origin, column: str, time_us: int, merged: str) -> None:
        self._database.execute(
            f"INSERT INTO windows (source, site, community, {column}) VALUES (?, ?, ?, ?) "
            f"ON CONFLICT DO UPDATE SET {column} = {merged}",
            (*community_key(origin), time_us),
        )
