"""Answers with hardly a word of their own: only quotes, only links, or next to nothing."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of
from shp_miner.clean.stripped import has_link, letters, without_links, without_quotes

#: Fewer letters say next to nothing ("This.", "Thanks!", "+1"); as many beside a link only introduce it ("Try this:").
_NOTHING = 10
_BESIDE_A_LINK = 15


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    text = pl.col("text")
    unquoted = without_quotes(text)
    own = letters(without_links(unquoted))
    conditions = [
        ("only_quotes", (letters(unquoted) == 0) & (letters(text) > 0), cleaning.drop_quotes),
        ("only_links", has_link(unquoted) & (own < _BESIDE_A_LINK), cleaning.drop_links),
        ("near_empty", own < _NOTHING, cleaning.drop_near_empty),
    ]
    return frame.select(first_of(*((name, holds) for name, holds, on in conditions if on))).to_series()


OWN_WORDS = Filter(("drop_quotes", "drop_links", "drop_near_empty"), ("answer",), _reasons)
