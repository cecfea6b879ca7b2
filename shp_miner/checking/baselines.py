"""How often simple rules of thumb agree with an export's labels, with intervals that take threads as the units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

#: The 97.5th percentile of the normal distribution.
_Z = 1.959964

LONGER, EARLIER, HIGHER = "longer wins", "earlier wins", "higher position wins"


class Baseline(Struct, frozen=True):
    """The share of pairs whose preferred answer a rule of thumb picks.

    `share` is between 0 and 1, `low` and `high` its 95 % interval. `pairs` are those that the rule decides, in
    `threads` threads; `undecided` are the others, such as two answers of the same length.
    """

    name: str
    share: float
    low: float
    high: float
    pairs: int
    threads: int
    undecided: int


class Agreement:
    """Counts, by thread, of pairs that a rule of thumb decides and of those that it decides as the label does.

    Memory grows by 24 bytes with each thread, not with the pairs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._parts: list[pl.DataFrame] = []
        self._undecided = 0

    def add(self, thread: pl.Series, agrees: pl.Series) -> None:
        """Count some rows: the hash of each row's thread, and whether the rule agrees (null: it does not decide)."""
        frame = pl.DataFrame({"thread": thread, "agrees": agrees})
        decided = frame.drop_nulls("agrees")
        self._undecided += frame.height - decided.height
        counts = decided.group_by("thread").agg(
            pairs=pl.len().cast(pl.Int64), right=pl.col("agrees").sum().cast(pl.Int64)
        )
        self._parts.append(counts)
        if len(self._parts) > 64:
            self._parts = [self._together()]

    def result(self) -> Baseline | None:
        """Return the share with its interval; None if no pair is decided."""
        if not self._parts or not (whole := self._together()).height:
            return None
        pairs, right = whole["pairs"].to_numpy(), whole["right"].to_numpy()
        share, error = share_with_error(right, pairs)
        low, high = max(0.0, share - _Z * error), min(1.0, share + _Z * error)
        return Baseline(self.name, share, low, high, int(pairs.sum()), len(pairs), self._undecided)

    def _together(self) -> pl.DataFrame:
        return pl.concat(self._parts).group_by("thread").agg(pl.col("pairs").sum(), pl.col("right").sum())


def share_with_error(right: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the share of right pairs, and its standard error with threads as the independent units.

    `right` and `pairs` have one entry per thread. The share is a ratio of two sums over threads; its error is that of
    Cochran, Sampling Techniques, 1977, section 6.4, with threads / (threads - 1) for few threads. With one thread the
    error is infinite. The order of the threads changes no bit of either.
    """
    share = float(right.sum() / pairs.sum())
    threads = len(pairs)
    if threads == 1:
        return share, math.inf
    apart = right - share * pairs
    return share, math.sqrt(math.fsum(apart * apart) * threads / (threads - 1)) / float(pairs.sum())


class Baselines:
    """The rules of thumb of one export. Add its rows, then ask for the results."""

    def __init__(self) -> None:
        self._rules = {name: Agreement(name) for name in (LONGER, EARLIER, HIGHER)}

    def add(self, frame: pl.DataFrame, thread: pl.Series) -> None:
        """Count the rows of `sides_of`, with the hash of the thread of each.

        `better_chars` and `worse_chars` may take the place of the texts: their lengths in characters.
        """
        if "better_chars" not in frame.columns:
            if "better" not in frame.columns:
                return
            chars = [pl.col(side).str.len_chars().alias(f"{side}_chars") for side in ("better", "worse")]
            frame = frame.with_columns(chars)
        self._rules[LONGER].add(thread, _exceeds(frame["better_chars"], frame["worse_chars"]))
        if "better_at" in frame.columns:
            self._rules[EARLIER].add(thread, _exceeds(frame["worse_at"], frame["better_at"]))
        if "better_is_first" in frame.columns:
            self._rules[HIGHER].add(thread, frame["better_is_first"])

    def results(self) -> list[Baseline]:
        """Return the rules that decide a pair."""
        return [found for rule in self._rules.values() if (found := rule.result()) is not None]


def _exceeds(value: pl.Series, other: pl.Series) -> pl.Series:
    """Return whether the value is greater than the other; null where they are equal."""
    frame = pl.DataFrame({"value": value, "other": other})
    return frame.select(pl.when(pl.col("value") != pl.col("other")).then(pl.col("value") > pl.col("other"))).to_series()


def thread_hashes(frame: pl.DataFrame) -> pl.Series:
    """Return a hash of each row's thread."""
    return frame["thread"].hash()
