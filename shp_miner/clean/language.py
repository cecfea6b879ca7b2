"""Answers in another language than those asked for, or than their post's."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter
from shp_miner.clean.stripped import letters, without_code, without_links, without_quotes
from shp_miner.text.language import languages_of

#: With fewer letters of its own a text's language is not clear ("Grats!", "Way to go!").
_CLEAR = 40
#: Letters of a text that are read: more say nothing new, and a post may have thousands.
_READ = 400


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    language = _languages(frame["text"])
    other = pl.Series([False]).new_from_index(0, frame.height)
    if cleaning.languages:
        other |= ~language.is_in(cleaning.languages)
    if cleaning.same_language:
        other |= language != _languages(frame["question"])
    return pl.select(pl.when(other.fill_null(value=False)).then(pl.lit("other_language"))).to_series()


def _languages(texts: pl.Series) -> pl.Series:
    """The language of each text, null where it is not clear; what repeats is read once."""
    own = without_links(without_code(without_quotes(pl.col("text")))).str.strip_chars()
    known = pl.DataFrame({"text": texts.unique()}).with_columns(own=own)
    known = known.filter(letters(pl.col("own")) >= _CLEAR)
    read = known["own"].str.slice(0, _READ)
    known = known.with_columns(language=pl.Series(languages_of(read), dtype=pl.String))
    return pl.DataFrame({"text": texts}).join(known, on="text", how="left", maintain_order="left")["language"]


LANGUAGE = Filter(("languages", "same_language"), ("answer",), _reasons)
