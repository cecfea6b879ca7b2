"""The bins of every figure, with their names: a report has the same size for ten pairs and for a billion."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from shp_miner.units import rounded_duration

HOUR_S, DAY_S = 3600, 86_400

RATIOS = (1.25, 1.5, 2, 3, 5, 10, 20, 50, 100)
APART_S = (60, 600, HOUR_S, 6 * HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S, 30 * DAY_S)
AGES_S = (HOUR_S, 6 * HOUR_S, DAY_S, 2 * DAY_S, 7 * DAY_S, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S)
CHARS = (50, 100, 200, 400, 800, 1600, 3200, 6400)
GAPS = (1.1, 1.25, 1.5, 2, 3, 5, 10)
CONFIDENCES = tuple(step / 20 for step in range(1, 20))

#: Periods that a figure has at most, and how many months one may have.
_PERIODS = 48
_MONTHS = (1, 3, 12, 24, 60, 120, 240, 1200, 12_000)


class Bins:
    """Bins between edges, the first and the last open. A value on an edge belongs to the bin above it."""

    def __init__(self, edges: Sequence[float], written: Callable[[float], str] = "{:g}".format) -> None:
        self.edges = tuple(edges)
        names = [written(edge) for edge in edges]
        middle = [f"{low} to {high}" for low, high in itertools.pairwise(names)]
        self.labels = (f"under {names[0]}", *middle, f"{names[-1]} or more")

    def of(self, values: pl.Series) -> pl.Series:
        """Return the number of the bin of each value, null where there is none."""
        known = values.is_not_null() & values.is_not_nan() if values.dtype.is_float() else values.is_not_null()
        number = np.searchsorted(self.edges, values.fill_null(0).to_numpy(), side="right")
        frame = pl.DataFrame({"number": number, "known": known}, schema={"number": pl.Int32, "known": pl.Boolean})
        return frame.select(pl.when("known").then("number")).to_series()

    def from_edge(self, counts: Counter[int], edge: float) -> int:
        """Return how many values are at the edge or above it."""
        first = self.edges.index(edge) + 1
        return sum(count for number, count in counts.items() if number >= first)


def counted(numbers: pl.Series) -> Counter[int]:
    """Return how many values each bin has; values without a bin do not count."""
    known = numbers.drop_nulls().to_numpy()
    return Counter({number: int(count) for number, count in enumerate(np.bincount(known)) if count})


def months_of(times: pl.Expr) -> pl.Expr:
    """Return the month of each time as a number: twelve for a year."""
    return times.dt.year().cast(pl.Int32) * 12 + times.dt.month().cast(pl.Int32) - 1


def month_name(month: int) -> str:
    """Return a month as people write it: 2024-01."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


class Periods:
    """Equal periods of whole months, at most some dozens, from the first month to the last."""

    def __init__(self, first: int, last: int) -> None:
        self.months = next(size for size in _MONTHS if last // size - first // size < _PERIODS)
        self._numbers = range(first // self.months, last // self.months + 1)

    def labels(self) -> list[str]:
        """Return the names of all periods in their order."""
        return [self._name(number) for number in self._numbers]

    def label(self, month: int) -> str:
        """Return the name of the period of a month."""
        return self._name(month // self.months)

    def _name(self, number: int) -> str:
        first = number * self.months
        if self.months == 1:
            return month_name(first)
        if self.months == 3:
            return f"{first // 12:04d} Q{first % 12 // 3 + 1}"
        if self.months == 12:
            return f"{first // 12:04d}"
        return f"{first // 12:04d} to {(first + self.months - 1) // 12:04d}"


def gaps_between(months: Sequence[int]) -> list[tuple[int, int]]:
    """Return the stretches of months that lack between the first and the last, as their first and last month."""
    known = sorted(set(months))
    return [(low + 1, high - 1) for low, high in itertools.pairwise(known) if high - low > 1]


def written_gaps(gaps: Sequence[tuple[int, int]], most: int = 3) -> str:
    """Return stretches of months in words: "2021-03, 2021-07 to 2021-09 and 2 more"."""
    names = [month_name(low) if low == high else f"{month_name(low)} to {month_name(high)}" for low, high in gaps]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def duration(seconds: float) -> str:
    """Return the name of an edge between durations: 10 min, 24 h, 3 d."""
    return "24 h" if seconds == DAY_S else rounded_duration(seconds, 1)
