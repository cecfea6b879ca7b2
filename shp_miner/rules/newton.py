"""Newton's method for the slopes of rules/comparisons.py, from sums alone: many groups of pairs at once.

Each step solves (H + R) step = g - R (a - prior), with the gradient g and the Hessian H of the loss at the slopes a and
a ridge R that draws them to the prior. It is halved while the loss, with the ridge, grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: The slopes of a group: for soft labels (target and weight), and for hard ones.
SLOPES = ("attention_rank", "attention_share", "margin_rank", "margin_share")

#: The loss, its gradient (negative) and its Hessian.
_TERMS = ("loss", "rank", "share", "rank_rank", "rank_share", "share_share")
SUMS = tuple(f"{kind}_{term}" for kind in ("soft", "hard") for term in _TERMS)

#: Sums are kept in whole multiples of this (2^-27): then their order cannot matter, and slopes are right to nine
#: decimals. Twenty thousand million pairs have room, more than all of Reddit has.
QUANTUM = 2.0**-27

#: Steps at most, the length of one that needs no other after it, and the shortest part of one that is tried.
_STEPS_MAX = 8
_LAST_STEP = 1e-7
_LEAST_PART = 2.0**-20

#: A loss that is larger by less than this part of it has not grown: sums are rounded.
_ROUNDING = 1e-9


def newton(
    priors: pl.DataFrame, key: Sequence[str], ridge: float, evaluate_at: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Return `key`, `pairs` (Int64) and SLOPES of each group of `priors`, which has `key` and SLOPES to be drawn to.

    `evaluate_at` gets groups with slopes and returns `key`, `pairs` and SUMS of those that have pairs.
    """
    state = _Newton(priors, key, ridge, evaluate_at(priors))
    while not state.done.all():
        state.take(evaluate_at(state.tried()))
    return state.groups.with_columns(state.slopes(state.point))


class _Newton:
    """The steps of every group and both kinds of labels at once: (group, kind, slope)."""

    def __init__(self, priors: pl.DataFrame, key: Sequence[str], ridge: float, sums: pl.DataFrame) -> None:
        self._key, self._ridge = list(key), ridge
        self._prior = priors.select(SLOPES).to_numpy().reshape(-1, 2, 2)
        counts = priors.join(sums, on=self._key, how="left", maintain_order="left")
        self.groups = counts.select(*key, pl.col("pairs").fill_null(0))
        self.point = self._prior.copy()
        self.done = np.zeros((priors.height, 2), np.bool_)
        self._taken = np.zeros((priors.height, 2), np.int64)
        self._part = np.ones((priors.height, 2))
        self._sums = self._of(sums)
        self._step = np.zeros_like(self.point)
        self._aim(~self.done)

    def tried(self) -> pl.DataFrame:
        """Return the slopes to evaluate: groups of which one kind at least is not done."""
        frame = self.groups.select(*self._key, *self.slopes(self._trial()))
        return frame.filter(pl.Series(~self.done.all(axis=1)))

    @staticmethod
    def slopes(point: Floats) -> list[pl.Series]:
        """Return the columns SLOPES of an array (group, kind, slope)."""
        return [pl.Series(name, column) for name, column in zip(SLOPES, point.reshape(-1, len(SLOPES)).T, strict=True)]

    def take(self, sums: pl.DataFrame) -> None:
        """Take the steps that do not let the loss grow, halve the others, and aim anew; `sums` are at `tried`."""
        new, trial = self._of(sums), self._trial()
        before, after = self._loss(self._sums, self.point), self._loss(new, trial)
        better = ~self.done & (after <= before + _ROUNDING * np.abs(before))
        worse = ~self.done & ~better
        self.point[better], self._sums[better] = trial[better], new[better]
        self._taken[better] += 1
        self._part[better] = 1.0
        self._part[worse] /= 2
        self.done |= (better & (self._taken >= _STEPS_MAX)) | (worse & (self._part < _LEAST_PART))
        self._aim(better & ~self.done)

    def _aim(self, among: Mask) -> None:
        """Find the next step of some. A tiny one is taken without looking at its loss, and is the last."""
        _, g1, g2, h11, h12, h22 = np.moveaxis(self._sums, -1, 0)
        away = self._ridge * (self.point - self._prior)
        g1, g2, h11, h22 = g1 - away[..., 0], g2 - away[..., 1], h11 + self._ridge, h22 + self._ridge
        determinant = h11 * h22 - h12 * h12
        step = np.stack([h22 * g1 - h12 * g2, h11 * g2 - h12 * g1], axis=-1) / determinant[..., None]
        self._step[among] = step[among]
        last = among & (np.abs(step).max(axis=-1) <= _LAST_STEP)
        self.point[last] += step[last]
        self.done |= last

    def _trial(self) -> Floats:
        result: Floats = self.point + np.where(self.done, 0.0, self._part)[..., None] * self._step
        return result

    def _loss(self, sums: Floats, point: Floats) -> Floats:
        away = point - self._prior
        result: Floats = sums[..., 0] + self._ridge / 2 * (away * away).sum(axis=-1)
        return result

    def _of(self, sums: pl.DataFrame) -> Floats:
        """The sums as numbers, 0 for groups without: (group, kind, term)."""
        ours = self.groups.select(self._key).join(sums, on=self._key, how="left", maintain_order="left")
        table = ours.select(pl.col(SUMS).fill_null(0)).to_numpy().astype(np.float64) * QUANTUM
        return table.reshape(-1, 2, len(_TERMS))
