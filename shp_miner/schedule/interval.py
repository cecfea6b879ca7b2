"""The intervals at which a pipeline may run: allowed by its sites and limits, and exact in a crontab line."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct

from shp_miner.errors import UsageError
from shp_miner.pipeline.keys import Pipeline, SourceKeys
from shp_miner.sources.registry import module
from shp_miner.sources.table import ROWS, Quota
from shp_miner.units import UNITS_S, written_duration

#: The intervals that a crontab line can express exactly, in seconds. Two days are not among them, because the field of
#: days starts again with each month.
EVEN_S = tuple(
    [60 * minutes for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
    + [3600 * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24)]
    + [UNITS_S["w"]]
)


class Bound(Struct, frozen=True):
    """A lower bound: an interval must be longer than `seconds`, because `why`."""

    seconds: float
    why: str


def check(pipeline: Pipeline, every_s: float, environment: Mapping[str, str]) -> Bound:
    """Return the lower bound. Raises UsageError with the shortest sensible interval if `every_s` is too short."""
    bound = least(pipeline, environment)
    shortest_s = sensible(bound)
    if every_s < EVEN_S[0] or every_s <= bound.seconds:
        why = bound.why if every_s >= EVEN_S[0] else "the shortest interval of a schedule is 1 minute"
        raise UsageError(
            f"Every {written_duration(every_s)} is too often: {why}.",
            f"Use the shortest sensible interval of this pipeline: --every {written_duration(shortest_s)}.",
        )
    return bound


def least(pipeline: Pipeline, environment: Mapping[str, str]) -> Bound:
    """Return the lower bound of the interval: the longest run, and the time of its requests at each site's rate."""
    bounds = [Bound(0.0, "")]
    limit = pipeline.limits
    if pipeline.sources and limit.max_seconds is not None:
        text = f"a run may send requests for {written_duration(limit.max_seconds)} (limits.max_seconds)"
        bounds.append(Bound(limit.max_seconds, text))
    if pipeline.sources and limit.max_requests is not None:
        pace_s = max(_pace_s(source.kind) for source in pipeline.sources)
        text = f"a run may send {limit.max_requests:,} requests (limits.max_requests), {pace_s:g} s each"
        # A run ends at the first limit that it reaches.
        bounds[1:] = [min([*bounds[1:], Bound(limit.max_requests * pace_s, text)], key=lambda bound: bound.seconds)]
    needed = needs(pipeline)
    for (kind, place), requests in needed.items():
        text = f"{place} needs {requests:,} requests before the first thread, and takes one every {_pace_s(kind):g} s"
        bounds.append(Bound(requests * _pace_s(kind), text))
        quota = ROWS[kind].quota
        if quota is not None:
            day = a_day(quota, pipeline, environment)
            text = f"{place} needs {requests:,} requests per run, and takes {day:,} a day{_keyless(quota, day)}"
            bounds.append(Bound(requests * UNITS_S["d"] / day, text))
    return max(bounds, key=lambda bound: bound.seconds)


def needs(pipeline: Pipeline) -> dict[tuple[str, str], int]:
    """Return the least requests of a run by (kind, place): those at the start, and one page per community."""
    result: dict[tuple[str, str], int] = defaultdict(int)
    for source in pipeline.sources:
        result[source.kind, _place(source)] += ROWS[source.kind].costs.start + len(source.communities)
    return result


def a_day(quota: Quota, pipeline: Pipeline, environment: Mapping[str, str]) -> int:
    """Return the requests per day of a quota, with or without a key."""
    key = quota.credential
    has_key = getattr(pipeline.credentials, key.key) is not None or bool(environment.get(key.variable))
    return quota.with_key if has_key else quota.without_key


def notes(pipeline: Pipeline, every_s: float, environment: Mapping[str, str]) -> list[str]:
    """Return notes on effects of an allowed interval that people may not expect."""
    found = []
    limit = pipeline.limits
    if pipeline.sources and limit.max_seconds is None and limit.max_requests is None:
        found.append(
            "The next run does not start while a long run is active (exit code 75): set limits.max_seconds in the file."
        )
    runs = UNITS_S["d"] / every_s
    for row in dict.fromkeys(ROWS[source.kind] for source in pipeline.sources):
        if row.quota is None:
            continue
        day = a_day(row.quota, pipeline, environment)
        if limit.max_requests is None or limit.max_requests * runs > day:
            share = max(1, math.floor(day / max(runs, 1)))
            found.append(
                f"{row.title} takes {day:,} requests a day{_keyless(row.quota, day)}. After that, runs end with "
                f"exit code 3 or 75 until midnight UTC: set limits.max_requests = {share}."
            )
    return found


def sensible(bound: Bound) -> float:
    """Return the shortest even interval above a bound, in seconds; else whole days."""
    day = UNITS_S["d"]
    return next((even for even in EVEN_S if even > bound.seconds), (math.floor(bound.seconds / day) + 1) * day)


def nearest(every_s: float, bound: Bound) -> float:
    """Return the interval nearest to `every_s` that a crontab line can express and that is above the bound."""
    fit = [even for even in EVEN_S if even > bound.seconds] or [EVEN_S[-1]]
    return min(fit, key=lambda even: (abs(even - every_s), -even))


def _pace_s(kind: str) -> float:
    limits = module(kind).LIMITS
    return limits.interval_s / limits.requests


def _place(source: SourceKeys) -> str:
    """Return the name of the site or address that one rate limit applies to."""
    site = None if ROWS[source.kind].one_api else source.site
    return source.url or site or source.kind


def _keyless(quota: Quota, day: int) -> str:
    return " without a key" if day == quota.without_key else ""
