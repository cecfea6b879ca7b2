"""Votes as comparisons: each pair of answers with different votes is a trial, and attention is an offset of its odds.

Of two answers W has more votes. `target` is the share of the two's votes that W has, `weight` says how much that share
is worth, and `attention` is the log-odds that W gets more votes by rank and age alone: a . (x_W - x_L), with x = (ln
arrival rank, ln share of the community's answers that arrive later). A model r of texts learns from

    weight * cross-entropy(target, sigmoid(r_W - r_L + attention))

so attention is taken out without throwing pairs away. The slopes a are those of the same loss without texts, two for
each community. They are drawn to those of its site, which are drawn to a prior: a small community has few votes, and a
forum can differ from all others in what age does. A second set is fitted with target 1 and weight 1, for trainers that
know neither (`margin`). Newton's method needs a few passes over the pairs with five sums each, and the loss. All are
whole numbers, so ranges and machines may be merged in any order and any number and give the same bits.

Source of the formulas: the project's own study on real threads; docs/rules.md has them with what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.rules.age import read_apart
from shp_miner.rules.delays import COMMUNITY
from shp_miner.rules.hashing import answer_hashes, pair_hashes, sample_keys
from shp_miner.rules.newton import QUANTUM, SLOPES, SUMS, newton
from shp_miner.rules.presets import Rule

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Answers of a post that are compared (those with the most votes), and pairs of them (a sample by hash).
ANSWERS_MAX = 50
PAIRS_MAX = 200

#: What a site's slopes are drawn to, (log rank, log share), and the weighted pairs that this prior is worth.
PRIOR = (-0.4, 0.4)
SITE_RIDGE = 100.0

#: The weighted pairs that a site's slopes are worth to each of its communities.
RIDGE = 1000.0

#: What many votes weigh: no pair has more.
WEIGHT_MOST = 10.0

#: The largest exponent of e: beyond it a probability is 0.
_EXPONENT_MAX = 700.0

#: Pairs that are summed at a time: their columns stay in the processor's cache.
_BLOCK = 1 << 15

#: Decimals of slopes, and of what a pair gets of them: the last bits of a logarithm differ between processors.
_SLOPE_DECIMALS = 9
_ATTENTION_DECIMALS = 6

#: Sums of the losses at some slopes: (site, community and SLOPES) to (site, community and SUMS).
Evaluate = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Comparisons:
    """Pairs of answers with different votes, as rows of measured answers, in the order of their threads."""

    winner: Index
    loser: Index


def soft_label(winner_votes: Floats, loser_votes: Floats) -> tuple[Floats, Floats]:
    """Return target and weight of pairs by their votes; both are NaN where one has fewer than 0, or both have none.

    target = (v_W + 1/2) / (n + 1) and weight = n / (1 + 0.1 (n - 1)), n the votes of both.
    """
    votes = winner_votes + loser_votes
    usable = (winner_votes >= 0) & (loser_votes >= 0) & (votes > 0)
    n = np.where(usable, votes, np.nan)
    # In tenths, so that two whole numbers are divided: every machine has the same bits.
    return np.where(usable, winner_votes + 0.5, np.nan) / (n + 1), 10 * n / (9 + n)


def attentions(measured: pl.DataFrame) -> Floats:
    """Return a . x of each measured answer, for soft and for hard labels: (2, rows). `measured` has SLOPES and x."""
    rank, share = measured["log_rank"].to_numpy(), measured["log_share"].to_numpy()
    a = [measured[name].to_numpy() for name in SLOPES]
    return np.stack([a[0] * rank + a[1] * share, a[2] * rank + a[3] * share])


def attention_of(own: Floats, winner: Index, loser: Index) -> Floats:
    """Return the attention of pairs by that of each answer (a . x), to six decimals."""
    result: Floats = np.round(own[winner] - own[loser], _ATTENTION_DECIMALS) + 0.0
    return result


# -- the pairs --------------------------------------------------------------------------------------------------------


def candidates(thread: Index) -> tuple[Index, Index]:
    """Return every pair of rows of one thread as (earlier row, later row); `thread` numbers the rows, in order."""
    rows = np.arange(len(thread), dtype=np.int64)
    partners = np.searchsorted(thread, thread, side="right") - rows - 1
    earlier = np.repeat(rows, partners)
    first = np.repeat(np.cumsum(partners) - partners, partners)
    later = earlier + 1 + (np.arange(len(earlier), dtype=np.int64) - first)
    return earlier, later


def compare_answers(judged: pl.DataFrame, measured: pl.DataFrame, rule: Rule) -> Comparisons:
    """Return the pairs that the slopes are fitted on: of `measured` (rules/calibrated.py), made of `judged` answers."""
    votes, thread = measured["votes"].to_numpy(), measured["thread"].to_numpy().astype(np.int64)
    rows = np.flatnonzero(votes >= 0)
    rows = rows[_among_most(votes[rows], thread[rows])]
    earlier, later = (rows[side] for side in candidates(thread[rows]))
    differ = votes[earlier] != votes[later]
    earlier, later = earlier[differ], later[differ]
    original = measured["row"].to_numpy().astype(np.int64)
    if rule.observe_at_s is None:
        together = ~read_apart(judged, original[earlier], original[later], rule)
        earlier, later = earlier[together], later[together]
    kept = _sampled(judged, original, thread, earlier, later)
    earlier, later = earlier[kept], later[kept]
    earlier_wins = votes[earlier] > votes[later]
    return Comparisons(np.where(earlier_wins, earlier, later), np.where(earlier_wins, later, earlier))


def _among_most(votes: Index, thread: Index) -> Mask:
    """Return whether each answer is among the ANSWERS_MAX of its thread with the most votes (ties: earlier rows)."""
    order = np.lexsort((-votes, thread))  # stable
    sorted_thread = thread[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_thread, sorted_thread, side="left")
    kept = np.empty(len(order), np.bool_)
    kept[order] = place < ANSWERS_MAX
    return kept


def _sampled(judged: pl.DataFrame, original: Index, thread: Index, earlier: Index, later: Index) -> Mask:
    """Return the pairs of the sample: PAIRS_MAX of each thread, the same that the preset keeps."""
    of = thread[earlier]
    kept = np.ones(len(of), np.bool_)
    _, size = np.unique(of, return_counts=True)
    crowded = size > PAIRS_MAX
    if not crowded.any():
        return kept
    places = np.flatnonzero(np.repeat(crowded, size))
    used = np.unique(np.concatenate([earlier[places], later[places]]))
    hashes = answer_hashes(judged[original[used]])  # made one by one in Python, so only of these
    first, second = (hashes[np.searchsorted(used, side[places])] for side in (earlier, later))
    hashed = pair_hashes(first, second)
    order = np.lexsort((hashed, sample_keys(hashed, 0), of[places]))
    rank = np.arange(len(order)) - np.searchsorted(of[places], of[places], side="left")  # of[places] is sorted
    kept[places[order]] = rank < PAIRS_MAX
    return kept


# -- the sums ---------------------------------------------------------------------------------------------------------


def evaluate(measured: pl.DataFrame, pairs: Comparisons, slopes: pl.DataFrame) -> pl.DataFrame:
    """Return the sums of each community of `slopes` (Int64, in multiples of QUANTUM), and its number of `pairs`.

    `measured` has `log_share`. Each thread's part is rounded by itself, so however threads are grouped the sums are the
    same. Communities that `slopes` does not have are left out.
    """
    thread = measured["thread"].to_numpy()[pairs.winner].astype(np.int64)
    start = np.flatnonzero(np.diff(thread, prepend=-1))
    size = np.diff(start, append=len(thread))
    threads = measured[pairs.winner[start]].select(*COMMUNITY).with_columns(start=start, pairs=size)
    threads = threads.join(slopes, on=COMMUNITY, how="inner", maintain_order="left")
    start, size = threads["start"].to_numpy(), threads["pairs"].to_numpy()
    at = threads.select(SLOPES).to_numpy().reshape(-1, 2, 2)
    x = [measured[name].to_numpy() for name in ("log_rank", "log_share")]
    votes = measured["votes"].to_numpy().astype(np.float64)
    found = np.zeros((len(size), len(SUMS)), np.int64)
    for first, last in _blocks(size):
        rows, of, begins = _of_threads(start[first:last], size[first:last])
        winner, loser = pairs.winner[rows], pairs.loser[rows]
        d = x[0][winner] - x[0][loser], x[1][winner] - x[1][loser]
        soft = _terms(d, at[first:last, 0][of], *soft_label(votes[winner], votes[loser]))
        hard = _terms(d, at[first:last, 1][of], None, None)
        for number, term in enumerate((*soft, *hard)):
            found[first:last, number] = np.rint(np.add.reduceat(term, begins) / QUANTUM).astype(np.int64)
    counts = threads.select(*COMMUNITY, pl.col("pairs").cast(pl.Int64))
    return merge_evaluations([counts.with_columns(pl.Series(name, found[:, n]) for n, name in enumerate(SUMS))])


def merge_evaluations(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the sums of several ranges as one, in a fixed order."""
    return pl.concat(parts).group_by(*COMMUNITY).agg(pl.col("pairs", *SUMS).sum()).sort(*COMMUNITY)


