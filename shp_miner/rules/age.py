"""Score age, which comes before every rule: a score read minutes after writing is noise.

Score age is observed_at - created_at, in seconds.
"""

from __future__ import annotations

import polars as pl

from shp_miner.rules.presets import Rule


def score_age_s() -> pl.Expr:
    """Score age in seconds, null where nobody knows when the score was read."""
    return (pl.col("observed_at") - pl.col("created_at")).dt.total_microseconds() / 1e6


def age_reasons(rule: Rule) -> list[tuple[str, pl.Expr]]:
    """(reason, condition) for scores that cannot be used because of when they were read."""
    unknown = pl.col("observed_at").is_null() & (not rule.allow_unknown_age)
    return [("score_age_unknown", unknown), ("score_read_too_early", score_age_s() < rule.min_score_age_s)]
