"""How many characters a reader sees of many bodies at once; one by one it is `text.clean.visible_chars`."""

from __future__ import annotations

import polars as pl

from shp_miner.text.clean import BLANK, visible_chars

#: Stands for the "<" of an image while other tags go; no HTML has it.
_IMAGE = "\x01"
#: References that most HTML has; a body with any other is counted alone.
_REFERENCES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"'}


def visible_lengths(bodies: pl.Series, body_format: str) -> pl.Series:
    """Characters of each body (Int32), as `visible_chars` counts them; not for the format "reddit"."""
    if body_format == "html":
        return _html_lengths(bodies)
    return bodies.str.strip_chars(BLANK).str.len_chars().cast(pl.Int32)


def _html_lengths(bodies: pl.Series) -> pl.Series:
    marked = bodies.str.replace_all(r"(?i)<(img)\b", f"{_IMAGE}$1").str.replace_all(r"<[^>]*>", "")
    known = marked.str.count_matches("&(?:lt|gt|amp|quot);")
    alone = (marked.str.count_matches("&", literal=True) != known) | bodies.str.contains(_IMAGE, literal=True)
    shown = marked.str.replace_many(list(_REFERENCES), list(_REFERENCES.values()))
    lengths = shown.str.strip_chars(BLANK).str.len_chars().cast(pl.Int32)
    if alone.any():
        counted = [visible_chars(body, "html") for body in bodies.filter(alone)]
        lengths = lengths.scatter(alone.arg_true(), pl.Series(counted, dtype=pl.Int32))
    return lengths