def _terms(d: tuple[Floats, Floats], at: Floats, target: Floats | None, weight: Floats | None) -> Iterator[Floats]:
    """Yield _TERMS of each pair at its slopes `at`; without target and weight both are 1."""
    rank, share = d
    z = at[:, 0] * rank + at[:, 1] * share
    p = 1 / (1 + np.exp(np.minimum(-z, _EXPONENT_MAX)))
    loss, rest, bend = -np.log(p), 1 - p, p * (1 - p)
    if target is not None and weight is not None:
        loss, rest, bend = weight * (loss + (1 - target) * z), weight * (target - p), weight * bend
    yield loss
    yield rest * rank
    yield rest * share
    bent = bend * rank
    yield bent * rank
    yield bent * share
    yield bend * share * share


def _blocks(size: Index) -> Iterator[tuple[int, int]]:
    """Yield the first and the last thread (excluded) of parts with about _BLOCK pairs."""
    ends = np.cumsum(size)
    total = int(ends[-1]) if len(ends) else 0
    edges = np.unique(np.searchsorted(ends, np.arange(_BLOCK, total, _BLOCK)))
    yield from pairwise([*dict.fromkeys([0, *edges.tolist(), len(size)])])


def _of_threads(start: Index, size: Index) -> tuple[Index, Index, Index]:
    """Return the pairs of some threads, the number of each one's thread, and where each thread begins among them."""
    of, begins = np.repeat(np.arange(len(size)), size), np.cumsum(size) - size
    return np.arange(len(of)) + (start - begins)[of], of, begins


