"""What bounds a run: a clock that knows how long it was waited on, and a budget that heeds the disk."""

from __future__ import annotations

from collections.abc import Callable

from shp_miner.pipeline.keys import LimitKeys
from shp_miner.sources.http import Budget, Clock, OverBudget
from shp_miner.units import sized


class WaitedClock:
    """A clock that knows how long it was waited on."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.waited_s = clock, 0.0

    def now(self) -> float:
        """See Clock."""
        return self._clock.now()

    def sleep(self, seconds: float, why: str) -> None:
        """See Clock. Counts the wait."""
        self.waited_s += seconds
        self._clock.sleep(seconds, why)


class DiskBudget(Budget):
    """A budget that ends, too, when the disk is nearly full. `free_bytes` says how much is free."""

    def __init__(self, limits: LimitKeys, clock: Clock, free_bytes: Callable[[], int]) -> None:
        super().__init__(limits.max_requests, limits.max_seconds, clock=clock)
        self._least, self._free_bytes = limits.min_free, free_bytes

    def full_disk(self) -> str | None:
        """A sentence where less is free on the disk than shall stay so; None where enough is."""
        free = self._free_bytes()
        if free >= self._least:
            return None
        sizes = f"Only {sized(free)} are free, and {sized(self._least)} shall stay so"
        return f"{sizes}: free some space, or lower limits.min_free."

    def check(self, wait_s: float = 0.0) -> None:
        """See Budget. Raises OverBudget when the disk is nearly full, too."""
        super().check(wait_s)
        if sentence := self.full_disk():
            raise OverBudget(sentence)
