"""How good a model's preferences are: shares of pairs, each with an interval from a bootstrap over threads.

Pairs of one thread share answers, so they are no independent draws: whole threads are drawn with replacement (Efron and
Tibshirani 1993, An Introduction to the Bootstrap, percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from shp_miner.training.linear import Numbers, log_loss
from shp_miner.training.pairs import Split

#: Draws of the bootstrap, and the shares of them below and above the 95 % interval.
DRAWS = 1000
_LOW, _HIGH = 2.5, 97.5

#: Groups by which answer was written first.
NEWER, OLDER = "winner newer", "winner older"

#: Bounds between the groups by score ratio: preferred answer's score over the other's.
RATIO_BOUNDS = (1.0, 1.5, 2.0, 3.0, 5.0)

Floats = npt.NDArray[np.float64]


class Estimate(Struct, frozen=True):
    """A value with its 95 % interval, which is null for fewer than two threads."""

    value: float
    low: float | None = None
    high: float | None = None


class Group(Struct, frozen=True):
    """A part of the pairs: its name, pairs and threads, the model's accuracy and that of preferring the longer text."""

    name: str
    pairs: int
    threads: int
    accuracy: Estimate
    longer_wins: Estimate


class Evaluation(Struct, frozen=True, kw_only=True):
    """A model's accuracy on pairs of threads that it was not trained on, against three simple preferences.

    Accuracy counts a tie as half. Values that need the answers' times are null if the format has none. balanced is the
    mean of the accuracy on pairs whose winner is newer and on those whose winner is older, null if one kind is missing.
    bits is the usable information per pair, see `usable_bits`.
    """

    pairs: int
    threads: int
    accuracy: Estimate
    longer_wins: Estimate
    earlier_wins: Estimate | None
    chance: float = 0.5
    over_longer: Estimate
    over_earlier: Estimate | None
    balanced: Estimate | None
    balanced_longer_wins: Estimate | None
    bits: Estimate
    by_ratio: list[Group]
    by_winner: list[Group]
    by_community: list[Group]


class Bootstrap:
    """Sums over pairs in the data and in DRAWS draws of its threads."""

    def __init__(self, thread: Numbers, seed: int) -> None:
        threads, self._thread = np.unique(thread, return_inverse=True)
        self.threads = len(threads)
        self._seed = seed

    def sums(self, values: Sequence[Floats]) -> Floats:
        """Return an array (1 + DRAWS, number of values): the sums in the data first. Every call draws the same."""
        each = np.stack([np.bincount(self._thread, value, minlength=self.threads) for value in values], axis=1)
        result = np.empty((1 + DRAWS, len(values)))
        result[0] = each.sum(axis=0)
        random = np.random.default_rng(self._seed)
        for draw in range(DRAWS):
            times = np.bincount(random.integers(0, self.threads, self.threads), minlength=self.threads)
            result[1 + draw] = (times[:, None] * each).sum(axis=0)
        return result

    def estimate(self, draws: Floats) -> Estimate:
        """Return an estimate of (1 + DRAWS) values, the first of which is that of the data."""
        drawn = draws[1:][np.isfinite(draws[1:])]
        if self.threads < 2 or not len(drawn):
            return Estimate(_rounded(draws[0]))
        low, high = np.percentile(drawn, [_LOW, _HIGH])
        return Estimate(_rounded(draws[0]), _rounded(low), _rounded(high))

    def mean(self, values: Floats, among: npt.NDArray[np.bool_] | None = None) -> Estimate:
        """Return the mean of a value of each pair, or of the pairs of a group."""
        mask = np.ones(len(values)) if among is None else among.astype(np.float64)
        sums = self.sums([values * mask, mask])
        return self.estimate(ratio(sums, 0, 1))


def ratio(sums: Floats, of: int, to: int) -> Floats:
    """Return one column of sums over another; not-a-number where the latter is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: Floats = sums[:, of] / sums[:, to]
    return quotient


def hits(margins: Floats | Numbers) -> Floats:
    """Return 1 where the winner is ahead, 0 where the loser is, and 0.5 for a tie."""
    half: Floats = (np.sign(margins).astype(np.float64) + 1) / 2
    return half


def usable_bits(margins: Floats) -> Floats:
    """Return how many bits each pair's input tells a model about which side is preferred.

    This is the V-information of Xu et al. 2020 (A Theory of Usable Information under Computational Constraints), per
    instance as in Ethayarajh et al. 2022 (Understanding Dataset Difficulty with V-Usable Information): the loss without
    any input, which is 1 bit because the sides are exchangeable, less the loss with it.
    """
    bits: Floats = 1 - log_loss(margins) / np.log(2)
    return bits


def evaluate(margins: Floats, split: Split, seed: int) -> Evaluation:
    """Return the evaluation of a model by how much higher it scores each winner of a split than its loser."""
    pairs = split.pairs
    draws = Bootstrap(pairs.thread, seed)
    model, longer = hits(margins), hits(split.chars[pairs.winner] - split.chars[pairs.loser])
    timed = bool(np.isfinite(split.seconds).all())
    earlier = hits(-split.seconds) if timed else None
    return Evaluation(
        pairs=len(pairs),
        threads=draws.threads,
        accuracy=draws.mean(model),
        longer_wins=draws.mean(longer),
        earlier_wins=None if earlier is None else draws.mean(earlier),
        over_longer=draws.mean(model - longer),
        over_earlier=None if earlier is None else draws.mean(model - earlier),
        balanced=_balanced(draws, model, split.seconds),
        balanced_longer_wins=_balanced(draws, longer, split.seconds),
        bits=draws.mean(usable_bits(margins)),
        by_ratio=_groups(draws, model, longer, pairs.thread, _ratio_groups(split.ratio)),
        by_winner=_groups(
            draws,
            model,
            longer,
            pairs.thread,
            [(NEWER, split.seconds > 0), (OLDER, split.seconds < 0)],
        ),
        by_community=_groups(
            draws,
            model,
            longer,
            pairs.thread,
            [(name, split.community == number) for number, name in enumerate(split.communities)],
        ),
    )


def _balanced(draws: Bootstrap, values: Floats, seconds: Floats) -> Estimate | None:
    newer, older = (seconds > 0).astype(np.float64), (seconds < 0).astype(np.float64)
    if not newer.any() or not older.any():
        return None
    sums = draws.sums([values * newer, newer, values * older, older])
    return draws.estimate((ratio(sums, 0, 1) + ratio(sums, 2, 3)) / 2)


def _ratio_groups(found: Floats) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    groups = []
    for low, high in zip(RATIO_BOUNDS, [*RATIO_BOUNDS[1:], np.inf], strict=True):
        name = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and more"
        groups.append((name, (found >= low) & (found < high)))
    return [*groups, ("below 1", found < 1), ("unknown", ~np.isfinite(found))]


def _groups(
    draws: Bootstrap,
    model: Floats,
    longer: Floats,
    thread: Numbers,
    parts: Sequence[tuple[str, npt.NDArray[np.bool_]]],
) -> list[Group]:
    mean: Callable[[Floats, npt.NDArray[np.bool_]], Estimate] = draws.mean
    return [
        Group(name, int(among.sum()), len(np.unique(thread[among])), mean(model, among), mean(longer, among))
        for name, among in parts
        if among.any()
    ]


def _rounded(value: float) -> float:
    """Return a value in four decimals: more would be noise, and differ from machine to machine."""
    return round(float(value), 4) + 0.0