# -- the slopes -------------------------------------------------------------------------------------------------------


def fit_slopes(communities: pl.DataFrame, evaluate_at: Evaluate) -> pl.DataFrame:
    """Return `site`, `community`, `pairs` (Int64) and SLOPES of each community, sorted.

    Those of a site are fitted first, on the pairs of all its communities together; they are what each community's are
    drawn to. `evaluate_at` is called once for each pass over all pairs, with the communities that need another.
    """
    names = communities.select(*COMMUNITY).unique().sort(*COMMUNITY)

    def of_sites(slopes: pl.DataFrame) -> pl.DataFrame:
        sums = evaluate_at(names.join(slopes, on="site").sort(*COMMUNITY))
        return sums.group_by("site").agg(pl.col("pairs", *SUMS).sum())

    prior = (
        names.select("site")
        .unique()
        .sort("site")
        .with_columns(pl.lit(PRIOR[n % 2]).alias(name) for n, name in enumerate(SLOPES))
    )
    sites = newton(prior, ("site",), SITE_RIDGE, of_sites).drop("pairs")
    found = newton(names.join(sites, on="site", maintain_order="left"), COMMUNITY, RIDGE, evaluate_at)
    return found.with_columns(pl.col(SLOPES).round(_SLOPE_DECIMALS) + 0.0)
