"""Split halves: each vote goes to one of two halves, and the label of one half is held against the other.

If the votes of an answer are a Poisson number, its two halves are independent given what attracts votes. So the check
says how much of a label is the noise of few votes; what all voters share (attention, herding, taste) is in both halves.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.lab.table import Table
from shp_miner.lab.threads import KEY, Shares, Threads, pair_side
from shp_miner.rules.eligibility import of_platform
from shp_miner.rules.hashing import Hashes, answer_hashes, mix_bits
from shp_miner.rules.presets import PRESETS

#: Lower ends of classes of the gap between winner and loser, in votes of the labelling half.
_GAPS = (1, 2, 4, 8, 16)

_WORD = 64

#: An item with more votes than this is halved by the normal law, whose error is far below a vote in a thousand then:
#: one score of a billion, a slip in somebody's file, would take minutes to toss coin by coin.
_COINS = 1 << 20

_COLUMNS = ("preset", "pairs", "threads", "tied", "agree", "error", "less votes", "error of that")

_NOTE = (
    "Every vote beyond the platform's starting score goes to one of two halves by a fair coin. The rule makes its pairs"
    " of one half, the other half judges, then the other way round. `agree` is the share of the pairs, without those"
    " tied in the judging half, whose winner has more votes there. Answers below the starting score are left out."
)


def halves(votes: npt.NDArray[np.int64], items: Hashes, seed: int) -> npt.NDArray[np.int64]:
    """How many of each item's votes fall into the first half: each vote is one bit of a stream made of its hash."""
    first = np.zeros(len(votes), np.int64)
    few = np.where(votes <= _COINS, votes, 0)
    with np.errstate(over="ignore"):
        stream = mix_bits(items ^ mix_bits(np.array([seed], np.uint64)))
        for word in range(-(-int(few.max(initial=0)) // _WORD)):
            rows = np.flatnonzero(few > word * _WORD)
            bits = mix_bits(stream[rows] + np.uint64(word))
            unused = np.maximum((word + 1) * _WORD - few[rows], 0).astype(np.uint64)
            first[rows] += np.bitwise_count(bits >> unused)
        for row in np.flatnonzero(votes > _COINS).tolist():
            first[row] = _half_of_many(int(votes[row]), int(mix_bits(stream[[row]])[0]))
    return first


def _half_of_many(votes: int, bits: int) -> int:
    """About half of the votes, as far from it as a normal deviate made of 64 bits says."""
    deviate = NormalDist().inv_cdf(((bits >> 11) + 0.5) / (1 << 53))
    return votes // 2 + round(deviate * math.sqrt(votes) / 2)


def thinning_tables(threads: Threads, seed: int) -> list[Table]:
    """The check for every preset, and the same by how far apart the two answers are."""
    both = _both_halves(threads, seed)
    judged = {name: _judged(threads, name, both) for name in PRESETS}
    shares = Shares(seed)
    for name, pairs in judged.items():
        untied = pairs.filter(pl.col("apart") != 0)
        shares.add(name, untied["thread_hash"], (untied["apart"] > 0).to_numpy().astype(float))
    rows = [
        [
            name,
            pairs.height,
            shares.threads(name),
            pairs.height - shares.pairs(name),
            shares.share(name),
            shares.error(name),
            shares.difference(name, "votes"),
            shares.error(name, "votes"),
        ]
        for name, pairs in judged.items()
    ]
    gaps = [_gap_row(name, pairs) for name, pairs in judged.items()]
    classes = [f"{low}" if high == low + 1 else f"{low} to {high - 1}" for low, high in pairwise(_GAPS)]
    return [
        Table("Split halves of the votes", _NOTE, _COLUMNS, rows),
        Table(
            "Split halves by the gap",
            "`agree` as above, by how many votes the winner has more than the loser in the labelling half.",
            ["preset", *classes, f"{_GAPS[-1]} or more"],
            gaps,
        ),
    ]


def _both_halves(threads: Threads, seed: int) -> pl.DataFrame:
    """Answers with the columns `first` and `second`: the scores that either half of their votes makes."""
    start = of_platform("starting_score", dtype=pl.Int64)
    answers = threads.answers.filter(pl.col("score") >= start).with_columns(start=start)
    votes = (answers["score"] - answers["start"]).to_numpy()
    first = halves(votes, answer_hashes(answers), seed)
    return answers.with_columns(
        first=pl.Series(first, dtype=pl.Int64) + pl.col("start"),
        second=pl.Series(votes - first, dtype=pl.Int64) + pl.col("start"),
    ).drop("start")


def _judged(threads: Threads, name: str, both: pl.DataFrame) -> pl.DataFrame:
    """The pairs of a preset on either half: thread_hash, `gap` in the half, `apart` in the other."""
    found = []
    for label, judge in (("first", "second"), ("second", "first")):
        answers = both.with_columns(score=pl.col(label)).select(threads.answers.columns)
        pairs = threads.pairs(PRESETS[name], answers)
        scores = both.select(*KEY, pl.col(judge).alias("judge"))
        winner, loser = (pair_side(pairs, of, scores)["judge"] for of in ("winner", "loser"))
        found.append(
            pairs.select("thread_hash", gap=pl.col("winner_score") - pl.col("loser_score")).with_columns(
                apart=winner - loser
            )
        )
    return pl.concat(found)


def _gap_row(name: str, pairs: pl.DataFrame) -> list[str | float | None]:
    row: list[str | float | None] = [name]
    for low, high in zip(_GAPS, [*_GAPS[1:], None], strict=True):
        within = pl.col("gap") >= low if high is None else pl.col("gap").is_between(low, high - 1)
        untied = pairs.filter(within, pl.col("apart") != 0)["apart"]
        row.append(float((untied > 0).to_numpy().mean()) if len(untied) else None)
    return row
