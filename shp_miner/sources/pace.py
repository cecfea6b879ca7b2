"""The time of the next request: limits shared by threads and processes, waits that a site requested, budgets."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from shp_miner.errors import TryLater
from shp_miner.sources.limits import LONGEST_WAIT_S, Limits, Wait, header_wait

log = logging.getLogger("shp_miner.http")

#: Waits shorter than these are no news and logged for debugging only: those that keep a limit, and all others.
_NEWS_KEEPING_S = 5.0
_NEWS_S = 0.5

#: A 429 that does not say how long: this many seconds at first, doubled with every further one.
_UNTOLD_S = 10.0


class Clock(Protocol):
    """The time, and waiting."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float, why: str) -> None:
        """Wait; `why` is a sentence for whoever watches. `now` is later by about `seconds` afterwards."""
        ...


class _SystemClock:
    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float, why: str) -> None:  # noqa: ARG002
        time.sleep(seconds)


SYSTEM: Clock = _SystemClock()


def next_place(until: float, now: float, interval_s: float, burst: int) -> tuple[float, float]:
    """Return the time of the next free place in a row of requests, and the row's new clock.

    `until` is the row's clock. Requests are `interval_s` apart; a row that was idle lets `burst` through at once (the
    generic cell rate algorithm, which needs only this one number).
    """
    if until > now + LONGEST_WAIT_S:  # Written by a clock that ran ahead.
        until = now
    start = max(until, now)
    return max(now, start - (burst - 1) * interval_s), start + interval_s


class Clocks(Protocol):
    """Clocks by key that outlive the process and are shared with others. All times are seconds since 1970."""

    def until(self, key: str) -> float:
        """The time of a clock; 0.0 if it was never set."""
        ...

    def set(self, key: str, until: float, why: str) -> None:
        """Move a clock forward; a clock that is later already stays as it is."""
        ...

    def take(self, key: str, now: float, interval_s: float, burst: int) -> float:
        """Take the next place of a row and return when it is: `next_place` in one step with its clock."""
        ...


