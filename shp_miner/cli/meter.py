"""How far a piece of work is, in one line: for a terminal of any width, and for logs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from shp_miner.cli.saying import harmless_text
from shp_miner.cli.terminal import cells
from shp_miner.units import rounded_duration, sized

#: The rate is that of this many last seconds, and changes at most once in this many; before the first number of
#: seconds, no rate is known.
_WINDOW_S, _SAMPLE_S, _FIRST_RATE_S = 30.0, 1.0, 2.0

#: Waits shorter than this are how a site's pace is kept; the rate shows them.
_WAIT_S = 2.0

#: Widths of the bar in cells, which change in steps, or it would move with each digit beside it; and the most cells of
#: the name of what is done.
_BAR_LEAST, _BAR_MOST, _BAR_STEP, _NAME_MOST = 8, 24, 4, 32


class Meter:
    """Counts work that is done; `line` says it in words. Several threads may count.

    Call it with each amount done. An amount may have an attribute `doing`: what is being done now, in a few words. The
    `total` is 0 if it is not known. `unit` is "bytes" or the plural of what is counted. `now` gives seconds.
    """

    def __init__(
        self, label: str, total: float = 0, *, unit: str = "bytes", now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now, self._unit, self._lock = now, unit, Lock()
        self._wait: tuple[float, str] | None = None
        self.begin(label, total)

    def begin(self, label: str, total: float = 0, unit: str | None = None) -> None:
        """Begin another piece of work, at 0; by default it is counted in the same unit."""
        self._unit = unit or self._unit
        self.label, self.total, self.done = label, total, 0.0
        #: What is being done now, and what came of the work so far, each in a few words.
        self.doing = self.so_far = ""
        self._samples = deque([(self._now(), 0.0)])

    def __call__(self, count: float) -> None:
        """Count an amount that was done."""
        with self._lock:
            self.done += count
        self.doing = getattr(count, "doing", "") or self.doing

    def reached(self, done: float, total: float) -> None:
        """Set how much is done, and of how much."""
        self.done, self.total = done, total
        self.doing = getattr(done, "doing", "") or self.doing

    def wait(self, seconds: float, why: str) -> None:
        """Say until `resume` that the work waits, and why."""
        if seconds >= _WAIT_S:
            self._wait = (self._now() + seconds, why)

    def resume(self) -> None:
        """Say no longer that the work waits."""
        self._wait = None

    def sample(self) -> None:
        """Note how much is done by now, for the rate. Call it regularly."""
        now = self._now()
        if now - self._samples[-1][0] < _SAMPLE_S:
            return
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _WINDOW_S:
            self._samples.popleft()

    @property
    def rate(self) -> float | None:
        """The amount done per second lately; None if it is not known yet."""
        (before_s, before), (now_s, now) = self._samples[0], self._samples[-1]
        return (now - before) / (now_s - before_s) if now_s - before_s >= _FIRST_RATE_S else None

    @property
    def waiting(self) -> str:
        """How long the work still waits, and why; "" if it does not."""
        if self._wait is None:
            return ""
        until, why = self._wait
        return f"waiting {max(0.0, until - self._now()):.0f} s: {harmless_text(why)}"

    def line(self) -> str:
        """Return all that is known, for a log."""
        speed = [self.waiting] if self.waiting else [self._rate(), self._left()]
        facts = (self._amount(), *speed, harmless_text(self.so_far))
        return f"{self._name()}: {', '.join(filter(None, facts))}".removesuffix(": ")

    def line_of(self, width: int) -> str:
        """Return what fits into `width` cells. Where there is little room, the bar goes first, and the name is cut."""
        name = _cut(self._name(), max(_NAME_MOST, width // 3))
        if self.waiting:
            return self._wait_of(name, width)
        facts = list(filter(None, (self._amount(), self._left(), self._rate(), harmless_text(self.so_far))))
        room = min(width - cells("  ".join([name, *facts])) - 2, _BAR_MOST) // _BAR_STEP * _BAR_STEP
        if self.total and room >= _BAR_LEAST:
            full = round(room * min(self.done / self.total, 1))
            return "  ".join([name, "━" * full + "─" * (room - full), *facts])
        while len(facts) > 1 and cells("  ".join([name, *facts])) > width:
            facts.pop()
        name = _cut(name, max(width - cells("  ".join(facts)) - 2, _BAR_LEAST))
        return _cut("  ".join([name, *facts]), width)

    def _wait_of(self, name: str, width: int) -> str:
        """What fits of a wait: the details of its reason go first, then how much is done, and then the name."""
        whole, plain = self.waiting, self.waiting.partition(" (")[0]
        ways = ((name, self._amount(), whole), (name, self._amount(), plain), (name, plain), (plain,))
        lines = ["  ".join(filter(None, way)) for way in ways]
        return next((line for line in lines if cells(line) <= width), _cut(plain, width))

    def _name(self) -> str:
        return " ".join(filter(None, (harmless_text(self.label), harmless_text(self.doing))))

    def _amount(self) -> str:
        if not (self.total or self.done):
            return ""
        if self._unit == "bytes":
            return f"{sized(round(self.done))}{f' of {sized(round(self.total))}' if self.total else ''}"
        return f"{int(self.done + 1e-6):,}{f' of {round(self.total):,}' if self.total else ''} {self._unit}"

    def _rate(self) -> str:
        rate = self.rate
        if not rate:
            return ""
        if self._unit == "bytes":
            return f"{sized(round(rate))}/s"
        return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.0f}/min" if rate * 60 >= 1 else ""

    def _left(self) -> str:
        rate = self.rate
        if not rate or self.done >= self.total:
            return ""
        return f"{rounded_duration(max(1.0, (self.total - self.done) / rate))} left"


def _cut(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"
