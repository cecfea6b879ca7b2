"""Columns that judging adds, and the lowest scores of a rule: what `clean/eligible.py` and the pairs share."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from shp_miner.rules.age import is_dated
from shp_miner.rules.presets import Rule
from shp_miner.rules.profiles import OTHERS, PROFILES

#: The column that says why a row is dropped; null where it is kept.
REASON = "reason"

#: The column that says whether a row tells how attention works: it is eligible but for the lowest scores. Whoever looks
#: at well-voted answers only learns little of what decides about votes.
COUNTS = "counts"

#: Columns that judging adds for what comes after, besides the reason.
HELPERS = (COUNTS, "post_created_at", "post_score")

THREAD = ("thread_hash", "site", "post_id")


def lacks_something(answers: pl.DataFrame) -> bool:
    """Return whether an answer lacks a time, or its score does not count votes: rules judge it by what they need."""
    lacking: bool = answers.select((~(is_dated() & of_platform("scores_are_votes"))).any()).item()
    return lacking


def takes_choice(rule: Rule) -> bool:
    """Return whether an answer can win because the asker accepted it, whatever its votes."""
    return rule.measure == "accepted" or rule.or_ is not None


def floor(field: str, override: int | None, rule: Rule) -> pl.Expr:
    """Return the lowest score that a rule asks for: its own value, or the platform's."""
    # Pairs of the asker's choice need no votes: the lowest scores hold for the other pairs then (`below_floors`).
    none = rule.or_ is not None or not (rule.floors or override is not None)
    return pl.lit(None, pl.Int64) if none else by_platform(field, override)


def below_floors(rule: Rule) -> pl.Expr:
    """Whether a judged answer's score or its post's score is below the lowest that the rule's pairs of votes need."""
    votes = replace(rule, or_=None)
    post, answer = (floor(name, getattr(rule, name), votes) for name in ("min_post_score", "min_answer_score"))
    return ((pl.col("post_score") < post) | (pl.col("score") < answer)).fill_null(value=False)


def below_floor() -> pl.Expr:
    """Whether a judged answer's score or its post's is below the platform's floor (on Reddit SHP's), or not known."""
    post, answer = (by_platform(name, None) for name in ("min_post_score", "min_answer_score"))
    return ((pl.col("post_score") < post) | (pl.col("score") < answer)).fill_null(value=True)


def by_platform(field: str, override: float | bool | None) -> pl.Expr:
    """Return a rule's own value, or that of each row's platform where it has none."""
    if override is not None:
        return pl.lit(override)
    return of_platform(field)


def of_platform(field: str, *, dtype: type[pl.DataType] | None = None) -> pl.Expr:
    """Return the value of a Profile field for each row's platform (column `platform`)."""
    values = {name: getattr(profile, field) for name, profile in PROFILES.items()}
    return pl.col("platform").replace_strict(values, default=getattr(OTHERS, field), return_dtype=dtype)