class MemoryClocks:
    """Clocks of this process; its threads share them."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def until(self, key: str) -> float:
        """See Clocks."""
        with self._lock:
            return self._until.get(key, 0.0)

    def set(self, key: str, until: float, why: str) -> None:  # noqa: ARG002
        """See Clocks."""
        with self._lock:
            self._until[key] = max(until, self._until.get(key, 0.0))

    def take(self, key: str, now: float, interval_s: float, burst: int) -> float:
        """See Clocks."""
        with self._lock:
            at, self._until[key] = next_place(self._until.get(key, 0.0), now, interval_s, burst)
            return at


class OverBudget(Exception):
    """The run may send no more requests, or has no time for the next. The text is a sentence that says which."""


class Budget:
    """What one run may spend over all its sites: requests, and seconds from now on. None means no limit."""

    def __init__(
        self, max_requests: int | None = None, max_seconds: float | None = None, *, clock: Clock = SYSTEM
    ) -> None:
        self.requests = 0
        self._max_requests = max_requests
        self._max_seconds = max_seconds
        self._clock = clock
        self._started = clock.now()
        self._lock = threading.Lock()

    def check(self, wait_s: float = 0.0) -> None:
        """Raise OverBudget if a request after a wait of `wait_s` would exceed the budget."""
        if self._max_requests is not None and self.requests >= self._max_requests:
            raise OverBudget(f"The {self._max_requests:,} requests of this run are used up.")
        spent_s = self._clock.now() - self._started
        if self._max_seconds is not None and spent_s + wait_s >= self._max_seconds:
            raise OverBudget(f"The {self._max_seconds:,.0f} seconds of this run are used up.")

    def spend(self) -> None:
        """Count a request that is sent now, or raise OverBudget."""
        with self._lock:
            self.check()
            self.requests += 1


class Pace:
    """Keeps the limits of one host. It uses no HTTP library, so any library can use it.

    Call `before` before every request and `after` with every answer. Several threads may use it.
    """

    def __init__(
        self,
        host: str,
        limits: Limits,
        *,
        clocks: Clocks | None = None,
        clock: Clock = SYSTEM,
        budget: Budget | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        self.host = host
        self.limits = limits
        self._clocks = MemoryClocks() if clocks is None else clocks
        self._clock = clock
        self._budget = Budget(clock=clock) if budget is None else budget
        # Spreads processes that failed at the same time; nothing that anybody could gain from guessing.
        self._jitter = jitter or random.Random()  # noqa: S311
        self._whys: dict[str, str] = {}

    def before(self, method: str = "") -> None:
        """Wait until the next request of the method may be sent. Raises TryLater and OverBudget."""
        while True:
            self._budget.check()
            self._sit_out(method)
            now = self._clock.now()
            at = self._place(now)
            if at <= now:
                break
            self._wait(at, self._limit(), _NEWS_KEEPING_S)
            # Another thread may have been told to stop meanwhile; then this place is stale.
            if not self._blocked(method):
                break
        self._budget.spend()

    def after(self, method: str, status: int, headers: Mapping[str, str], body: bytes, attempt: int = 1) -> Wait | None:
        """Note what an answer asks for. Return the wait if the same request must be sent again after it.

        `headers` has lower-case names; `attempt` counts from 1 how often the same request was sent.
        """
        now = self._clock.now()
        waits = [header_wait(headers, status, now), self.limits.signals(body, headers, status, now)]
        found = [wait for wait in waits if wait is not None]
        if status == 429 and all(wait.until <= now for wait in found):
            seconds = _UNTOLD_S * 2 ** (attempt - 1) * self._jitter.uniform(0.75, 1.25)
            found.append(Wait(now + seconds, "reports too many requests (status 429)", retry=True))
        for wait in found:
            key = self._keys(method)[wait.method_only]
            until = min(wait.until, now + LONGEST_WAIT_S)
            if until > now:
                self._whys[key] = wait.why
                self._clocks.set(key, until, wait.why)
        return max((wait for wait in found if wait.retry), key=lambda wait: wait.until, default=None)

    def rest(self, attempt: int, why: str) -> None:
        """Wait after the failure number `attempt` (from 1): twice as long each time, and never twice the same."""
        seconds = self.limits.backoff_s * 2 ** (attempt - 1) * self._jitter.uniform(0.5, 1.0)
        self._wait(self._clock.now() + seconds, why, _NEWS_S)

    def _place(self, now: float) -> float:
        limits = self.limits
        at = self._clocks.take(f"{self.host} limit", now, limits.interval_s / limits.requests, limits.burst)
        if limits.pause_s:
            at = self._clocks.take(f"{self.host} pause", max(at, now), limits.pause_s, 1)
        return at

    def _limit(self) -> str:
        limits = self.limits
        return f"gets at most {limits.requests} requests in {limits.interval_s:.0f} s"

    def _keys(self, method: str) -> tuple[str, str]:
        """The clocks of the host and of the method."""
        return self.host, f"{self.host} {method}".strip()

    def _blocked(self, method: str) -> tuple[float, str] | None:
        """Until when the site does not want to be asked, and why; None if it may be asked."""
        now = self._clock.now()
        until, key = max((self._clocks.until(key), key) for key in self._keys(method))
        if not now < until <= now + LONGEST_WAIT_S + 1:  # What is later was written by a clock that ran ahead.
            return None
        return until, self._whys.get(key, "asked for this pause in an earlier run")

    def _sit_out(self, method: str) -> None:
        while blocked := self._blocked(method):
            self._wait(*blocked, _NEWS_S)

    def _wait(self, until: float, why: str, news_s: float) -> None:
        seconds = until - self._clock.now()
        if seconds <= 0:
            return
        moment = datetime.fromtimestamp(until, UTC)
        if seconds > self.limits.max_wait_s:
            raise TryLater(
                f"{self.host} can be asked again at {moment:%Y-%m-%d %H:%M:%S} UTC: it {why}.",
                "Run the same command again after that; what was fetched is kept.",
            )
        self._budget.check(seconds)
        sentence = f"waiting {seconds:.0f} s until {moment:%H:%M:%S} UTC: {self.host} {why}"
        log.log(logging.INFO if seconds >= news_s else logging.DEBUG, "%s", sentence)
        self._clock.sleep(seconds, sentence)
