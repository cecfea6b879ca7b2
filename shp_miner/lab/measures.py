"""Measuring labels against the truth. All arrays here have one entry per pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Bins of confidence: ten of equal width from 0.5 to 1, and as many below for rules that keep doubtful pairs.
BINS = 20

#: Fewest pairs that a share of right ones is shown for.
_FEW = 50


@dataclass(frozen=True, eq=False)
class Labels:
    """Pairs of one rule: number of the thread, whether the label is right, and its confidence (NaN where unknown)."""

    thread: Index
    right: Mask
    confidence: Floats

    def __len__(self) -> int:
        return len(self.thread)

    @property
    def ranked(self) -> bool:
        """Whether every pair has a confidence, and there is one."""
        return len(self) > 0 and not bool(np.isnan(self.confidence).any())

    def only(self, keep: Mask) -> Labels:
        """The pairs where `keep` holds."""
        return Labels(self.thread[keep], self.right[keep], self.confidence[keep])


def share_with_error(holds: Mask | Floats, thread: Index) -> tuple[float, float]:
    """The mean of `holds` over pairs, and its standard error with threads as the independent units; NaN for no pairs.

    The error is that of a ratio of two sums over threads (Cochran, Sampling Techniques, 1977, section 6.4).
    """
    pairs = len(holds)
    if not pairs:
        return math.nan, math.nan
    mean = float(np.mean(holds))
    apart = np.bincount(thread, holds - mean)
    return mean, math.sqrt(float(np.sum(apart**2))) / pairs


def accuracy_at(labels: Labels, pairs: int) -> float | None:
    """Share of right labels among the `pairs` most confident; None without confidences or with fewer pairs.

    Of pairs that are equally confident and do not all fit, each counts with the chance that it is among those taken.
    """
    if not labels.ranked or not 0 < pairs <= len(labels):
        return None
    return _at(*_prefixes(labels), pairs)


def kept_at(labels: Labels, accuracy: float) -> int | None:
    """How many of the most confident pairs can be kept with at least this share of right ones, at most.

    Equally confident pairs are kept together. None without confidences.
    """
    if not labels.ranked:
        return None
    return int(_most(*_prefixes(labels), accuracy))


def multiple(labels: Labels, reference: Labels) -> float | None:
    """Pairs that can be kept at the reference's accuracy, per pair of the reference. None without either."""
    if not labels.ranked or not len(reference):
        return None
    return _most(*_prefixes(labels), float(np.mean(reference.right))) / len(reference)


def multiple_error(labels: Labels, reference: Labels, threads: int, seed: int, resamples: int = 50) -> float | None:
    """Standard error of `multiple`: its spread when threads are drawn anew with replacement (bootstrap)."""
    if not labels.ranked or not len(reference):
        return None
    draw = np.random.default_rng([seed, threads])
    order = np.argsort(-labels.confidence, kind="stable")
    last = _group_ends(labels.confidence[order])
    thread, right = labels.thread[order], labels.right[order]
    found = []
    for _ in range(resamples):
        weight = np.bincount(draw.integers(0, threads, threads), minlength=threads).astype(np.float64)
        pairs = weight[reference.thread].sum()
        if not pairs:
            continue
        accuracy = float(weight[reference.thread] @ reference.right / pairs)
        weights = weight[thread]
        kept = _most(np.cumsum(weights)[last], np.cumsum(weights * right)[last], accuracy)
        found.append(kept / pairs)
    return float(np.std(found, ddof=1)) if len(found) > 1 else None


def reliability(labels: Labels) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, pairs) of each bin of confidence that holds some, from low to high."""
    if not labels.ranked:
        return []
    number = np.minimum((labels.confidence * BINS).astype(np.int64), BINS - 1)
    pairs = np.bincount(number, minlength=BINS)
    confidence = np.bincount(number, labels.confidence, BINS)
    right = np.bincount(number, labels.right, BINS)
    return [(float(confidence[i] / pairs[i]), float(right[i] / pairs[i]), int(pairs[i])) for i in np.flatnonzero(pairs)]


def calibration_error(labels: Labels) -> float | None:
    """Expected calibration error: |share right - mean confidence| of each bin, weighted by its pairs."""
    bins = reliability(labels)
    if not bins:
        return None
    return sum(abs(right - confidence) * pairs for confidence, right, pairs in bins) / len(labels)


def coverage(labels: Labels, reference_pairs: int, points: int = 60) -> list[tuple[float, float]]:
    """(pairs per pair of the reference, accuracy of that many most confident pairs), evenly in the logarithm."""
    first = max(_FEW, reference_pairs // 20)
    if not labels.ranked or not reference_pairs or len(labels) <= first:
        return []
    ends, right = _prefixes(labels)
    counts = sorted(set(np.geomspace(first, len(labels), points).round().astype(int).tolist()))
    return [(count / reference_pairs, _at(ends, right, count)) for count in counts]


def length_bias(longer_won: Mask, longer_better: Mask, thread: Index) -> tuple[float, float]:
    """How much more often the longer answer wins than it should: share of wins minus share by the truth, and error."""
    return share_with_error(longer_won.astype(np.float64) - longer_better, thread)


def _prefixes(labels: Labels) -> tuple[Floats, Floats]:
    """Pairs, and right ones among them, of each prefix of the most confident that cuts through no tie."""
    order = np.argsort(-labels.confidence, kind="stable")
    last = _group_ends(labels.confidence[order])
    return (last + 1).astype(np.float64), np.cumsum(labels.right[order]).astype(np.float64)[last]


def _at(ends: Floats, right: Floats, pairs: int) -> float:
    """Share of right ones among the first `pairs`, given prefixes; a tie that does not fit counts in part."""
    last = int(np.searchsorted(ends, pairs))
    before_pairs, before_right = (ends[last - 1], right[last - 1]) if last else (0.0, 0.0)
    part = (pairs - before_pairs) / (ends[last] - before_pairs)
    return float(before_right + part * (right[last] - before_right)) / pairs


def _group_ends(confidence: Floats) -> Index:
    """The last place of each run of equal values."""
    return np.append(np.flatnonzero(np.diff(confidence)), len(confidence) - 1)


def _most(pairs: Floats, right: Floats, accuracy: float) -> float:
    """The greatest number of pairs at which the share of right ones is not below `accuracy`."""
    good = np.flatnonzero((right >= accuracy * pairs * (1 - 1e-12)) & (pairs > 0))
    return float(pairs[good[-1]]) if len(good) else 0.0
