"""All edits and filters, in the order in which they are applied: a row is counted under the first that drops it.

To add one, write its file and put it here, give its parameters to Cleaning and its reasons to rules/reasons.py.
"""

from __future__ import annotations

import polars as pl

from shp_miner.clean.balance import PER_ANSWER
from shp_miner.clean.bots import BOTS
from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Edit, Filter, Kind
from shp_miner.clean.language import LANGUAGE
from shp_miner.clean.leaning import LEANING
from shp_miner.clean.lengths import LENGTHS
from shp_miner.clean.own_words import OWN_WORDS
from shp_miner.clean.personal import PERSONAL
from shp_miner.clean.quotes import QUOTES
from shp_miner.clean.similar import SIMILAR
from shp_miner.clean.thanks import THANKS
from shp_miner.rules.eligibility import REASON
from shp_miner.tally import Tally

#: Edits come before all filters.
EDITS: tuple[Edit, ...] = (QUOTES, THANKS)

#: Cheap filters come first: later ones see only what is left. A cap comes last, so that it is filled.
FILTERS: tuple[Filter, ...] = (BOTS, OWN_WORDS, LENGTHS, LEANING, PERSONAL, LANGUAGE, SIMILAR, PER_ANSWER)


def edited(texts: pl.Series, kind: str, cleaning: Cleaning, tally: Tally) -> pl.Series:
    """Return the texts of a kind ("title", "post" or "answer") after all edits; changed ones are counted as notes."""
    for edit in EDITS:
        if kind in edit.kinds and edit.is_on(cleaning):
            before, texts = texts, edit.texts(texts, cleaning)
            tally.note(kind, edit.note, int((before != texts).sum()))
    return texts


def reasons_of(frame: pl.DataFrame, kind: Kind, cleaning: Cleaning) -> pl.Series:
    """Return the column `reason` of a frame as `Filter` describes it: why a row is left out, null where it stays."""
    found = pl.repeat(None, frame.height, dtype=pl.String, eager=True).alias(REASON)
    for one in FILTERS:
        if kind in one.kinds and one.is_on(cleaning):
            left = found.is_null().arg_true()
            reasons = one.reasons(frame[left] if len(left) < frame.height else frame, cleaning)
            dropped = reasons.is_not_null()
            if dropped.any():
                found = found.scatter(left.filter(dropped), reasons.filter(dropped))
    return found
