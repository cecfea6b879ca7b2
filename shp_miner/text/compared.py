"""What bodies are compared by: their words and addresses, without converting HTML, which takes ten times as long."""

from __future__ import annotations

from html import unescape

import polars as pl

from shp_miner.text.clean import clean_bodies
from shp_miner.text.nesting import NO_CHARACTER

#: Images of the page, not of a body; then links and images elsewhere, whose address is part of what is said.
_DECORATION = r'(?i)<img\b[^>]*\bclass="[^">]*(?:emoji|avatar|site-icon)[^>]*>'
_ADDRESSED = r'(?i)<(?:a|img)\b[^>]*\s(?:href|src)="((?:https?:)?//[^">]*)"[^>]*>'
#: References that most HTML has; a body with any other is read alone.
_REFERENCES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&#39;": "'", "&nbsp;": " "}
_OTHER_REFERENCE = r"&#?[0-9A-Za-z]+;"


def compared_texts(bodies: pl.Series, formats: pl.Series) -> pl.Series:
    """Return bodies (String) as `clean_bodies` does, but of HTML only the text, and addresses of links and images."""
    html = (formats == "html").arg_true()
    texts = clean_bodies(bodies, formats.replace("html", "text"))
    return texts.scatter(html, _rough_words(texts.gather(html))) if len(html) else texts


def _rough_words(bodies: pl.Series) -> pl.Series:
    for pattern, left in ((_DECORATION, " "), (_ADDRESSED, " $1 "), (r"<[^>]*>", " ")):
        bodies = bodies.str.replace_all(pattern, left)
    bodies = bodies.str.replace_many(list(_REFERENCES), list(_REFERENCES.values()))
    other = bodies.str.contains(_OTHER_REFERENCE).arg_true()
    if len(other):
        known = [unescape(NO_CHARACTER.sub(" ", body)) for body in bodies.gather(other)]
        bodies = bodies.scatter(other, pl.Series(known, dtype=pl.String))
    return bodies.str.strip_chars()
