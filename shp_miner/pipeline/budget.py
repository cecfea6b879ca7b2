"""What bounds a run: a clock that knows how long it was waited on, and a budget that heeds the disk."""

from __future__ import annotations

from collections.abc import Callable

from shp_miner.pipeline.keys import Pipeline
from shp_miner.sources.http import Budget, Clock, OverBudget


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
    """A budget that ends, too, when the disk is nearly full."""

    def __init__(self, pipeline: Pipeline, clock: Clock, full: Callable[[], str | None]) -> None:
        limits = pipeline.limits
        super().__init__(limits.max_requests, limits.max_seconds, clock=clock)
        self._full = full

    def check(self, wait_s: float = 0.0) -> None:
        """See Budget. Raises OverBudget when the disk is nearly full, too."""
        super().check(wait_s)
        if sentence := self._full():
            raise OverBudget(sentence)
