"""How sure a label is: votes held against what an answer's rank and age alone would have brought it.

For each community a ridge regression of log votes on log arrival rank and on the log share of answers that arrive
later gives what attention explains; what an answer has beyond that is its `theta`, and the probability that one answer
is better than another follows from the difference of two, the noise of the votes, and how much quality varies.

The fit needs one pass for the delays and one for sums. Both are whole numbers, so ranges and machines may be merged in
any order and any number and give the same bits. Source of formulas and constants: the project's own study on simulated
forums with known quality; docs/rules.md has them with what they are worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.rules.arrival import Arrival
from shp_miner.rules.comparisons import attentions, compare_answers, evaluate, fit_slopes
from shp_miner.rules.delays import COMMUNITY, count_delays, delay_cells, log_shares, merge_delays
from shp_miner.rules.eligibility import COUNTS, THREAD, of_platform
from shp_miner.rules.presets import Rule
from shp_miner.rules.readers import READER_SUMS, count_likes, fit_readers, likelier_by_readers, rates, reader_sums

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: What the slopes are drawn towards, (log rank, log share), and the number of answers that the prior is worth.
PRIOR_SLOPES = (-0.4, 0.4)
PRIOR_ANSWERS = 300
#: How strongly each slope is drawn: about the spread of its variable within a thread.
PRIOR_SPREAD = (0.5, 0.7)

#: How much of the fitted attention is taken off. One reading of the votes cannot tell it from quality that itself
#: depends on rank; below 1, age never overturns the votes.
KAPPA = 0.7

#: The share of the variance of theta that is quality, and the bounds of that variance.
RHO = 0.6
VARIANCE_BOUNDS = (0.4, 2.0)

#: From this probability on a label is `strict`, if SHP would have it too; `calibrated` leaves out what is below.
SURE = 0.8

#: Sums are kept in whole multiples of this (2^-24): then their order cannot matter.
_QUANTUM = 2.0**-24

#: Decimals of fitted values and of probabilities. Fewer than a machine has: the last bits of a logarithm differ
#: between processors, and must not change an export.
_FIT_DECIMALS = 9
_CONFIDENCE_DECIMALS = 6

#: The normal distribution's function as a table; between its points the straight line is off by less than 3e-8.
_Z = np.arange(-6 * 1024, 6 * 1024 + 1) / 1024
_PHI: Floats = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in _Z])

_SUMS = ("rank_rank", "rank_share", "share_share", "rank_votes", "share_votes", "votes_votes", "noise", "freedom")


@dataclass(frozen=True)
class Calibration:
    """What is known of the communities of a store.

    fits: `site`, `community`, `answers` (Int64), `slope_rank`, `slope_share`, `variance` (Float64), of the readers
    (rules/readers.py) `read_answers` (Int64), `like_alpha` and `like_beta` (Float64, null if no readers are known), and
    of the pairs (rules/comparisons.py) `pairs` (Int64) and SLOPES (Float64).
    shares: `site`, `community`, `cell` (Int16), `log_share` (Float64), as `log_shares` gives.
    """

    fits: pl.DataFrame
    shares: pl.DataFrame


def measure_answers(judged: pl.DataFrame) -> pl.DataFrame:
    """What the fit needs of judged answers: one row for each that counts, ordered by thread and time.

    Columns: `row` (in `judged`), `site`, `community`, `thread` (number), `votes` beyond the platform's starting score,
    `log_votes` = sign(v) ln(1 + |v|), `log_rank` = ln of the rank by arrival, `cell` of the delay, and `likes` and
    `readers` as of `count_likes`.
    """
    rows = (
        judged.select(  # before they are sorted: most columns say nothing here, and sorting copies
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
            *THREAD,
            "community",
            "answer_id",
            "created_at",
            COUNTS,
            votes=pl.col("score") - of_platform("starting_score", dtype=pl.Int64),
            **count_likes(),
            delay_us=(pl.col("created_at") - pl.col("post_created_at")).dt.total_microseconds(),
        )
        .filter(pl.col(COUNTS))
        .sort(*THREAD, "created_at", "answer_id")
        .select("row", *COMMUNITY, pl.struct(THREAD).rle_id().alias("thread"), "votes", "likes", "readers", "delay_us")
    )
    votes = rows["votes"].to_numpy()
    thread = rows["thread"].to_numpy()
    first = np.searchsorted(thread, thread, side="left")
    return rows.drop("delay_us").with_columns(
        log_votes=np.sign(votes) * np.log1p(np.abs(votes)),
        log_rank=np.log(np.arange(1, len(thread) + 1) - first),
        cell=delay_cells(rows["delay_us"].to_numpy()),
    )


def with_log_shares(measured: pl.DataFrame, shares: pl.DataFrame) -> pl.DataFrame:
    """`measured` with the column `log_share` of each answer's delay."""
    return measured.join(shares, on=[*COMMUNITY, "cell"], how="left", maintain_order="left")


