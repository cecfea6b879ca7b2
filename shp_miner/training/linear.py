"""A linear model of preferences, after Bradley and Terry 1952.

The odds that one answer wins are e to the difference of their scores; a score is a weighted sum of an answer's columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from shp_miner.training.descent import Vector, dot, minimize
from shp_miner.training.words import Floats, Hashing, Rows, product_sums

#: Penalties to choose from, from strong to weak. Each is weighed against the mean loss of a pair.
PENALTIES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)

#: Parts of the threads: each is held out once while the penalty is chosen.
FOLDS = 3

#: A column is used if at least this many rows have it, and a shared word if at most this share of rows do: common
#: words are in every question.
_ROWS_MIN = 2
_SHARED_MOST = 0.05

#: Where the loss is this many times the least so far, no weaker penalty is tried.
_HOPELESS = 1.01

_STEPS_MAX = 150
_TOLERANCE = 1e-4

Numbers = npt.NDArray[np.int64]


class Pairs(Struct, frozen=True):
    """Pairs as places in `rows`: of the winner and of the loser; and the number of each pair's thread.

    `target` is the probability that the winner is the better one (None: 1), `weight` what a pair counts (None: 1), and
    `attention` the log-odds of its victory that are not to be learned (None: 0).
    """

    rows: Rows
    winner: Numbers
    loser: Numbers
    thread: Numbers
    target: Vector | None = None
    weight: Vector | None = None
    attention: Vector | None = None

    def __len__(self) -> int:
        return len(self.winner)

    def take(self, places: Numbers | npt.NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs; the rows stay."""
        beside = (None if of is None else of[places] for of in (self.target, self.weight, self.attention))
        return Pairs(self.rows, self.winner[places], self.loser[places], self.thread[places], *beside)

    def turned(self, places: npt.NDArray[np.bool_]) -> Pairs:
        """Return the pairs with winner and loser exchanged in some places."""
        winner, loser = np.where(places, self.loser, self.winner), np.where(places, self.winner, self.loser)
        target = None if self.target is None else np.where(places, 1 - self.target, self.target)
        attention = None if self.attention is None else np.where(places, -self.attention, self.attention)
        return Pairs(self.rows, winner, loser, self.thread, target, self.weight, attention)

    def margins(self, weights: Vector) -> Vector:
        """Return how much higher each winner scores than its loser."""
        scores = self.rows.times(weights)
        margins: Vector = scores[self.winner] - scores[self.loser]
        return margins

    def losses(self, margins: Vector) -> Vector:
        """Return the cross-entropy of each pair, in nats, with its target and attention."""
        z = margins if self.attention is None else margins + self.attention
        return log_loss(z) if self.target is None else log_loss(z) + (1 - self.target) * z


class Recipe(Struct, frozen=True):
    """How models are fitted: the columns, what a thread weighs (THREAD_WEIGHTS), and the seed of random choices."""

    hashing: Hashing
    thread_weights: str
    seed: int


class Fit(Struct, frozen=True):
    """Weights of all columns with the penalty that they were fitted with."""

    weights: Vector
    penalty: float


def pair_weights(thread: Numbers, kind: str, own: Vector | None = None) -> Vector:
    """Return the pairs' weights, 1 in sum: a thread of n pairs weighs sqrt(n) ("sqrt"), n ("none") or 1 ("one").

    `own` is a weight of each pair, which is a factor of it.
    """
    sizes = np.bincount(thread)[thread].astype(np.float64) if len(thread) else np.zeros(0)
    weights = sizes ** {"sqrt": -0.5, "none": 0.0, "one": -1.0}[kind] * (1.0 if own is None else own)
    return np.asarray(weights / weights.sum())


def fit_chosen(pairs: Pairs, recipe: Recipe, view: str, advance: Callable[[int], object]) -> Fit:
    """Return the model of a view, with the penalty that predicts threads best which are left out of the fit.

    `advance` gets FOLDS + 1 steps.
    """
    threads = np.unique(pairs.thread)
    fold = np.zeros(int(threads.max()) + 1, np.int64)
    fold[threads] = np.random.default_rng(recipe.seed).permutation(len(threads)) % FOLDS
    losses = np.zeros(len(PENALTIES))
    for number in range(FOLDS):
        held = fold[pairs.thread] == number
        trained, left_out = pairs.take(~held), pairs.take(held)
        problem = _Problem(trained, recipe, view)
        weights = pair_weights(left_out.thread, recipe.thread_weights, left_out.weight) * (held.sum() / len(held))
        least = np.inf
        for place, penalty in enumerate(PENALTIES):
            loss = dot(weights, left_out.losses(left_out.margins(problem.solve(penalty))))
            losses[place] += loss
            least = min(least, loss)
            if loss > _HOPELESS * least:  # weaker penalties take the longest, and are worse still
                losses[place + 1 :] = np.inf
                break
        advance(1)
    penalty = PENALTIES[int(np.argmin(losses))]
    fitted = fit(pairs, recipe, view, penalty)
    advance(1)
    return fitted


