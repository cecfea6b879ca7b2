"""Tails of texts that only talk about the votes: "EDIT: thanks for the gold!"."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Edit

#: A last paragraph, or a last sentence, that begins with "edit" or "update".
_BEGINS = (
    r"(?:\s*\n[\s*_~^(\[]*|([.!?)])\s+[*_~^(\[]*)(?:edit|eta|update)\s?\d*[\s*_~^]*[:;,.!\-\u2013\u2014]+[\s*_~^]*"
)
#: It is cut if it speaks of votes and awards, or is nothing but thanks.
_VOTES = (
    r"\b(?:gold|silver|platinum|awards?|gild(?:ing|ed)|up-?vot(?:es?|ed|ing)|down-?vot(?:es?|ed|ing)|karma|bl[eo]wn? up"
    r"|front page|my inbox|top comment|for all the (?:replies|responses|comments|love)|kind (?:stranger|words))\b"
)
_THANKS = r"(?:wow|oh|omg|aw+)?[ ,!.]*(?:thanks?|thank you|thx|ty)\b[^\n.!?]{0,60}[\s.!?)*_~^:]*"
_TAIL = rf"(?i){_BEGINS}(?:[^\n]{{0,120}}{_VOTES}[^\n]{{0,120}}|{_THANKS})\s*$"


#: Nobody writes more tails; each costs a look at the whole text.
_MOST = 20


def _cut(texts: pl.Series, _: Cleaning) -> pl.Series:
    """Cut tails until none is left, so that cutting again changes nothing; a text of too many stays as it is."""
    given, texts = texts, texts.clone()  # `scatter` writes into the column itself
    rows = texts.str.contains(r"(?i)\b(?:edit|eta|update)").fill_null(value=False).arg_true()
    for _round in range(_MOST):
        before = texts[rows]
        after = before.str.replace(_TAIL, "${1}")
        changed = before != after
        rows = rows.filter(changed)
        if not len(rows):
            return texts
        texts = texts.scatter(rows, after.filter(changed))
    return texts.scatter(rows, given[rows])


THANKS = Edit(("cut_thanks",), "thanks_cut", _cut)
