"""Judges of labels that are not the votes that made them: accepted answers, askers' thanks, people's judgments.

A judge gives comparisons: of two answers of a thread, which one it holds for better. A preset's pairs are held against
those that are among the comparisons. Every thread weighs alike, so that a few long ones do not decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.lab.audit import Judgment, judged_better
from shp_miner.lab.table import Cell, Table
from shp_miner.lab.thanks import thanked_answers
from shp_miner.lab.threads import KEY, Shares, Threads, pair_side
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.presets import Rule

#: Among which answers rules of thumb are judged: all that may be in pairs, whatever their scores.
_ANY = Rule(name="any", order="any", floors=False, confounded=True)

COLUMNS = (
    "preset",
    "pairs",
    "compared",
    "threads",
    "agree",
    "low",
    "high",
    "less votes",
    "low of that",
    "high of that",
)

_THREAD = KEY[:3]


@dataclass(frozen=True)
class Judge:
    """A judge's comparisons: KEY[:3], `better_id` and `worse_id`; what it is, and what to know of it."""

    title: str
    better: pl.DataFrame
    note: str


def judge_tables(
    threads: Threads, pairs: dict[str, pl.DataFrame], seed: int, judgments: list[Judgment] | None = None
) -> list[Table]:
    """A table for each judge. `pairs` (PAIR) are those of each preset, made without looking at what was accepted."""
    judges = [accepted_judge(threads), thanks_judge(threads)]
    if judgments is not None:
        judges.append(_audit_judge(threads, judgments))
    eligible = _eligible(threads)
    return [_table(judge, pairs, eligible, seed) for judge in judges]


def accepted_judge(threads: Threads) -> Judge:
    """The asker's choice is better than each answer that stood there when it was made, as far as that is known."""
    live = threads.answers.filter(pl.col("state") == "live")
    chosen = live.filter("accepted").select(*_THREAD, better_id="answer_id", when="accepted_at")
    others = live.filter(~pl.col("accepted")).select(*_THREAD, "created_at", worse_id="answer_id")
    found = chosen.join(others, on=_THREAD)
    known = found["when"].is_not_null()
    better = found.filter(pl.col("when").is_null() | (pl.col("created_at") <= pl.col("when")))
    note = (
        f"{chosen.height:,} accepted answers, {better.height:,} comparisons with another answer of the thread. When the"
        f" answer was chosen is known for {int(known.sum()):,} of {found.height:,}: there only answers written before"
        " count. The rules do not see what was accepted."
    )
    return Judge("Judged by accepted answers", better.select(*_THREAD, "better_id", "worse_id"), note)


def thanks_judge(threads: Threads) -> Judge:
    """An answer that its asker thanked for is better than those that stood there and were not thanked for."""
    thanked, seen, unnamed = thanked_answers(threads)
    others = threads.answers.filter(pl.col("state") == "live").join(thanked, on=KEY, how="anti")
    chosen = thanked.rename({"answer_id": "better_id"})
    better = chosen.join(others.select(*_THREAD, "created_at", worse_id="answer_id"), on=_THREAD)
    better = better.filter(pl.col("created_at") <= pl.col("thanked_at"))
    note = (
        f"{seen:,} direct replies of askers say thanks (in English); {unnamed:,} of them name nobody and say nothing"
        f" here. {thanked.height:,} answers were thanked for, {better.height:,} comparisons with an answer that stood"
        " there then. Replies to answers, where most thanks are, are not in a store."
    )
    return Judge("Judged by askers' thanks", better.select(*_THREAD, "better_id", "worse_id"), note)


def _audit_judge(threads: Threads, judgments: list[Judgment]) -> Judge:
    better, neither, unknown = judged_better(threads, judgments)
    note = (
        f"{len(judgments):,} judgments: {better.height:,} prefer an answer, {neither:,} prefer neither, and {unknown:,}"
        " are of pairs that the store does not have. A pair counts once for each of its judgments."
    )
    return Judge("Judged by the audit", better, note)


def held_against(judge: Judge, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs that the judge has an opinion on: thread_hash, and `agrees` (Float64: 1 or 0)."""
    found = pairs.select(*_THREAD, "winner_id", "loser_id")
    sides = [
        found.join(judge.better, left_on=[*_THREAD, *ids], right_on=[*_THREAD, "better_id", "worse_id"]).select(
            "thread_hash", agrees=pl.lit(agrees)
        )
        for ids, agrees in ((("winner_id", "loser_id"), 1.0), (("loser_id", "winner_id"), 0.0))
    ]
    return pl.concat(sides)


def _table(judge: Judge, pairs: dict[str, pl.DataFrame], eligible: pl.DataFrame, seed: int) -> Table:
    if judge.better.is_empty():
        return Table(judge.title, f"Not possible: the store has no such comparison. {judge.note}", COLUMNS, [])
    shares = Shares(seed, by_thread=True)
    for name, found in pairs.items():
        held = held_against(judge, found)
        shares.add(name, held["thread_hash"], held["agrees"].to_numpy())
    thumbs = _rules_of_thumb(judge, eligible)
    for name, held in thumbs.items():
        shares.add(name, held["thread_hash"], held["agrees"].to_numpy())
    rows = [judged_row(shares, name, pairs[name].height if name in pairs else None) for name in [*pairs, *thumbs]]
    return Table(judge.title, f"{judge.note} {NOTE}", COLUMNS, rows)


NOTE = (
    "`compared`: the pairs that the judge has an opinion on. `agree`: the share of them on which it agrees, the mean of"
    " the threads' own shares; 95 % intervals by a bootstrap over threads."
)


def judged_row(shares: Shares, name: str, pairs: int | None) -> list[Cell]:
    """A row of COLUMNS: a preset and how far a judge agrees with it."""
    versus = "votes" if shares.has("votes") else name
    return [
        name,
        pairs,
        shares.pairs(name),
        shares.threads(name),
        shares.share(name),
        *shares.interval(name),
        shares.difference(name, versus),
        *shares.interval(name, versus),
    ]


def _eligible(threads: Threads) -> pl.DataFrame:
    """KEY, created_at and body_chars of the answers that may be in pairs."""
    judged = judge_answers(threads.answers, judge_posts(threads.posts, _ANY), _ANY)
    return judged.filter(pl.col(REASON).is_null()).select(*KEY, "created_at", "body_chars")


def _rules_of_thumb(judge: Judge, eligible: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Held against the judge: that the longer answer is better, and that the later one is. Equal ones count half."""
    pairs = judge.better.rename({"better_id": "winner_id", "worse_id": "loser_id"})
    winner, loser = (pair_side(pairs, of, eligible) for of in ("winner", "loser"))
    both = (winner["created_at"].is_not_null() & loser["created_at"].is_not_null()).to_numpy()
    found = {}
    for name, column in (("(longer answer)", "body_chars"), ("(later answer)", "created_at")):
        apart = (winner[column].to_physical().cast(pl.Int64) - loser[column].to_physical().cast(pl.Int64)).fill_null(0)
        agrees = (np.sign(apart.to_numpy()) + 1) / 2
        found[name] = pl.DataFrame({"thread_hash": pairs["thread_hash"], "agrees": agrees}).filter(both)
    return found
