"""Tails of texts that only talk about the votes: "EDIT: thanks for the gold!"."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.cutting import cut
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


def _cut(texts: pl.Series, _: Cleaning) -> pl.Series:
    return cut(texts, r"(?i)\b(?:edit|eta|update)", _TAIL, "${1}")


THANKS = Edit(("cut_thanks",), "thanks_cut", _cut)
