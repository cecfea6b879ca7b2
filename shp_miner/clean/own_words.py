"""Answers with hardly a word of their own: only quotes, only links, or next to nothing."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of
from shp_miner.clean.stripped import has_link, letters, may_have_links_or_quotes, without_links, without_quotes

#: Fewer letters say next to nothing ("This.", "Thanks!", "+1"); as many beside a link only introduce it ("Try this:").
_NOTHING = 10
_BESIDE_A_LINK = 15

#: Most texts have as many letters in so many characters at their beginning.
_BEGINNING = 64


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    text = pl.col("text")
    # Whoever has neither links nor quotes, and begins with words, has own words: the rest is looked at whole.
    looked_at = may_have_links_or_quotes(text) | (letters(text.str.head(_BEGINNING)) < _BESIDE_A_LINK)
    rows = frame.select(looked_at.fill_null(value=True)).to_series().arg_true()
    reasons = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    return reasons.scatter(rows, _looked_at(frame.select(text.gather(rows)), cleaning)) if len(rows) else reasons


def _looked_at(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    frame = frame.with_columns(unquoted=without_quotes(pl.col("text")))
    frame = frame.with_columns(own=letters(without_links(pl.col("unquoted"))))
    text, unquoted, own = map(pl.col, ("text", "unquoted", "own"))
    conditions = [
        ("only_quotes", (letters(unquoted) == 0) & (letters(text) > 0), cleaning.drop_quotes),
        ("only_links", has_link(unquoted) & (own < _BESIDE_A_LINK), cleaning.drop_links),
        ("near_empty", own < _NOTHING, cleaning.drop_near_empty),
    ]
    return frame.select(first_of(*((name, holds) for name, holds, on in conditions if on))).to_series()


OWN_WORDS = Filter(("drop_quotes", "drop_links", "drop_near_empty"), ("answer",), _reasons)
