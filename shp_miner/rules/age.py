"""Score age, which comes before every rule: a score read minutes after writing is noise.

Score age is observed_at - created_at, in seconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.model import NO_TIME_US, NUMBERS
from shp_miner.rules.presets import Rule

#: Most scores of a month were read too early if at least this share of them (of at least so many) was read within a
#: day of writing.
EARLY_SHARE, EARLY_ANSWERS_MIN = 0.5, 20


def score_age_s() -> pl.Expr:
    """Return score age in seconds, null if the time of reading or of writing is unknown."""
    return (pl.col("observed_at") - known_time()).dt.total_microseconds() / 1e6


def is_dated(name: str = "created_at") -> pl.Expr:
    """Return whether the time of writing is known."""
    return pl.col(name).to_physical() != NO_TIME_US


def known_time(name: str = "created_at") -> pl.Expr:
    """Return the time of writing, null if it is unknown."""
    return pl.when(is_dated(name)).then(pl.col(name)).alias(name)


def age_reasons(rule: Rule) -> list[tuple[str, pl.Expr]]:
    """Return (reason, condition) for scores that cannot be used because of their reading time."""
    unknown = (pl.col("observed_at").is_null() | ~is_dated()) & (not rule.allow_unknown_age)
    return [("score_age_unknown", unknown), ("score_read_too_early", score_age_s() < rule.min_score_age_s)]


#: With `observe_at_s`, a score counts if it was read within this part of that age, before or after.
AT_AGE_TOLERANCE = 0.25


def at_age(answers: pl.DataFrame, observations: pl.DataFrame, key: tuple[str, ...], age_s: float) -> pl.DataFrame:
    """`answers` (ANSWER, newest observation each) with `observed_at` and NUMBERS as they were at the age `age_s`.

    `observations` has `key`, `observed_at`, `score` and perhaps others of NUMBERS, any number of rows an item; the one
    read nearest to that age is taken (the earlier of two), if it lies within AT_AGE_TOLERANCE of it, else these columns
    are null. Everything else, such as whether an answer was deleted since, stays as it was last seen.
    """
    taken = ["observed_at", *(name for name in NUMBERS if name in answers.columns)]
    unsaid = [pl.lit(None, answers.schema[name]).alias(name) for name in taken if name not in observations.columns]
    off = (score_age_s() - age_s).abs()
    found = (
        observations.filter(pl.col("score").is_not_null())
        .join(answers.select(*key, "created_at"), on=key)
        .with_columns(off=off)
        .filter(pl.col("off") <= AT_AGE_TOLERANCE * age_s)
        .sort(*key, "off", "observed_at", "score")
        .unique(subset=key, keep="first", maintain_order=True)
        .with_columns(unsaid)
        .select(*key, *taken)
    )
    columns = answers.columns
    return answers.drop(taken).join(found, on=key, how="left", maintain_order="left").select(columns)


def read_apart(
    answers: pl.DataFrame, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], rule: Rule
) -> npt.NDArray[np.bool_]:
    """Return which pairs of rows have scores that were read too far apart to be compared, unless both had settled.

    Unknown times count as together.
    """
    observed = answers["observed_at"].to_physical()
    known = observed.is_not_null().to_numpy()
    observed_us = observed.fill_null(0).to_numpy()
    created_us = answers["created_at"].to_physical().to_numpy()
    settled = (observed_us - created_us >= rule.settled_age_s * 1e6) & (created_us != NO_TIME_US)
    far = np.abs(observed_us[one] - observed_us[other]) > rule.max_read_gap_s * 1e6
    result: npt.NDArray[np.bool_] = far & known[one] & known[other] & ~(settled[one] & settled[other])
    return result
