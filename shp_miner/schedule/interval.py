"""How often a pipeline may be run: what its sites and its own limits allow, and what a crontab line can say exactly."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct

from shp_miner.errors import UsageError
from shp_miner.pipeline.keys import Pipeline, SourceKeys
from shp_miner.sources.registry import module
from shp_miner.sources.table import ROWS, Quota
from shp_miner.units import UNITS_S, written

#: The intervals that five fields of a crontab line can say without a gap, in seconds. Two days are not among them:
#: a field starts anew with each month.
EVEN_S = tuple(
    [60 * minutes for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
    + [3600 * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24)]
    + [UNITS_S["w"]]
)


class Bound(Struct, frozen=True):
    """An interval must be longer than `seconds`, because of what `why` says."""

    seconds: float
    why: str


def check(pipeline: Pipeline, every_s: float, environment: Mapping[str, str]) -> Bound:
    """The bound on the interval. Raises UsageError with the shortest sensible one where `every_s` is within it."""
    bound = least(pipeline, environment)
    shortest_s = sensible(bound)
    if every_s < EVEN_S[0] or every_s <= bound.seconds:
        why = bound.why if every_s >= EVEN_S[0] else "no schedule counts in less than minutes"
        raise UsageError(
            f"Every {written(every_s)} is too often: {why}.",
            f"The shortest sensible interval of this pipeline is {written(shortest_s)}: --every {written(shortest_s)}.",
        )
    return bound


def least(pipeline: Pipeline, environment: Mapping[str, str]) -> Bound:
    """What bounds the interval from below: how long a run may last, and what its sites answer in a time."""
    bounds = [Bound(0.0, "")]
    limit = pipeline.limits
    if pipeline.sources and limit.max_seconds is not None:
        bounds.append(Bound(limit.max_seconds, f"a run may ask for {written(limit.max_seconds)} (limits.max_seconds)"))
    if pipeline.sources and limit.max_requests is not None:
        pace_s = max(_pace_s(one.kind) for one in pipeline.sources)
        text = f"a run may send {limit.max_requests:,} requests (limits.max_requests), {pace_s:g} s each"
        # A run ends at the limit that it meets first.
        bounds[1:] = [min([*bounds[1:], Bound(limit.max_requests * pace_s, text)], key=lambda one: one.seconds)]
    needed = needs(pipeline)
    for (kind, place), requests in needed.items():
        text = f"{place} needs {requests:,} requests before any thread, and answers one in {_pace_s(kind):g} s"
        bounds.append(Bound(requests * _pace_s(kind), text))
        quota = ROWS[kind].quota
        if quota is not None:
            day = a_day(quota, pipeline, environment)
            text = f"{place} needs {requests:,} requests a run, and answers {day:,} a day{_keyless(quota, day)}"
            bounds.append(Bound(requests * UNITS_S["d"] / day, text))
    return max(bounds, key=lambda one: one.seconds)


def needs(pipeline: Pipeline) -> dict[tuple[str, str], int]:
    """(kind, place) and the requests that a run sends there at least: to begin with, and a page for each community."""
    result: dict[tuple[str, str], int] = defaultdict(int)
    for one in pipeline.sources:
        result[one.kind, _place(one)] += ROWS[one.kind].costs.start + len(one.communities)
    return result


def a_day(quota: Quota, pipeline: Pipeline, environment: Mapping[str, str]) -> int:
    """The requests that a platform with that quota answers in a day: more where the run has a key."""
    key = quota.credential
    has_key = getattr(pipeline.credentials, key.key) is not None or bool(environment.get(key.variable))
    return quota.with_key if has_key else quota.without_key


def notes(pipeline: Pipeline, every_s: float, environment: Mapping[str, str]) -> list[str]:
    """Sentences on what is allowed, and yet may surprise."""
    found = []
    limit = pipeline.limits
    if pipeline.sources and limit.max_seconds is None and limit.max_requests is None:
        found.append(
            "A long run keeps the next from starting (exit code 75); limits.max_seconds in the file ends it in time."
        )
    runs = UNITS_S["d"] / every_s
    for row in dict.fromkeys(ROWS[one.kind] for one in pipeline.sources):
        if row.quota is None:
            continue
        day = a_day(row.quota, pipeline, environment)
        if limit.max_requests is None or limit.max_requests * runs > day:
            share = max(1, math.floor(day / max(runs, 1)))
            found.append(
                f"{row.title} answers {day:,} requests a day{_keyless(row.quota, day)}; when they are used up, runs "
                f"wait for midnight UTC (exit codes 3, 75). limits.max_requests = {share} shares them out."
            )
    return found


def sensible(bound: Bound) -> float:
    """The shortest even interval above a bound, in seconds; whole days where there is none."""
    day = UNITS_S["d"]
    return next((even for even in EVEN_S if even > bound.seconds), (math.floor(bound.seconds / day) + 1) * day)


def nearest(every_s: float, bound: Bound) -> float:
    """The interval nearest to `every_s` that a crontab line can say and that is above the bound; the longer of two."""
    fit = [even for even in EVEN_S if even > bound.seconds] or [EVEN_S[-1]]
    return min(fit, key=lambda even: (abs(even - every_s), -even))


def _pace_s(kind: str) -> float:
    limits = module(kind).LIMITS
    return limits.interval_s / limits.requests


def _place(source: SourceKeys) -> str:
    """What has one limit: a forum, or the one address in front of all of a platform's communities."""
    site = None if ROWS[source.kind].one_api else source.site
    return source.url or site or source.kind


def _keyless(quota: Quota, day: int) -> str:
    return " without a key" if day == quota.without_key else ""
