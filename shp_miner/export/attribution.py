"""Who wrote the texts of a row and under which licence, as an export says it."""

from __future__ import annotations

import polars as pl


def authors_of(items: pl.DataFrame) -> pl.Series:
    """Return the authors' names, with a link to their page if the licence asks for one."""
    link = pl.concat_str(pl.col("author").fill_null("unknown"), pl.lit(" <"), "author_url", pl.lit(">"))
    linked = pl.when(pl.col("author_url").is_not_null()).then(link).otherwise(pl.col("author"))
    return items.select(linked).to_series()


def licenses_of(*parts: pl.Series) -> pl.Series:
    """Return the licences of the parts of a row, each once, sorted by name; null if none is known."""
    if all(part.null_count() == len(part) for part in parts):
        return parts[0]
    together = pl.DataFrame({str(i): part for i, part in enumerate(parts)})
    joined = together.select(pl.concat_list(pl.all()).list.drop_nulls().list.unique().list.sort().list.join("; "))
    return joined.select(pl.when(pl.first() != "").then(pl.first())).to_series()
