"""Answers that are too short or too long."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    chars, words = pl.col("text").str.len_chars(), pl.col("text").str.count_matches(r"\S+")
    never = pl.lit(value=False)
    too_short = _below(chars, cleaning.min_chars, never) | _below(words, cleaning.min_words, never)
    too_long = _above(chars, cleaning.max_chars, never) | _above(words, cleaning.max_words, never)
    return frame.select(first_of(("answer_too_short", too_short), ("answer_too_long", too_long))).to_series()


def _below(count: pl.Expr, least: int | None, never: pl.Expr) -> pl.Expr:
    return never if least is None else count < least


def _above(count: pl.Expr, most: int | None, never: pl.Expr) -> pl.Expr:
    return never if most is None else count > most


LENGTHS = Filter(("min_chars", "max_chars", "min_words", "max_words"), ("answer",), _reasons)
