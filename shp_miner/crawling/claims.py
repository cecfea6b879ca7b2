"""Claiming threads: which threads a run over a community reads, a few at a time and within its limit."""

from __future__ import annotations

from collections.abc import Callable, Generator

from shp_miner.crawling.progress import Telling
from shp_miner.crawling.result import Did
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import TryLater
from shp_miner.platforms.items import Origin
from shp_miner.units import microseconds

#: A thread claimed by a run that died can be read by another one after this time.
CLAIM_S = 900.0

#: After this many threads in a row for which the site was down, or shut, the run ends; and after this many whose
#: answers made no sense, which may be the threads' own.
DOWN = 3
_SENSELESS = 20

#: Threads claimed at a time.
_BATCH = 20

#: What gives threads to read: of a community, now, kept from others until a time, and at most so many.
Claim = Callable[[Origin, int, int, int], list[str]]


class Claims:
    """The threads of one run over a community, at most `limit` in all its steps.

    `now` gives the time in microseconds since 1970. The reader sets `shut` if the site refuses a thread, and clears
    `answered` if the site does not answer.
    """

    def __init__(
        self, state: CrawlState, origin: Origin, now: Callable[[], int], limit: int | None, telling: Telling
    ) -> None:
        self._state, self._origin, self._now, self._left, self._telling = state, origin, now, limit, telling
        self.shut, self.answered = "", True
        self.cut_off: str | None = None

    def batches(self, claim: Claim, did: Did, size: int) -> Generator[list[str], None, None]:
        """Yield threads that this run has claimed, up to `size` at a time; unread threads are released.

        `did` is what the reader has done so far. Its failures are counted after each batch. Raises TryLater if the site
        fails or refuses several threads in a row.
        """
        down = 0
        self._telling.begin(self._left)
        while self._left is None or self._left > 0:
            wanted = max(_BATCH, size)
            count = wanted if self._left is None else min(wanted, self._left)
            now = self._now()
            claimed = claim(self._origin, now, now + microseconds(CLAIM_S), count)
            if not claimed:
                return
            self._left = None if self._left is None else self._left - len(claimed)
            try:
                while claimed:
                    failed, self.shut, self.answered = did.failed, "", True
                    yield claimed[:size]
                    self._telling.asked(len(claimed[:size]))
                    claimed = claimed[size:]
                    down = down + 1 if did.failed > failed or self.shut else 0
                    if down >= (_SENSELESS if self.answered and not self.shut else DOWN):
                        how = f"refused {down} threads in a row: {self.shut}" if self.shut else ""
                        raise TryLater(
                            f"{self._origin.site} {how or f'failed {down} times in a row.'}", "The next run continues."
                        )
            finally:
                self._state.release(self._origin, claimed)
                if self.cut_off is not None:
                    self._state.cut_off(self._origin, self.cut_off)