def fit(pairs: Pairs, recipe: Recipe, view: str, penalty: float) -> Fit:
    """Return the model of a view of VIEWS with a penalty."""
    problem = _Problem(pairs, recipe, view)
    return Fit(problem.solve(penalty), penalty)


def log_loss(margins: Vector) -> Vector:
    """Return -ln of the probability that each winner wins, in nats."""
    loss: Vector = np.logaddexp(0.0, -margins)
    return loss


class _Problem:
    """The rows that some pairs need, without columns that are not used, by row and by column."""

    def __init__(self, pairs: Pairs, recipe: Recipe, view: str) -> None:
        hashing = recipe.hashing
        used = np.unique(np.concatenate([pairs.winner, pairs.loser]))
        self._winner, self._loser = np.searchsorted(used, pairs.winner), np.searchsorted(used, pairs.loser)
        self._pairs, self._weights = pairs, pair_weights(pairs.thread, recipe.thread_weights, pairs.weight)
        self._all = hashing.columns
        lengths = np.diff(pairs.rows.starts)
        is_used = np.zeros(len(pairs.rows), np.bool_)
        is_used[used] = True
        inside = np.repeat(is_used, lengths)
        columns, values = pairs.rows.columns[inside], pairs.rows.values[inside]
        row = np.repeat(np.arange(len(used), dtype=np.int32), lengths[used])
        del inside
        times = np.bincount(columns, minlength=self._all)
        shared = slice(hashing.words, hashing.words + hashing.shared)
        kept = hashing.seen(view) & (times >= _ROWS_MIN)
        kept[shared] &= times[shared] <= _SHARED_MOST * len(used)
        self._columns = np.flatnonzero(kept)
        among = kept[columns]
        place = (np.cumsum(kept) - 1).astype(np.int32)
        row, columns, values = row[among], place[columns[among]], values[among]
        self._by_row = _Sums(np.bincount(row, minlength=len(used)), columns, values)
        order = np.argsort(columns, kind="stable")
        self._by_column = _Sums(np.bincount(columns, minlength=len(self._columns)), row[order], values[order])
        self._point = np.zeros(len(self._columns))

    def solve(self, penalty: float) -> Vector:
        """Return the weights of all columns that minimise the loss with a penalty, starting from the last answer."""

        def objective(point: Vector) -> tuple[float, Vector]:
            scores = self._by_row.times(point)
            margins = scores[self._winner] - scores[self._loser]
            z = margins if self._pairs.attention is None else margins + self._pairs.attention
            slopes = -self._weights / (1 + np.exp(np.minimum(z, 700.0)))
            if self._pairs.target is not None:
                slopes += self._weights * (1 - self._pairs.target)
            count = len(scores)
            of_rows = sums_at(self._winner, slopes, count) - sums_at(self._loser, slopes, count)
            value = dot(self._weights, self._pairs.losses(margins)) + penalty / 2 * dot(point, point)
            return value, self._by_column.times(of_rows) + penalty * point

        self._point = minimize(objective, self._point, steps_max=_STEPS_MAX, tolerance=_TOLERANCE).point
        weights = np.zeros(self._all)
        weights[self._columns] = self._point
        return weights


def sums_at(places: Numbers, values: Vector, count: int) -> Vector:
    """Return for each of `count` places the sum of the values there."""
    result: Vector = np.bincount(places, weights=values, minlength=count).astype(np.float64)
    return result


class _Sums:
    """A sparse matrix whose entries stand in the order of the sums that they belong to, of these lengths."""

    def __init__(self, lengths: Numbers, other: npt.NDArray[np.int32], values: Floats) -> None:
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._other, self._values = other, values

    def times(self, vector: Vector) -> Vector:
        return product_sums(self._values, self._other, vector, self._starts)
