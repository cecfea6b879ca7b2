"""Listing a community: which of its threads are new or changed.

A listing is complete up to a time only if every page below that time was stored. So the next run continues where an
interrupted run stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from shp_miner.crawling.context import Context
from shp_miner.crawling.result import Did
from shp_miner.errors import BadInput
from shp_miner.units import microseconds

#: How far below the last complete listing the next one starts: clocks differ, and listings lag behind.
OVERLAP_S = 3600.0

#: How long a listing whose records cannot all be used is listed again from where it was whole before. A site's fault is
#: mended by then; a record that stays as it is costs no more than these listings.
LOSSY_S = 7 * 86_400.0

#: After this many pages of a listing without a thread that was not on one before, the listing has no end.
_STALE_PAGES = 5


class Listing:
    """Stores a community's listing page by page. `did` is its work so far, also after an interruption."""

    def __init__(self, context: Context) -> None:
        self._context, self.did = context, Did()

    def take(self) -> None:
        """List until the end, the limit, or the time that an earlier run completed."""
        source, state, origin = self._context.source, self._context.state, self._context.origin
        complete_to = state.windows.complete_to(origin)
        floor = None if complete_to is None else complete_to - microseconds(OVERLAP_S)
        top, token, waits = None, None, False
        met: set[str] = set()
        stale = 0
        while True:
            page = source.listing(origin.community, since=floor, token=token)
            # A time in the future is a mistake, and would hide everything up to it from later runs.
            now = self._context.now()
            times = [min(thread.changed_at, now) for thread in page.threads if not thread.pinned]
            top = max([*times, *([] if top is None else [top])], default=None)
            self.did.listed += len(page.threads)
            self.did.capped = page.capped or self.did.capped
            waits = waits or (page.lossy and self._waits_for_lost())
            ended = page.next is None or page.next == token or self._reached(times, floor)
            # Going up in time, all below this page is known; going down, only when the bottom is reached.
            reached = max(times, default=None) if source.order == "oldest" else (top if ended else None)
            self.did.fresh += state.listed(origin, page.threads, None if waits else reached)
            self._context.say(f"{origin.community}: {self.did.listed} threads listed, {self.did.fresh} new or changed")
            self._context.telling.listed(self.did)
            if ended or self._is_enough():
                if ended and not waits:
                    state.windows.whole(origin)
                return
            stale = 0 if not met.issuperset(thread.post_id for thread in page.threads) else stale + 1
            if stale >= _STALE_PAGES:
                raise BadInput(
                    f"{origin.site} lists the same threads repeatedly.", "The threads listed so far are read."
                )
            met.update(thread.post_id for thread in page.threads)
            token = page.next

    def _reached(self, times: Sequence[int], floor: int | None) -> bool:
        """Whether a listing that goes down in time has come to what an earlier run completed."""
        return self._context.source.order == "newest" and floor is not None and bool(times) and min(times) < floor

    def _waits_for_lost(self) -> bool:
        """Whether records were lost so recently that the listing must be read again from where it was whole."""
        now = self._context.now()
        return now - self._context.state.windows.lossy_since(self._context.origin, now) < microseconds(LOSSY_S)

    def _is_enough(self) -> bool:
        return self._context.limit is not None and self.did.fresh >= self._context.limit