def add_up(measured: pl.DataFrame) -> pl.DataFrame:
    """The sums of each community (Int64, in multiples of 2^-24) and its `answers`, of rows with `log_share`.

    Each thread's part is rounded by itself, so however threads are grouped the sums are the same.
    """
    thread = _Threads(measured["thread"].to_numpy())
    rank, share, votes = (thread.centred(measured[name]) for name in ("log_rank", "log_share", "log_votes"))
    net = measured["votes"].to_numpy()
    weight = 1 - 1 / thread.size[thread.of]
    columns = dict(
        zip(
            _SUMS,
            (
                rank * rank,
                rank * share,
                share * share,
                rank * votes,
                share * votes,
                votes * votes,
                weight * np.maximum(net, 0.5) / (1.0 + np.maximum(net, 0)) ** 2,
                weight,
            ),
            strict=True,
        )
    )
    threads = (
        measured[thread.start]
        .select(*COMMUNITY)
        .with_columns(
            answers=pl.Series(thread.size, dtype=pl.Int64),
            **{name: np.rint(thread.total(values) / _QUANTUM).astype(np.int64) for name, values in columns.items()},
            **reader_sums(measured, thread.start),
        )
    )
    return merge_sums([threads])


def merge_sums(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """The sums of several ranges as one, in a fixed order."""
    return pl.concat(parts).group_by(*COMMUNITY).agg(pl.col("answers", *_SUMS, *READER_SUMS).sum()).sort(*COMMUNITY)


def fit_communities(sums: pl.DataFrame) -> pl.DataFrame:
    """The fitted values of each community (see Calibration.fits)."""
    s = {name: sums[name].to_numpy() * _QUANTUM for name in _SUMS}
    (prior_rank, prior_share), (spread_rank, spread_share) = PRIOR_SLOPES, PRIOR_SPREAD
    weight_rank, weight_share = PRIOR_ANSWERS * spread_rank, PRIOR_ANSWERS * spread_share
    a, b, c = s["rank_rank"] + weight_rank, s["rank_share"], s["share_share"] + weight_share
    p, q = s["rank_votes"] + weight_rank * prior_rank, s["share_votes"] + weight_share * prior_share
    determinant = a * c - b * b
    rank, share = (c * p - b * q) / determinant, (a * q - b * p) / determinant
    residual = (
        s["votes_votes"]
        - 2 * (rank * s["rank_votes"] + share * s["share_votes"])
        + rank * rank * s["rank_rank"]
        + 2 * rank * share * s["rank_share"]
        + share * share * s["share_share"]
    )
    variance = np.clip((residual + PRIOR_ANSWERS - s["noise"]) / (s["freedom"] + PRIOR_ANSWERS), *VARIANCE_BOUNDS)
    fitted = {"slope_rank": rank, "slope_share": share, "variance": variance}
    return sums.select(*COMMUNITY, "answers").with_columns(
        **{name: np.round(values, _FIT_DECIMALS) for name, values in fitted.items()}, **fit_readers(sums)
    )


def calibrate(judged: pl.DataFrame, rule: Rule) -> Calibration:
    """The fit of judged answers that lie in memory. Exports make the same of ranges, task by task."""
    measured = measure_answers(judged)
    shares = log_shares(merge_delays([count_delays(measured)]))
    pairs = compare_answers(judged, measured, rule)
    measured = with_log_shares(measured, shares)
    fits = fit_communities(add_up(measured))
    slopes = fit_slopes(fits, lambda at: evaluate(measured, pairs, at))
    return Calibration(fits.join(slopes, on=COMMUNITY, how="left", maintain_order="left"), shares)


def with_theta(judged: pl.DataFrame, calibration: Calibration, arrival: Arrival | None = None) -> pl.DataFrame:
    """`judged` with `votes`, `theta` (log votes beyond what attention explains) and `variance` of the community.

    theta = y - max(yhat, 0): an answer that nobody saw is no evidence. `attention` and `hard_attention` are a . x of
    rules/comparisons.py, for soft and for hard labels. `rate_alpha` and `rate_beta` are the law of the rate at which
    its readers like the answer, null where they are not known (rules/readers.py). All Float64, null for answers that do
    not count. `arrival` gets the sums by rank.
    """
    measured = with_log_shares(measure_answers(judged), calibration.shares)
    measured = measured.join(calibration.fits.drop("answers"), on=COMMUNITY, how="left", maintain_order="left")
    thread = _Threads(measured["thread"].to_numpy())
    rank, share = (thread.centred(measured[name]) for name in ("log_rank", "log_share"))
    votes = measured["log_votes"].to_numpy()
    attention = measured["slope_rank"].to_numpy() * rank + measured["slope_share"].to_numpy() * share
    mean = thread.mean(votes)
    expected = mean + KAPPA * attention
    if arrival is not None:
        several = thread.size[thread.of] > 1
        at = np.rint(np.exp(measured["log_rank"].to_numpy()))
        arrival.add(at[several], (votes - mean)[several], attention[several])
    row = measured["row"].to_numpy()
    names = ("votes", "theta", "variance", "attention", "hard_attention", "rate_alpha", "rate_beta")
    columns = np.full((len(names), judged.height), np.nan)
    columns[0, row] = measured["votes"]
    columns[1, row] = votes - np.maximum(expected, 0)
    columns[2, row] = measured["variance"]
    columns[3:5, row] = attentions(measured)
    columns[5:, row] = rates(measured)
    return judged.with_columns(
        pl.Series(name, column, nan_to_null=True) for name, column in zip(names, columns, strict=True)
    )


def win_probability(answers: pl.DataFrame, a: Index, b: Index) -> Floats:
    """P(the answer in row a is better than that in row b), to six decimals; NaN where one of them has no theta.

    `answers` is what `with_theta` gave. Where the readers of both are known it is `likelier_by_readers`. Else it is
    Phi(m sqrt(rho V / 2) / sqrt(((1 - rho) V + s)(V + s))), m the difference of the thetas, V the variance of their
    community, s the mean of 1 / (1 + |votes|).
    """
    theta, votes, variance = (answers[name].to_numpy() for name in ("theta", "votes", "variance"))
    noise = 1 / (np.abs(votes) + 1)
    s = (noise[a] + noise[b]) / 2
    v = variance[a]
    z = (theta[a] - theta[b]) * np.sqrt(RHO * v / 2) / np.sqrt(((1 - RHO) * v + s) * (v + s))
    by_votes = np.round(np.interp(z, _Z, _PHI), _CONFIDENCE_DECIMALS)
    by_readers = likelier_by_readers(answers, a, b)
    return np.where(np.isnan(by_readers), by_votes, by_readers)


class _Threads:
    """Sums and means by thread, of rows that are ordered by it."""

    def __init__(self, number: Index) -> None:
        _, self.start, self.of, self.size = np.unique(
            number, return_index=True, return_inverse=True, return_counts=True
        )

    def total(self, values: Floats) -> Floats:
        """One sum a thread, added in the order of its rows: where a thread lies among others changes no bit."""
        result: Floats = np.bincount(self.of, weights=values, minlength=len(self.start)).astype(np.float64)
        return result

    def mean(self, values: Floats) -> Floats:
        """The mean of its thread, for each row."""
        result: Floats = (self.total(values) / self.size)[self.of]
        return result

    def centred(self, values: pl.Series) -> Floats:
        """Each value less the mean of its thread."""
        column = values.to_numpy()
        result: Floats = column - self.mean(column)
        return result
