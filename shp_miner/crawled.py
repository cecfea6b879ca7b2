"""What a run over one community did, and when its threads are to be visited again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from shp_miner.sources.items import State as Shown
from shp_miner.store.state import Known

_HOUR_S, _DAY_S = 3600.0, 86_400.0

#: Ages at which a thread is visited again, in seconds: most votes come on the first day, and a month later few more do.
VISITS_S = (6 * _HOUR_S, _DAY_S, 3 * _DAY_S, 7 * _DAY_S, 30 * _DAY_S)


class Crawled(msgspec.Struct):
    """What a run did with a community; `new` threads were never read before, and `given_up` are not asked for any more.

    `gone` items were purged, `restored` threads and answers are shown again, and `unreadable` threads are hidden until
    it is clear what became of them. `stopped` says why it ended early, `capped` why the listing ended early, `refused`
    that much could not be read.
    """

    source: str
    site: str
    community: str
    listed: int = 0
    fresh: int = 0
    read: int = 0
    new: int = 0
    answers: int = 0
    gone: int = 0
    restored: int = 0
    unreadable: int = 0
    failed: int = 0
    incomplete: int = 0
    waiting: int = 0
    given_up: int = 0
    capped: str | None = None
    stopped: str | None = None
    refused: str | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is left that this run was asked for."""
        return not (self.stopped or self.refused or self.failed or self.waiting)


def next_visit(created_at: int, first_read_at: int, now: int, visits_s: Sequence[float]) -> int:
    """When a thread is to be visited after `now`: at the set ages, and after the last of them at doubling distances.

    Those double from the first reading on, so that an old thread is not left alone for as long as it is old. Times are
    microseconds since 1970; `visits_s` are ages in seconds, ascending.
    """
    at_age = (created_at + microseconds(age_s) for age_s in visits_s)
    return next((due for due in at_age if due > now), now + max(now - first_read_at, microseconds(visits_s[-1])))


def restored(known: Known, post: Shown, shown: Mapping[str, Shown]) -> int:
    """How many items are shown that were gone: a whole thread counts once."""
    if known.gone_at is not None:
        return 1
    back = sum(shown.get(answer_id) == "live" for answer_id in known.gone_answers)
    return back + (known.post_gone and post == "live")


def microseconds(seconds: float) -> int:
    """Microseconds, as the store counts time."""
    return round(seconds * 1_000_000)
