"""Early readings against later ones: whether labels from young scores still hold after votes have settled."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from msgspec import structs

from shp_miner.lab.judges import COLUMNS as JUDGED_COLUMNS
from shp_miner.lab.judges import NOTE as JUDGED_NOTE
from shp_miner.lab.judges import judged_row
from shp_miner.lab.table import Cell, Table
from shp_miner.lab.threads import KEY, Shares, Threads, pair_side
from shp_miner.rules.age import score_age_s
from shp_miner.rules.presets import DAY_S, PRESETS, Rule
from shp_miner.units import rounded_duration

#: Ages of an answer, in seconds, at which its score is taken: the first reading made between so old and twice so old.
AGES_S = (3600, DAY_S // 4, DAY_S, 3 * DAY_S, 7 * DAY_S, 30 * DAY_S)

#: The later reading is the newest one, where that was made at an age of at least so many times the early one's.
_LATER = 4

_COLUMNS = (
    "read at",
    "preset",
    "pairs",
    "threads",
    "tied later",
    "same order later",
    "error",
    "less votes",
    "error of that",
    "same order of the votes between",
    "later reading at",
)

_TITLE = "Early reading against later order"
_NOTE = (
    "Pairs are formed of the scores as first read when the answers were so old (up to twice so old), and held against"
    " the newest reading (at least four times as old). `same order later`: the share of the pairs, without those tied"
    " later, whose winner still has more. `same order of the votes between`: the same with only the votes that came"
    " after the early reading, so that no vote counts twice. `later reading at`: the median age. Posts are judged by"
    " their newest reading, answers by the early one; the two answers were read at the same age, hence at different"
    " times, so the bound on the time between the readings is off."
)


_JUDGED_TITLE = "Judged by later votes"
_JUDGED_NOTE = (
    "Labels of the scores when answers were so old, judged by the votes that came after: of two answers, the one that"
    " gained more. Attention lasts, so votes that follow attention agree with later ones that do, too."
)


def early_tables(threads: Threads, seed: int) -> list[Table]:
    """The check for every preset at every age at which the store has readings; and the votes after it as a judge."""
    readings = _readings(threads)
    rows: list[list[Cell]] = []
    judged: list[list[Cell]] = []
    without = []
    for age_s in AGES_S:
        early = _early(readings, age_s)
        found, after = _rows(threads, early, age_s, seed) if early.height else ([], [])
        rows += found
        judged += after
        if not found:
            without.append(rounded_duration(age_s, least=1))
    missing = ""
    if not readings.height:
        missing = "Not possible: no answer of the store was read more than once."
    elif without:
        missing = f"Not possible at {', '.join(without)}: too few answers were read at that age and again later."
    notes = [_NOTE, f"{_JUDGED_NOTE} {JUDGED_NOTE}"]
    notes = [missing if not readings.height else f"{note} {missing}".strip() for note in notes]
    return [
        Table(_TITLE, notes[0], _COLUMNS, rows),
        Table(_JUDGED_TITLE, notes[1], ("read at", *JUDGED_COLUMNS), judged),
    ]


def _readings(threads: Threads) -> pl.DataFrame:
    """The readings of answers that were read more than once, each with the age and score of the newest one."""
    when = score_age_s().alias("age_s")
    columns = [*KEY, "observed_at", when, "score", "accepted"]
    found = (
        threads.snapshot.scan("answers", threads.part).select(columns).collect().drop_nulls(["observed_at", "score"])
    )
    newest = threads.answers.select(*KEY, when.alias("last_s"), pl.col("score").alias("last_score"))
    again = found.filter(pl.struct(KEY).is_duplicated())
    return again.join(newest, on=KEY).filter(pl.col("last_score").is_not_null())


def _early(readings: pl.DataFrame, age_s: int) -> pl.DataFrame:
    """The first reading of each answer at this age, where the newest is much later."""
    return (
        readings.filter(pl.col("age_s") >= age_s, pl.col("age_s") < 2 * age_s, pl.col("last_s") >= _LATER * age_s)
        .sort(*KEY, "observed_at", "score", "accepted")
        .unique(KEY, keep="first", maintain_order=True)
        .with_columns(gain=pl.col("last_score") - pl.col("score"))
    )


def _rows(threads: Threads, early: pl.DataFrame, age_s: int, seed: int) -> tuple[list[list[Cell]], list[list[Cell]]]:
    """The rows of the two tables for an age."""
    answers = threads.answers.drop("observed_at", "score", "accepted").join(
        early.select(*KEY, "observed_at", "score", "accepted"), on=KEY
    )
    answers = answers.select(threads.answers.columns)
    later, between, judge = Shares(seed), Shares(seed), Shares(seed, by_thread=True)
    tied: dict[str, int] = {}
    for name, rule in PRESETS.items():
        pairs = threads.pairs(_read_at(rule, age_s), answers)
        winner, loser = (pair_side(pairs, of, early) for of in ("winner", "loser"))
        for shares, column in ((later, "last_score"), (between, "gain"), (judge, "gain")):
            apart = winner[column] - loser[column]
            untied = apart != 0
            shares.add(name, pairs["thread_hash"].filter(untied), (apart.filter(untied) > 0).to_numpy().astype(float))
        tied[name] = pairs.height - later.pairs(name)
    if not any(later.pairs(name) for name in tied):
        return [], []
    age = rounded_duration(age_s, least=1)
    median = rounded_duration(float(np.median(early["last_s"].to_numpy())), least=1)
    rows: list[list[Cell]] = [
        [
            age,
            name,
            later.pairs(name) + tied[name],
            later.threads(name),
            tied[name],
            later.share(name),
            later.error(name),
            later.difference(name, "votes"),
            later.error(name, "votes"),
            between.share(name),
            median,
        ]
        for name in tied
    ]
    judged: list[list[Cell]] = [[age, *judged_row(judge, name, later.pairs(name) + tied[name])] for name in tied]
    return rows, judged


def _read_at(rule: Rule, age_s: int) -> Rule:
    """The rule for scores read at the same age and not at the same time."""
    return structs.replace(rule, max_read_gap_s=math.inf, min_score_age_s=min(rule.min_score_age_s, age_s))
