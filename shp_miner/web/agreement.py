"""How far judgments agree: shares with Wilson's interval, agreement between judges, and the slope of calibration.

Own code, held in the tests against published worked examples. References: E. B. Wilson 1927 (interval of a share);
K. Krippendorff 2011, Computing Krippendorff's Alpha-Reliability (nominal alpha); K. L. Gwet 2014, Handbook of
Inter-Rater Reliability (AC1, raw agreement); D. R. Cox 1958 (slope of calibration).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Of an interval of 95 %: how far its ends are in standard errors, and the shares of draws below and above it.
_Z = NormalDist().inv_cdf(0.975)
_TAILS = (0.025, 0.975)

#: Draws of the bootstrap.
DRAWS = 2_000

#: Confidence is taken as at least this far from 0 and 1: its logit must be a number.
_EDGE = 1e-6

#: A slope this steep is not an estimate: the labels are right, or wrong, wherever they are sure.
_STEEP = 50.0


class Estimate(Struct, frozen=True):
    """A value and its 95 % interval. None where the data do not decide it."""

    value: float | None
    low: float | None
    high: float | None


class Between(Struct, frozen=True):
    """Agreement between judges, over `units` pairs that at least two of them judged."""

    units: int
    raw: Estimate
    alpha: Estimate
    ac1: Estimate


def wilson(holds: float, of: float) -> Estimate:
    """Return the share `holds` / `of` with Wilson's 95 % interval. `holds` may be a sum of shares."""
    if of <= 0:
        return Estimate(None, None, None)
    share, spread = holds / of, _Z * _Z / of
    middle = share + spread / 2
    half = math.sqrt(max(0.0, share * (1 - share) * spread + spread * spread / 4))
    return Estimate(share, max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread)))


def coefficients(counts: Floats, weights: Floats) -> Floats:
    """Return raw agreement, Krippendorff's alpha (nominal) and Gwet's AC1 of each row of weights: (draws, 3).

    `counts` says how many judges put each unit into each category (units, categories); a judge who did not say is not
    counted. `weights` says how often each unit is taken (draws, units). Units with one judge only add to the shares of
    the categories that AC1 takes for chance, as Gwet defines it. NaN where a coefficient is not defined: no unit, or
    for alpha a single category in use.
    """
    counts, weights = np.asarray(counts, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    judges = counts.sum(axis=1)
    seen, both = judges >= 1, judges >= 2
    with np.errstate(divide="ignore", invalid="ignore"):
        share = weights[:, seen] @ (counts[seen] / judges[seen, None]) / weights[:, seen].sum(axis=1)[:, None]
    counts, judges, weights = counts[both], judges[both], weights[:, both]
    agreeing = (counts * (counts - 1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = weights.sum(axis=1)
        raw = weights @ (agreeing / (judges * (judges - 1))) / units
        # AC1: chance agreement by the mean share of each category.
        chance = (share * (1 - share)).sum(axis=1) / (counts.shape[1] - 1)
        ac1 = (raw - chance) / (1 - chance)
        # alpha: disagreement within units over that among all values.
        values = weights @ counts
        total = values.sum(axis=1)
        within = weights @ ((judges**2 - (counts**2).sum(axis=1)) / (judges - 1))
        among = (total**2 - (values**2).sum(axis=1)) / (total - 1)
        alpha = np.where(among > 0, 1 - within / among, np.nan)
    return np.stack([raw, alpha, ac1], axis=1)


def between_judges(counts: Floats, thread: Index, seed: int = 0) -> Between:
    """Return the agreement between judges, with intervals by a bootstrap over threads (percentiles).

    There is no interval where all pairs that two judged are of one thread, which says nothing of other threads.
    `counts` as in `coefficients`, one row a pair; `thread` is a number of each row's thread.
    """
    both = counts.sum(axis=1) >= 2
    units = int(both.sum())
    if not units:
        nothing = Estimate(None, None, None)
        return Between(0, nothing, nothing, nothing)
    thread = np.unique(thread, return_inverse=True)[1]
    points = coefficients(counts, np.ones((1, len(counts))))[0]
    if len(np.unique(thread[both])) < 2:
        alone = (Estimate(None if np.isnan(point) else float(point), None, None) for point in points)
        return Between(units, *alone)
    threads = int(thread.max()) + 1
    draw = np.random.default_rng(seed).multinomial(threads, np.full(threads, 1 / threads), size=DRAWS)
    draws = coefficients(counts, draw[:, thread].astype(np.float64))
    return Between(units, *(_percentiles(*column) for column in zip(points, draws.T, strict=True)))


def _percentiles(point: np.float64, draws: Floats) -> Estimate:
    known = draws[~np.isnan(draws)]
    if np.isnan(point) or not len(known):
        return Estimate(None, None, None)
    low, high = np.quantile(known, _TAILS)
    return Estimate(float(point), float(low), float(high))


def calibration_slope(confidence: Floats, agrees: Floats, thread: Index) -> Estimate:
    """Return the slope s of P(agrees) = sigmoid(s logit(confidence)), with an interval that takes threads as units.

    1: judges agree as often as the confidences say. Below 1: the confidences are too sure; above 1: too modest. A pair
    has no direction of its own, so there is no intercept. None where no slope fits best, for example where every
    judgment agrees.
    """
    logit = _logit(confidence)
    slope = 0.0
    for _ in range(100):
        chance = 1 / (1 + np.exp(-slope * logit))
        bend = float(np.sum(logit**2 * chance * (1 - chance)))
        if bend < _EDGE:
            return Estimate(None, None, None)
        step = float(np.sum(logit * (agrees - chance))) / bend
        slope += max(-1.0, min(1.0, step))
        if abs(slope) > _STEEP:
            return Estimate(None, None, None)
        if abs(step) < 1e-10:
            break
    units = np.unique(thread, return_inverse=True)[1]
    scores = np.bincount(units, logit * (agrees - chance))
    count = len(scores)
    if count < 2:
        return Estimate(slope, None, None)
    error = math.sqrt(float(np.sum(scores**2)) * count / (count - 1)) / bend
    return Estimate(slope, slope - _Z * error, slope + _Z * error)


def _logit(confidence: Floats) -> Floats:
    bounded = np.clip(np.asarray(confidence, dtype=np.float64), _EDGE, 1 - _EDGE)
    return np.log(bounded / (1 - bounded))
