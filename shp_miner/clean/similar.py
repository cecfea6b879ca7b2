"""Pairs whose two answers say nearly the same: the votes tell who was first or better placed, not what is better."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter
from shp_miner.clean.stripped import without_quotes

#: Characters of a gram. What is shorter than one is a gram itself.
_GRAM = 5

_SPACE = re.compile(r"\W+")


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    most = cleaning.max_similarity
    assert most is not None
    sides = frame.select(_own(name) for name in ("winner_text", "loser_text"))
    short, long = (pl.Series(values) for values in _lengths(sides))
    # Of two texts whose lengths differ more than this no such share of the grams can be in common.
    near = (short * _SLACK >= long * most).arg_true()
    grams = cache(_grams)
    texts = zip(*(sides[name][near] for name in sides.columns), strict=True)
    alike = pl.Series([_jaccard(grams(one), grams(other)) >= most for one, other in texts], dtype=pl.Boolean)
    reasons = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    return reasons.scatter(near.filter(alike), "near_equal") if alike.any() else reasons


#: Grams of a text are at most its characters, and repeated ones count once: so many times more may be in common.
_SLACK = 1.5


def _own(name: str) -> pl.Expr:
    """A text without quotes, so that a reply to a quoted answer is not taken for it; whole if it is only quotes."""
    own = without_quotes(pl.col(name)).str.strip_chars()
    return pl.when(own == "").then(pl.col(name)).otherwise(own).alias(name)


def _lengths(sides: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    both = [sides[name].str.len_chars().to_numpy() for name in sides.columns]
    return np.minimum(*both), np.maximum(*both)


def _grams(text: str) -> frozenset[str]:
    plain = _SPACE.sub(" ", text.lower()).strip()
    return frozenset(plain[at : at + _GRAM] for at in range(max(len(plain) - _GRAM + 1, 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


SIMILAR = Filter(("max_similarity",), ("pair",), _reasons)
