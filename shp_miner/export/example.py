"""The row of an export that its card quotes: always the same of the same rows, in whatever order they come."""

from __future__ import annotations

import json

import polars as pl
import pyarrow as pa
import xxhash
from msgspec import Struct

from shp_miner.export.columns import Repeated, from_arrow
from shp_miner.export.formats import Format
from shp_miner.rules.hashing import SPLITS

#: Texts of this many characters are long enough to say something and short enough to read.
_FROM, _TO = 80, 600


class Example(Struct, frozen=True):
    """Some texts of a row, each with its column and whether it is the preferred answer; and the page they are from.

    key: the smallest is quoted: of rows with readable lengths, of the earliest split (so that no test row is shown
    where there are others), of the smallest hash of the thread, then of the texts.
    """

    key: tuple[int, int, int, int]
    texts: list[tuple[str, str, bool]]
    url: str | None = None


def first_example(one: Example | None, other: Example | None) -> Example | None:
    """Return the example with the smaller key, or the only one."""
    known = [example for example in (one, other) if example is not None]
    return min(known, key=lambda example: example.key, default=None)


def example_of(form: Format, posts: pl.DataFrame, table: pa.Table, post_row: pl.Series) -> Example | None:
    """Return the row to quote of some rows of a format, with the row of `posts` of each; None if there is no row."""
    readable = pl.repeat(value=True, n=table.num_rows, eager=True)
    for name in form.texts:
        readable &= _readable(from_arrow(table[name].combine_chunks()))
    threads = posts.select(pl.col("split").replace_strict(SPLITS, range(len(SPLITS))), "thread_hash")[post_row]
    rows = threads.with_columns((~readable).cast(pl.Int64).alias("unreadable")).with_row_index("row")
    for column in ("unreadable", "split", "thread_hash"):
        rows = rows.filter(pl.col(column) == pl.col(column).min())
    if rows.is_empty():
        return None
    key = rows.row(0, named=True)
    found = []
    for row in rows["row"]:
        texts = _texts(form, table.slice(row, 1))
        url = posts["url"][post_row[row]]
        number = xxhash.xxh3_64_intdigest(json.dumps([texts, url]).encode())
        found.append(Example((key["unreadable"], key["split"], key["thread_hash"], number), texts, url))
    return min(found, key=lambda example: example.key)


def _readable(column: Repeated) -> pl.Series:
    values = column.values
    if isinstance(values.dtype, pl.List):
        chars = pl.element().struct.field("content").str.len_chars()
        frame = values.to_frame("values")
        fits = frame.select(pl.col("values").list.eval(chars.is_between(_FROM, _TO)).list.all()).to_series()
    else:
        fits = values.str.len_chars().is_between(_FROM, _TO)
    return fits.gather(column.rows)


def _texts(form: Format, table: pa.Table) -> list[tuple[str, str, bool]]:
    """Return the texts of a table's only row by column; of a list of answers the first and the last."""
    wins = ""
    if form.balance and form.answers:
        column, first = form.balance
        wins = form.answers[table[column][0].as_py() != first]
    texts: list[tuple[str, str, bool]] = []
    for field in form.schema:
        if field.name not in form.texts and not pa.types.is_list(field.type):
            continue
        value = table[field.name][0].as_py()
        if isinstance(value, str):
            texts.append((field.name, value, field.name == wins))
        elif value and "content" in value[0]:
            texts += [(f"{field.name}, {message['role']}", message["content"], False) for message in value]
        else:
            texts += [(f"{field.name}, rank {value[n]['rank']}", value[n]["text"], False) for n in (0, -1)]
    return texts
