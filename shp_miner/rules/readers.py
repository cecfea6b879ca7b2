"""Likes held against readers: how sure it is that more of those who read an answer like it than another.

Where a platform counts the readers of each answer, attention is measured and need not be modelled. An answer that k of
n readers like has the rate of likes Beta(alpha + k, beta + n - k); alpha and beta are those of its community, fitted
from the first two factorial moments of all its answers: sum k / sum n estimates the mean of the rate, and sum k(k - 1)
/ sum n(n - 1) the mean of its square. The four sums are whole numbers, so ranges and machines may be merged in any
order and any number and give the same bits.

Source: the beta-binomial model; its moments after Kleinman 1973 (J. Am. Stat. Assoc. 68), weighted by readers.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.rules.eligibility import of_platform

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: The author's own read, which Discourse counts.
OWN_READS = 1

#: More readers count as this many with the same share of likes: whole numbers then hold the sums of 10^9 answers.
MOST_READERS = 1 << 16

#: What a community is taken to be like without data, and how many answers with how many readers that is worth: a
#: small forum of tens of readers, of whom one in forty likes an answer. Assumption.
PRIOR_ALPHA, PRIOR_BETA = 0.5, 19.5
PRIOR_ANSWERS, PRIOR_READERS = 50, 20

#: The bounds of the mean, and of alpha + beta: how many readers the prior is worth in the end.
MEAN_BOUNDS = (1e-4, 0.9)
WORTH_BOUNDS = (2.0, 1000.0)

#: Sums of each community: answers with known readers, their readers n and likes k, n (n - 1) and k (k - 1).
READER_SUMS = ("read_answers", "readers", "likes", "reader_pairs", "like_pairs")

#: Decimals of fitted values: as many as those of the other fits have.
_DECIMALS = 9

#: Decimals of probabilities, as of other confidences.
CHANCE_DECIMALS = 6

#: Pairs worked on at a time, which fit into a processor's cache.
_CHUNK = 1 << 15

#: The exact sum of `likelier` is taken up to this many terms; with more, a series needs fewer.
_EXACT_TERMS = 128

#: A series ends when what is left is smaller than this.
_LEFT_OUT = 1e-12

#: Steps of a series between two looks at what has ended.
_LOOK_EACH = 8

#: Two rates of which it is this unlikely (the logarithm) that they are the same are what they look like.
_CERTAIN = -40.0


def count_likes() -> dict[str, pl.Expr]:
    """Return `likes` and `readers` (Int64, null where the readers are not known) of ANSWER rows.

    Likes are up-votes where the platform gives them, else the score, beyond what an answer starts with. The author's
    own read does not count, and nobody likes an answer without reading it.
    """
    votes = pl.coalesce("upvotes", "score") - of_platform("starting_score", dtype=pl.Int64)
    likes = pl.max_horizontal(votes, 0)
    readers = pl.max_horizontal(pl.col("reads") - OWN_READS, likes)
    scale = pl.when(readers > MOST_READERS).then(MOST_READERS / readers).otherwise(1.0)
    known = pl.col("reads").is_not_null()
    counts = {"likes": likes, "readers": readers}
    return {name: pl.when(known).then((count * scale).round().cast(pl.Int64)) for name, count in counts.items()}


def reader_sums(counted: pl.DataFrame, start: Index) -> dict[str, Index]:
    """Return the sums (READER_SUMS) of each thread: of rows with `likes` and `readers`, in threads that `start` there.

    An answer whose readers are not known adds nothing.
    """
    n, k = (counted[name].fill_null(0).to_numpy() for name in ("readers", "likes"))
    known = counted["readers"].is_not_null().to_numpy().astype(np.int64)
    parts = (known, n, k, n * (n - 1), k * (k - 1))
    if not len(start):
        return {name: np.zeros(0, np.int64) for name in READER_SUMS}
    return {name: np.add.reduceat(part, start) for name, part in zip(READER_SUMS, parts, strict=True)}


def fit_readers(sums: pl.DataFrame) -> dict[str, pl.Series]:
    """Return `read_answers` (Int64), `like_alpha` and `like_beta` (Float64) of each row of sums.

    They are null where no answer's readers are known.
    """
    worth = PRIOR_ALPHA + PRIOR_BETA
    mean = PRIOR_ALPHA / worth
    square = mean * (PRIOR_ALPHA + 1) / (worth + 1)
    once, twice = PRIOR_ANSWERS * PRIOR_READERS, PRIOR_ANSWERS * PRIOR_READERS * (PRIOR_READERS - 1)
    n, k, n2, k2 = (sums[name].to_numpy().astype(np.float64) for name in READER_SUMS[1:])
    first = np.clip((k + once * mean) / (n + once), *MEAN_BOUNDS)
    second = (k2 + twice * square) / (n2 + twice)
    spread = np.maximum(second - first * first, 1e-300)  # without any, all rates are alike and the prior is worth most
    size = np.clip(first * (1 - first) / spread - 1, *WORTH_BOUNDS)
    known = sums["read_answers"].to_numpy() > 0
    fitted = {"like_alpha": first * size, "like_beta": (1 - first) * size}
    return {"read_answers": sums["read_answers"]} | {
        name: pl.Series(name, np.where(known, np.round(values, _DECIMALS), np.nan), nan_to_null=True)
        for name, values in fitted.items()
    }


def rates(measured: pl.DataFrame) -> Floats:
    """Return alpha and beta of the rate at which its readers like each measured answer: (2, rows).

    `measured` has `likes` and `readers`, and `like_alpha` and `like_beta` of the communities; NaN where one is null.
    """
    a, b, likes, readers = (
        measured[name].cast(pl.Float64).to_numpy() for name in ("like_alpha", "like_beta", "likes", "readers")
    )
    return np.stack([a + likes, b + readers - likes])


def likelier_by_readers(answers: pl.DataFrame, a: Index, b: Index) -> Floats:
    """P(more of those who read it like the answer in row a than that in row b), to six decimals; NaN if not known.

    `answers` has `rate_alpha` and `rate_beta`.
    """
    alpha, beta = (answers[name].to_numpy() for name in ("rate_alpha", "rate_beta"))
    return np.round(likelier(alpha, beta, a, b), CHANCE_DECIMALS)


def likelier(alpha: Floats, beta: Floats, a: Index, b: Index) -> Floats:
    """P(the rate in row a is higher than that in row b), rates being Beta(alpha, beta); NaN where one is not known.

    The alphas of two rows that are compared differ by a whole number, and so do the betas.
    """
    result = np.full(len(a), np.nan)
    known = np.flatnonzero(~(np.isnan(alpha[a]) | np.isnan(alpha[b])))
    for start in range(0, len(known), _CHUNK):
        rows = known[start : start + _CHUNK]
        result[rows] = _likelier(alpha[a[rows]], beta[a[rows]], alpha[b[rows]], beta[b[rows]])
    return result


def _likelier(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    terms = np.rint(np.abs(a - c) + np.abs(b - d))
    exact = terms <= _EXACT_TERMS
    result = np.empty(len(a))
    for chosen, method in ((exact, _by_steps), (~exact, _by_series)):
        result[chosen] = method(a[chosen], b[chosen], c[chosen], d[chosen])
    return result


def _by_steps(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """P(Beta(a, b) > Beta(c, d)), exactly: 1/2 for two equal laws, and a term for each step between the parameters.

    P(a + 1, b; c, d) = P(a, b; c, d) + B(a + c, b + d) / (a B(a, b) B(c, d)), and alike for the other three
    parameters with the sign that they have (Miller 2015, "Formulas for Bayesian A/B testing").
    """
    low, high = np.minimum(a, c), np.minimum(b, d)
    term = np.exp(_log_beta(2 * low, 2 * high) - 2 * _log_beta(low, high))
    likes, term = _climb(low, low, high, 2 * (low + high), np.rint(np.abs(a - c)), term)
    # Whose beta is raised next may be the one whose alpha was raised, or the other.
    own = np.where((b > d) == (a > c), np.maximum(a, c), low)
    rest, _ = _climb(high, high, own, 2 * high + a + c, np.rint(np.abs(b - d)), term)
    return np.clip(0.5 + np.sign(a - c) * likes - np.sign(b - d) * rest, 0, 1)


def _climb(
    x: Floats, across: Floats, beside: Floats, total: Floats, steps: Floats, term: Floats
) -> tuple[Floats, Floats]:
    """Return the sum of term / x over `steps` steps of 1 of the parameter x, and the term after them.

    `across` is the same parameter of the other law, `beside` the other parameter of this one, `total` the sum of all.
    """
    order = np.argsort(-steps.astype(np.int16), kind="stable")  # those that go on are in front
    left = np.searchsorted(-steps[order], -np.arange(1, int(steps.max(initial=0)) + 1), side="right")
    x, across, beside, total, term = (values[order] for values in (x, across, beside, total, term))
    sums = np.zeros(len(x))
    for step, count in enumerate(left.tolist()):
        at = x[:count] + step
        sums[:count] += term[:count] / at
        term[:count] *= (at + across[:count]) * (at + beside[:count]) / ((total[:count] + step) * at)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return sums[back], term[back]


def _by_series(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """P(Beta(a, b) > Beta(c, d)) by the series of the distribution function of the law with the smaller a + b.

    P = B(a + c, b + d) / (c B(a, b) B(c, d)) sum (c + d)_i (a + c)_i / ((c + 1)_i (a + b + c + d)_i): all terms are
    positive, and most rates are small, so their ratio soon is as well.
    """
    mirrored = a + c > b + d  # P(X > Y) = P(1 - Y > 1 - X): then the rates are small again
    a, b, c, d = (np.where(mirrored, *pair) for pair in ((d, a), (c, b), (b, c), (a, d)))
    swapped = a + b < c + d
    a, b, c, d = (np.where(swapped, *pair) for pair in ((c, a), (d, b), (a, c), (b, d)))
    log_term = _log_beta(a + c, b + d) - _log_beta(a, b) - _log_beta(c, d)
    result = np.where(a / (a + b) > c / (c + d), 1.0, 0.0)
    rows = np.flatnonzero(log_term > _CERTAIN)
    a, b, c, d, log_term = (values[rows] for values in (a, b, c, d, log_term))
    term, sums = np.exp(log_term) / c, np.zeros(len(rows))
    up, down = [c + d, a + c], [c + 1, a + b + c + d]
    for step in itertools.count():
        if not len(rows):
            break
        sums += term
        ratio = (up[0] + step) * (up[1] + step) / ((down[0] + step) * (down[1] + step))
        term *= ratio
        if step % _LOOK_EACH:  # to look at what has ended costs as much as some steps
            continue
        ended = (ratio < 1) & (term < _LEFT_OUT * (1 - ratio))
        result[rows[ended]] = sums[ended]
        rows, sums, term = rows[~ended], sums[~ended], term[~ended]
        up, down = [values[~ended] for values in up], [values[~ended] for values in down]
    return np.clip(np.where(swapped, 1 - result, result), 0, 1)


def _log_beta(x: Floats, y: Floats) -> Floats:
    return _log_gamma(x) + _log_gamma(y) - _log_gamma(x + y)


def _log_gamma(x: Floats) -> Floats:
    """The logarithm of the gamma function for x > 0: Stirling's series after ten steps up."""
    product = np.ones(len(x))
    for step in range(10):
        product *= x + step
    z = x + 10
    s = 1 / (z * z)
    series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / z
    result: Floats = (z - 0.5) * np.log(z) - z + 0.5 * math.log(2 * math.pi) + series - np.log(product)
    return result
