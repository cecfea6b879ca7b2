"""Posts that were edited, so that votes may be for an earlier text."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.filter import ItemFilter
from shp_miner.rules.eligibility import by_platform
from shp_miner.rules.presets import Rule


def _holds(rule: Rule) -> pl.Expr:
    return pl.col("edited") & ~by_platform("keep_edited_posts", rule.keep_edited_posts)


EDITED = ItemFilter("edited", _holds)
