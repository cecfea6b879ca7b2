"""Quotes cut out of answers: an answer is then read by its own words alone."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.cutting import cut
from shp_miner.clean.filter import Edit

#: Blocks of code between fences, which are kept; quoted lines, with the name above them that Discourse gives; BBCode.
#: ">!" begins a spoiler.
_QUOTES = (
    r"(?ims)(^ {0,3}(?:```|~~~)[^\n]*\n.*?(?:^ {0,3}(?:```|~~~)[^\n]*$|\z))"
    r"|^(?:[\w.-]{1,60}:[ \t]*\n)? {0,3}>(?:[^!\n][^\n]*)?(?:\n|\z)"
    r"|\[quote\b.*?\[/quote\]"
)
_MAY_HOLD = r"(?im)^[ \t]*>|\[quote"


def _cut(texts: pl.Series, _: Cleaning) -> pl.Series:
    own = cut(texts, _MAY_HOLD, _QUOTES, "${1}")
    return own.zip_with(own != "", texts)


QUOTES = Edit(("cut_quotes",), "quotes_cut", _cut, kinds=("answer",))
