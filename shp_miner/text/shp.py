"""Text in SHP's form: one line, links reduced to their words, typographic quotes made plain.

Sources: the SHP card ("in hyperlinks, only the referring text was kept"), and the two rows its authors printed,
compared with the threads they came from (a blank line is two spaces there, and ’ is ').
"""

from __future__ import annotations

import polars as pl

_LINK = r"\[([^\[\]]*)\]\((?:https?://|/|#)[^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)"
_PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"'}


def flatten_texts(text: pl.Series) -> pl.Series:
    """Return the texts as SHP writes them."""
    flat = text.str.replace_all(_LINK, "${1}").str.replace_all("\r\n|[\r\n]", " ")
    return flat.str.replace_many(_PLAIN)
