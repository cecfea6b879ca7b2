"""Limits of a run: a clock that counts waits, and a budget that also ends when the disk is nearly full."""

from __future__ import annotations

from collections.abc import Callable

from shp_miner.pipeline.keys import LimitKeys
from shp_miner.sources.http import Budget, Clock, OverBudget
from shp_miner.units import sized


class WaitedClock:
    """A clock that adds up its waits (`waited_s`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.waited_s = clock, 0.0

    def now(self) -> float:
        """See Clock."""
        return self._clock.now()

    def sleep(self, seconds: float, why: str) -> None:
        """See Clock. Adds the wait to `waited_s`."""
        self.waited_s += seconds
        self._clock.sleep(seconds, why)


class DiskBudget(Budget):
    """A budget that also ends when the disk is nearly full. `free_bytes` returns the free bytes of the disk."""

    def __init__(self, limits: LimitKeys, clock: Clock, free_bytes: Callable[[], int]) -> None:
        super().__init__(limits.max_requests, limits.max_seconds, clock=clock)
        self._least, self._free_bytes = limits.min_free, free_bytes

    def full_disk(self) -> str | None:
        """Return a sentence if less than `limits.min_free` is free on the disk, else None."""
        free = self._free_bytes()
        if free >= self._least:
            return None
        sizes = f"Only {sized(free)} free; limits.min_free is {sized(self._least)}"
        return f"{sizes}: free some space, or lower limits.min_free."

    def check(self, wait_s: float = 0.0) -> None:
        """See Budget. Also raises OverBudget when the disk is nearly full."""
        super().check(wait_s)
        if sentence := self.full_disk():
            raise OverBudget(sentence)
