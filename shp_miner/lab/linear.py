"""A linear model of words that learns from pairs of answers: hard or soft labels, weights, offsets, a second tower.

The odds that one answer wins are e to the difference of their scores (Bradley and Terry 1952); a score is a weighted
sum of an answer's hashed words, marks and pairs of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]

_FEATURES = 1 << 18

#: What counts as a word: those of one letter and marks of punctuation, too. How a writer sets sentences says much.
_WORD = r"\w+|[^\w\s]"

#: Steps of the descent at most.
_STEPS_MAX = 60

#: Weight of the penalty of the columns beside the words: hardly any, for there are few.
_BESIDE = 1e-4


@dataclass(frozen=True, eq=False)
class Examples:
    """Pairs to learn from, as rows of a matrix of texts; `thread` is a number.

    target: the share of winning that the winner's side is to get; weight: what a pair weighs; offset: log-odds that are
    added to what the texts say; beside: columns (pairs, any) that explain the label too, and are thrown away after.
    """

    winner: Rows
    loser: Rows
    thread: Rows
    target: Floats | None = None
    weight: Floats | None = None
    offset: Floats | None = None
    beside: Floats | None = None

    def __len__(self) -> int:
        return len(self.winner)

    def take(self, rows: Rows | npt.NDArray[np.bool_]) -> Examples:
        """Return some of the pairs."""

        def some(values: Floats | None) -> Floats | None:
            return None if values is None else values[rows]

        return Examples(
            self.winner[rows],
            self.loser[rows],
            self.thread[rows],
            some(self.target),
            some(self.weight),
            some(self.offset),
            some(self.beside),
        )


def word_matrix(texts: pl.Series) -> Any:
    """A sparse row of hashed words and pairs of them for each text, of length 1; without what only one text has."""
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415  (the extra `lab`)

    hashing = HashingVectorizer(
        n_features=_FEATURES,
        token_pattern=_WORD,
        ngram_range=(1, 2),
        alternate_sign=False,
        norm="l2",
        dtype=np.float32,
    )
    matrix = hashing.transform(texts.to_list())
    return matrix[:, np.bincount(matrix.indices, minlength=_FEATURES) > 1]


def one_thread() -> Any:
    """Let linear algebra use one thread: its vectors are small, and waiting for others costs more than it gives."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    return threadpool_limits(1)


def thread_weights(thread: Rows) -> Floats:
    """1 / sqrt of the pairs of each pair's thread: a thread of n pairs weighs sqrt(n)."""
    _, of, size = np.unique(thread, return_inverse=True, return_counts=True)
    weights: Floats = 1 / np.sqrt(size[of])
    return weights


class Learner:
    """Fits models on the rows of a matrix; `steps_max` steps of L-BFGS at most."""

    def __init__(self, matrix: Any, steps_max: int = _STEPS_MAX) -> None:
        self.matrix = matrix
        self._columns = matrix.T.tocsr()
        self._steps_max = steps_max

    def fit(self, examples: Examples, strength: float, start: Floats | None = None) -> Floats:
        """Return the weights of the matrix's columns, then those of `beside`.

        They minimise the weighted mean of the cross-entropy of target and sigmoid(score of the winner - score of the
        loser + offset) plus strength / 2 * |weights|^2 (for `beside` a penalty of its own). A pair turned round has the
        same loss: there is no constant, so nothing depends on the sides. The descent begins at `start`, or at 0.
        """
        from scipy.optimize import minimize  # noqa: PLC0415

        count, width = self.matrix.shape
        kind = self.matrix.dtype
        winner, loser = examples.winner, examples.loser
        target = 1.0 if examples.target is None else examples.target
        weight = np.ones(len(examples)) if examples.weight is None else examples.weight
        weight = weight / weight.sum()
        offset = 0.0 if examples.offset is None else examples.offset
        beside = np.empty((len(examples), 0)) if examples.beside is None else examples.beside
        penalty = np.concatenate([np.full(width, strength), np.full(beside.shape[1], _BESIDE)])

        def loss(weights: Floats) -> tuple[float, Floats]:
            scores = (self.matrix @ weights[:width].astype(kind)).astype(np.float64)
            margins = scores[winner] - scores[loser] + beside @ weights[width:] + offset
            value = float(weight @ (np.logaddexp(0, -margins) + (1 - target) * margins))
            slopes = weight * (1 / (1 + np.exp(np.minimum(-margins, 700.0))) - target)
            of_rows = np.bincount(winner, slopes, count) - np.bincount(loser, slopes, count)
            gradient = np.concatenate([(self._columns @ of_rows.astype(kind)).astype(np.float64), slopes @ beside])
            return value + float(penalty @ (weights * weights)) / 2, gradient + penalty * weights

        first = np.zeros(len(penalty)) if start is None else start
        found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": self._steps_max})
        weights: Floats = found.x
        return weights

    def hits(self, weights: Floats, winner: Rows, loser: Rows) -> npt.NDArray[np.float64]:
        """Whether a model's words tell each pair right: 1, 0, or 0.5 where they tell nothing."""
        scores = self.matrix @ weights[: self.matrix.shape[1]].astype(self.matrix.dtype)
        hits: npt.NDArray[np.float64] = (np.sign(scores[winner] - scores[loser]) + 1.0) / 2
        return hits
