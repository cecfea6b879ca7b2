"""The forms in which texts are exported: Markdown as it comes, plain text, or the one line of SHP.

What comes out of a mode is a text of that mode: written again in it (as "text" for `plain`), it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from shp_miner.text.clean import BLANK
from shp_miner.text.inline import unlinked
from shp_miner.text.plain import plain_text
from shp_miner.text.shp import flatten_texts
from shp_miner.text.titles import TextMode, written_out

#: Characters of no width that join nothing: U+200C and U+200D stay, because Persian, Hindi and emoji need them.
_NO_WIDTH = "[\u200b\u2060\ufeff\u00ad]"


def in_mode(texts: pl.Series, formats: pl.Series, mode: TextMode) -> pl.Series:
    """Return cleaned bodies (String, as `text.clean.clean_bodies` gives them) in a mode.

    `formats` are those of the bodies: one that is "text" has no marks to take off. "markdown" changes nothing; the
    others give NFC, without characters of no width and without blank ends.
    """
    if mode == "markdown":
        return texts
    if mode == "plain":
        marked = (formats != "text").arg_true()
        plain = pl.Series([plain_text(text) for text in texts.gather(marked)], dtype=pl.String)
        return _tidy(_with_rows(texts, marked, plain))
    linked = texts.str.contains("](", literal=True).arg_true()
    words = pl.Series([unlinked(text) for text in texts.gather(linked)], dtype=pl.String)
    return _tidy(flatten_texts(_with_rows(texts, linked, words)))


def titles_in_mode(titles: pl.Series, mode: TextMode, table: Mapping[str, str]) -> pl.Series:
    """Return cleaned titles in a mode: they have no marks. "shp" writes the abbreviations of the `table` out."""
    if mode == "markdown":
        return titles
    if mode == "shp":
        titles = written_out(flatten_texts(titles), table)
    return _tidy(titles)


def _tidy(texts: pl.Series) -> pl.Series:
    texts = texts.str.replace_all(_NO_WIDTH, "").str.normalize("NFC")
    return texts.str.replace_all(r"[ \t]+\n", "\n").str.replace_all(r"\n{3,}", "\n\n").str.strip_chars(BLANK)


def _with_rows(texts: pl.Series, rows: pl.Series, new: pl.Series) -> pl.Series:
    # `scatter` changes the series itself, and others may hold it.
    return texts.clone().scatter(rows, new) if len(rows) else texts
