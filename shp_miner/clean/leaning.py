"""Answers that lean on others: what they say is said elsewhere in the thread, which a pair does not show."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of
from shp_miner.clean.stripped import without_quotes

_OTHERS = (
    r"(?:(?:the |all (?:the )?|most |many )?(?:other|previous|earlier|above)? ?"
    r"(?:others|people|posters?|commenters?|comments?|answers?|repl(?:y|ies)|responses?|users?)(?: (?:here|above))?"
    r"|everyone(?: else)?|everybody(?: else)?|someone(?: else)?|somebody(?: else)?|/?u/[\w-]+|@[\w-]+)"
)
_SAID = (
    r"(?:(?:has|have|had) )?(?:already )?"
    r"(?:said|say|says|mentioned|pointed out|noted|suggested|stated|explained|written)"
)
#: A longer answer that begins so goes on with something of its own.
_SHORT = 200

_AS = r"(?:like|as|what|to add to what|echoing what|seconding what|agree with what|\+1 to what)"
#: Ways to lean at the beginning of a text, or in the whole of it.
_LEANS = (
    rf"(?i)^\W*{_AS} {_OTHERS} (?:here |above |below )?{_SAID}"
    r"|^\W*(?:this|seconded|agreed|ditto|same here|came here to say this|this\W+so much this)[.!]*\s*$"
    r"|^\W*(?:i agree with|seconding|\+1 to|agree with) (?:the |all the )?(?:above|others?|previous|/?u/|@|everyone)"
)


def _reasons(frame: pl.DataFrame, _: Cleaning) -> pl.Series:
    own = without_quotes(pl.col("text")).str.strip_chars()
    leans = own.str.contains(_LEANS) & (own.str.len_chars() < _SHORT)
    return frame.select(first_of(("leans_on_others", leans))).to_series()


LEANING = Filter(("drop_leaning",), ("answer",), _reasons)
