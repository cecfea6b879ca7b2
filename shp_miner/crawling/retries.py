"""Retrying threads that cannot be read: each waits longer after every failure, and is given up in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from shp_miner.crawling.state import CrawlState
from shp_miner.platforms.items import Origin

#: First wait before a failed thread is tried again; it doubles up to a day.
RETRY_S = 900.0
LONGEST_RETRY_S = 86_400.0

#: A thread is given up when so many tries over so long have failed. Two weeks: `status` calls for somebody after two
#: days, and does so for twelve. Eight tries: who crawls once a week makes only two in two weeks, and is called for as
#: many weeks.
GIVE_UP_TRIES = 8
GIVE_UP_S = 14 * 86_400.0


class Retries:
    """The failed threads in a crawl's state. `now` gives the time in microseconds since 1970."""

    def __init__(self, state: CrawlState, now: Callable[[], int]) -> None:
        self._state, self._now = state, now
        self._hopeless: defaultdict[Origin, list[str]] = defaultdict(list)

    def put_off(self, origin: Origin, post_id: str, error: str) -> None:
        """Schedule a thread that could not be read for a later retry."""
        tries, since = self._state.failures(origin, post_id)
        now = self._now()
        wait_s = min(RETRY_S * 2**tries, LONGEST_RETRY_S)
        self._state.failed(origin, post_id, error, now + round(wait_s * 1_000_000), now)
        if tries + 1 >= GIVE_UP_TRIES and since is not None and now - since >= GIVE_UP_S * 1_000_000:
            self._hopeless[origin].append(post_id)

    def hopeless(self, origin: Origin) -> list[str]:
        """Return the threads of a community that have failed repeatedly and for too long."""
        return self._hopeless.pop(origin, [])
