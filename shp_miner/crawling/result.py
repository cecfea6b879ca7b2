"""The result of a run over one community, and the times of later visits to its threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from shp_miner import shown
from shp_miner.crawling.state import Known
from shp_miner.platforms.items import ItemState
from shp_miner.tally import counted
from shp_miner.units import microseconds

_HOUR_S, _DAY_S = 3600.0, 86_400.0

#: Ages at which a thread is visited again, in seconds: most votes come on the first day, and a month later few more do.
VISITS_S = (6 * _HOUR_S, _DAY_S, 3 * _DAY_S, 7 * _DAY_S, 30 * _DAY_S)

#: Visits of old threads are this far apart at most, whatever is noted of the first.
_LONGEST_US = 10 * 365 * 86_400_000_000


#: Counts that are said only if there are any, in words.
_SAID = {
    "gone": "gone",
    "restored": "shown again",
    "unreadable": "unreadable",
    "failed": "failed",
    "incomplete": "incomplete",
    "waiting": "waiting",
    "given_up": "given up",
}


class Did(msgspec.Struct):
    """The work of one part of a run. The counts are those of `Crawled`."""

    listed: int = 0
    fresh: int = 0
    read: int = 0
    new: int = 0
    answers: int = 0
    restored: int = 0
    failed: int = 0
    incomplete: int = 0
    capped: str | None = None

    def add(self, other: Did) -> None:
        """Add the work of another part."""
        _add(self, other)


class Crawled(msgspec.Struct):
    """The result of a run over a community.

    `new` threads were never read before; `given_up` threads are not requested any more. `lost` counts unusable records
    by reason: impossible values, or a wrong shape. `gone` items were purged, `restored` threads and answers are shown
    again, and `unreadable` threads are hidden until their state is clear. `stopped` says why the run ended early,
    `capped` why the listing did. `refused` is set if much could not be read.
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
    lost: dict[str, int] = {}

    def add(self, did: Did) -> None:
        """Add the work of a part of the run."""
        _add(self, did)

    def __repr__(self) -> str:
        parts = [f"{counted(self.read, 'thread')} read ({self.new:,} new)", counted(self.answers, "answer")]
        parts += [f"{getattr(self, name):,} {said}" for name, said in _SAID.items() if getattr(self, name)]
        parts += [f"stopped: {self.stopped}"] if self.stopped else []
        return f"Crawled({self.community!r} of {self.site} by {self.source}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = [(name, getattr(self, name)) for name in ("listed", "read", "new", "answers", *_SAID)]
        return shown.table(repr(self), ("what", "count"), rows)

    @property
    def complete(self) -> bool:
        """Whether the run did everything that was requested."""
        return not (self.stopped or self.refused or self.failed or self.waiting or self.lost)

    def lost_in_words(self) -> str:
        """Return a sentence on the unusable records; empty if there are none."""
        if not self.lost:
            return ""
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in sorted(self.lost.items()))
        return f"{counted(sum(self.lost.values()), 'record')} of {self.site} could not be used ({reasons})."


def _add(whole: Did | Crawled, part: Did) -> None:
    for name in ("listed", "fresh", "read", "new", "answers", "restored", "failed", "incomplete"):
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
    whole.capped = part.capped or whole.capped


def next_visit(created_at: int, first_read_at: int, now: int, visits_s: Sequence[float]) -> int:
    """Return when to visit a thread after `now`: at the set ages, then at doubling intervals.

    The intervals double from the first reading on. Counted from the thread's age, an old thread would wait too long.
    Times are microseconds since 1970; `visits_s` are ages in seconds, ascending.
    """
    created_at = min(created_at, now)  # no time in the future puts a visit off
    at_age = (created_at + microseconds(age_s) for age_s in visits_s)
    return next(
        (due for due in at_age if due > now),
        now + max(min(now - first_read_at, _LONGEST_US), microseconds(visits_s[-1])),
    )


def count_restored(known: Known, post: ItemState, shown: Mapping[str, ItemState]) -> int:
    """Count the items that were gone and are shown again; a whole thread counts once."""
    if known.gone_at is not None:
        return 1
    back = sum(shown.get(answer_id) == "live" for answer_id in known.gone_answers)
    return back + (known.post_gone and post == "live")
