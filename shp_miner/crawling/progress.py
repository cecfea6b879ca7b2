"""How far a run over a community is, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from shp_miner.crawling.result import Did
from shp_miner.platforms.items import Origin


class CrawlProgress(Struct, frozen=True):
    """How far a run over a community is.

    `listed` threads were on the pages so far, `fresh` of them new or changed. Of `total` threads to read, `done` were
    asked for; `total` is 0 while the run lists. `answers` were read.
    """

    source: str
    site: str
    community: str
    listed: int = 0
    fresh: int = 0
    done: int = 0
    total: int = 0
    answers: int = 0


#: Gets the progress after each page of a listing and after each thread.
Advance = Callable[[CrawlProgress], None]


def ignore_progress(_: CrawlProgress) -> None:
    """Ignore progress."""


class Telling:
    """Tells `advance` how far the run over one community is. `count_left` counts the threads that are still to read."""

    def __init__(self, origin: Origin, advance: Advance, count_left: Callable[[], int]) -> None:
        self._advance, self._count_left = advance, count_left
        self._now = CrawlProgress(origin.source, origin.site, origin.community)

    def listed(self, did: Did) -> None:
        """Tell what the listing has done so far."""
        self._tell(listed=did.listed, fresh=did.fresh)

    def begin(self, limit: int | None) -> None:
        """Tell that a part begins to read threads, at most `limit`."""
        if not self._now.total:  # later parts read a few more, and those that failed before are still left
            left = self._count_left()
            self._tell(total=left if limit is None else min(left, limit))

    def found(self, answers: int) -> None:
        """Count answers that were read; `asked` tells of them."""
        self._now = structs.replace(self._now, answers=self._now.answers + answers)

    def asked(self, threads: int) -> None:
        """Tell that so many more threads were asked for."""
        done = self._now.done + threads
        self._tell(done=done, total=max(done, self._now.total))

    def _tell(self, **changes: Any) -> None:
        self._now = structs.replace(self._now, **changes)
        self._advance(self._now)
