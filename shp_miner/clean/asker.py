"""Answers of those who asked."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.filter import ItemFilter
from shp_miner.rules.presets import Rule


def _holds(_: Rule) -> pl.Expr:
    """By ids where both are known, else by names."""
    ids, names = (("author_id", "author_id_post"), ("author", "author_post"))
    known = pl.all_horizontal(pl.col(ids).is_not_null())
    same = pl.when(known).then(pl.col(ids[0]) == pl.col(ids[1])).otherwise(pl.col(names[0]) == pl.col(names[1]))
    return pl.col("by_post_author") | same


ASKER = ItemFilter("author_is_asker", _holds)
