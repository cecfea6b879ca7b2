"""Progress of a command: a bar while it works on a terminal; elsewhere a line a minute on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from shp_miner.cli.meter import Meter
from shp_miner.cli.saying import bar, say
from shp_miner.cli.terminal import is_terminal, terminal_width

if TYPE_CHECKING:
    from shp_miner.crawling.progress import CrawlProgress
    from shp_miner.sources.pace import Clock

#: Seconds between two looks at a meter, and between two lines of a log.
_LOOK_S, _LINE_S = 0.25, 60.0

#: Cells that a bar leaves free: Ctrl-C writes ^C, and a terminal whose last cell is written goes on in the next line.
_FREE = 3


@contextmanager
def progress(
    label: str,
    total: float = 0,
    *,
    quiet: bool,
    unit: str = "bytes",
    log: Callable[[str], None] | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Meter]:
    """Show how far the work in the block is; yields the meter to call with each advance.

    On a terminal that is a bar, which the end of the block removes, however it ends. Elsewhere, and wherever `log`
    takes lines, it is a line a minute. Work under a minute gets no line, and `quiet` shows nothing. `now` gives
    seconds.
    """
    meter = Meter(label, total, unit=unit, now=now)
    if quiet:
        yield meter
        return
    watch = Watch(meter, now, _bar if log is None and is_terminal() else _Lines(log or _say, now()))
    ended = Event()
    Thread(target=watch.until, args=(ended,), daemon=True).start()
    try:
        yield meter
    finally:
        ended.set()
        watch.end()


class Watch:
    """Looks at a meter again and again, and shows it with `show`."""

    def __init__(self, meter: Meter, now: Callable[[], float], show: Callable[[Meter, float], None]) -> None:
        self._meter, self._now, self._show = meter, now, show
        self._ended = False

    def until(self, ended: Event) -> None:
        """Look until the event is set."""
        while not ended.wait(_LOOK_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        self._meter.sample()
        with bar.lock:  # what is drawn after the end would stay
            if not self._ended:
                self._show(self._meter, self._now())

    def end(self) -> None:
        """Remove the bar; nothing is shown afterwards."""
        with bar.lock:
            self._ended = True
            bar.draw("")


class _Lines:
    """Shows a meter as a line a minute."""

    def __init__(self, print_line: Callable[[str], None], began: float) -> None:
        self._print_line, self._next = print_line, began + _LINE_S

    def __call__(self, meter: Meter, now: float) -> None:
        if now >= self._next:
            self._next = now + _LINE_S
            with suppress(OSError):  # nobody reads it, which is no reason to end the work
                self._print_line(meter.line())


def _bar(meter: Meter, _: float) -> None:
    bar.draw(meter.line_of(terminal_width() - _FREE))


def _say(line: str) -> None:
    say(line, err=True)


def run_shown(meter: Meter) -> Callable[..., None]:
    """Return what shows in a meter how far the steps of a pipeline are."""
    crawled = crawl_shown(meter)
    other: tuple[str | None, Callable[..., None]] = (None, meter)
    steps: dict[str, tuple[str | None, Callable[..., None]]] = {
        "import": ("bytes", meter),
        "recheck": ("threads", crawled),
        "crawl": ("threads", crawled),
        "export": ("steps", export_shown(meter)),
    }

    def show(step: str, *progress: object) -> None:
        unit, advance = steps.get(step, other)
        if progress:
            advance(*progress)
        else:
            meter.begin(step, unit=unit)

    return show


class WatchedClock:
    """A clock whose waits a meter shows."""

    def __init__(self, clock: Clock, meter: Meter) -> None:
        self._clock, self._meter = clock, meter

    def now(self) -> float:
        """See Clock."""
        return self._clock.now()

    def sleep(self, seconds: float, why: str) -> None:
        """See Clock."""
        self._meter.wait(seconds, why.partition(": ")[2] or why)  # it says itself how long
        try:
            self._clock.sleep(seconds, why)
        finally:
            self._meter.resume()


def export_shown(meter: Meter) -> Callable[[int, int], None]:
    """Return what shows in a meter how far an export is."""

    def show(done: int, total: int) -> None:
        meter.reached(done, total)
        pairs = getattr(done, "pairs", 0)
        meter.so_far = f"{pairs:,} pairs" if pairs else ""

    return show


def crawl_shown(meter: Meter) -> Callable[[CrawlProgress], None]:
    """Return what shows in a meter how far a crawl is."""
    site = ""

    def show(crawled: CrawlProgress) -> None:
        nonlocal site
        if (site, meter.label) != (crawled.site, crawled.community):
            site = crawled.site
            meter.begin(crawled.community)
        meter.reached(crawled.done, crawled.total)
        meter.doing = "" if crawled.total else "listing"
        listed = f"{crawled.listed:,} threads listed, {crawled.fresh:,} new or changed"
        meter.so_far = f"{crawled.answers:,} answers" if crawled.total else listed

    return show
