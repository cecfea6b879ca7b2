"""Parts of texts cut out until nothing is left to cut, so that cutting again changes nothing."""

from __future__ import annotations

import polars as pl

#: Nobody writes more parts that hide another one; each costs a look at the whole text.
_MOST = 20


def cut(texts: pl.Series, may_hold: str, part: str, by: str) -> pl.Series:
    """Return texts with each `part` (a regular expression of Rust) replaced by `by`, again and again.

    Only texts with a match of `may_hold` are looked at; one that is changed has no blank ends. One that still changes
    after many rounds stays as it is.
    """
    given, texts = texts, texts.clone()  # `scatter` writes into the column itself
    rows = texts.str.contains(may_hold).fill_null(value=False).arg_true()
    for _round in range(_MOST):
        before = texts[rows]
        after = before.str.replace_all(part, by)
        after = after.zip_with(after == before, after.str.strip_chars())
        changed = before != after
        rows = rows.filter(changed)
        if not len(rows):
            return texts
        texts = texts.scatter(rows, after.filter(changed))
    return texts.scatter(rows, given[rows])
