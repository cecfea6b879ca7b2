"""Frames that a store gave (`Store.posts`, `.answers`, `.observations`) into another store, each row as it is.

Such rows say more than own threads can: the platform, whose score floors rules take, the format of the text, and what
nobody could read. Each row is one observation, so several rows of an item are its scores over time. Whoever changed a
frame on the way may have changed anything in it, so every row is checked like one of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, get_args

import polars as pl
import pyarrow as pa

from shp_miner.errors import BadInput
from shp_miner.model import ANSWER, HASHES, OPTIONAL, POST, empty_table, frame_schema, out_of_bounds
from shp_miner.platforms.items import BodyFormat, ItemState, Role
from shp_miner.platforms.records import latest_allowed_us
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.platforms.sites import site_of
from shp_miner.tally import Damage, Tally
from shp_miner.text.clean import REPLACEMENT, visible_chars

if TYPE_CHECKING:
    from shp_miner.frames import Given

#: Columns that follow from others: they are made again, and need not be given.
MADE = frozenset({*HASHES, "body_chars"})

#: Columns that need not be given; a frame of an earlier version has no OPTIONAL ones.
_UNNEEDED = MADE.union(OPTIONAL)

_CHOICES = {"body_format": get_args(BodyFormat), "author_role": get_args(Role), "state": get_args(ItemState)}
_TIMES = ("created_at", "observed_at", "accepted_at")
_KEYS = ("site", "post_id", "answer_id")
_ROWS = 50_000


def are_stored(posts: Given, answers: Given) -> bool:
    """Whether both tables have every column that a store's tables have, except those that need not be given."""
    tables = ((posts, POST), (answers, ANSWER))
    return all(_UNNEEDED.union(table.frame.columns) >= set(schema.names) for table, schema in tables)


def refuse_parts(table: Given, schema: pa.Schema, known: frozenset[str]) -> None:
    """Raise BadInput for columns that only a store's whole tables may have: alone they would say something else."""
    names = [name for name in table.frame.columns if name in schema.names and name not in known]
    if names:
        raise BadInput(
            f"{table.name} has the column {names[0]!r}, which only whole tables of a store have.",
            f"Pass store.posts() and store.answers() with all their columns, or leave out: {', '.join(names)}.",
        )


def stored_chunks(posts: Given, answers: Given, tally: Tally, now: datetime) -> Iterator[Chunk]:
    """Return the rows of both tables for the store, posts first; a bad row costs only itself and is counted.

    Raises BadInput, before any row is returned, for a column of another type than the store's.
    """
    latest_us = latest_allowed_us(now)
    asked, replies = _typed(posts, POST), _typed(answers, ANSWER)

    def chunks() -> Iterator[Chunk]:
        for part in asked.iter_slices(_ROWS):
            yield Chunk(_checked(part, POST, posts.name, tally, latest_us), empty_table(ANSWER))
        for part in replies.iter_slices(_ROWS):
            yield Chunk(empty_table(POST), _checked(part, ANSWER, answers.name, tally, latest_us))

    return chunks()


def _checked(part: pl.DataFrame, schema: pa.Schema, name: str, tally: Tally, latest_us: int) -> pa.Table:
    kind = "post" if schema is POST else "answer"
    reasons = _reasons(part, latest_us)
    bad = part.select("row", "post_id").with_columns(reason=reasons).filter(reasons.is_not_null())
    for number, post_id, reason in bad.iter_rows():
        what = f"row {number}, of post_id {post_id!r:.60}: {reason.replace('_', ' ')}"
        tally.lose(kind, reason, Damage(name, None, what))
    kept = _sounded(part.drop("row").filter(reasons.is_null()), kind, tally)
    rows = Rows(schema)
    rows.add_frame(kept)
    tally.keep(kind, kept.height)
    tally.note(kind, "score_age_unknown", kept["observed_at"].null_count())
    return rows.take()


def _typed(table: Given, schema: pa.Schema) -> pl.DataFrame:
    """Return the needed columns as the store's types, and the number of each `row`. Raises BadInput for other types."""
    columns = {}
    for name, kind in frame_schema(schema).items():
        if name not in MADE and (name in table.frame.columns or name not in OPTIONAL):
            column = table.frame[name]
            if kind.is_temporal() and column.dtype.is_temporal():
                column = column.dt.convert_time_zone("UTC")
            elif kind.is_temporal() and column.dtype != pl.Null:
                raise table.wrong(name, f"its type is {column.dtype}, not a time", "Pass it as the store gave it.")
            is_cut = kind.is_integer() and column.dtype.is_float() and bool((column != column.round()).any())
            try:
                columns[name] = column.cast(kind)
            except pl.exceptions.PolarsError as error:
                hint = f"It must be {kind}, as the store gave it."
                raise table.wrong(name, f"its type is {column.dtype}", hint) from error
            if is_cut:
                raise table.wrong(name, "it has fractions", "Pass whole numbers, as the store gave them.")
    frame = pl.DataFrame(columns)
    # Host names know no letter case; one thread must not become two.
    sites = {site: site_of(site) for site in frame["site"].drop_nulls().unique()}
    return frame.with_columns(pl.col("site").replace(sites)).with_row_index("row")


def _reasons(rows: pl.DataFrame, latest_us: int) -> pl.Series:
    """Return why each row cannot be stored, null where it can."""
    late = [(pl.col(name).to_physical() > latest_us).fill_null(value=False) for name in _TIMES if name in rows.columns]
    unknown = [~pl.col(name).is_in(choices) for name, choices in _CHOICES.items()]
    return rows.select(
        pl.coalesce(
            out_of_bounds(rows.drop("row")),
            pl.when(pl.col("site").str.contains(r"\s")).then(pl.lit("bad_id")),
            pl.when(pl.any_horizontal(unknown)).then(pl.lit("wrong_type")),
            pl.when(pl.any_horizontal(late)).then(pl.lit("time_in_future")),
        )
    ).to_series()


def _sounded(rows: pl.DataFrame, kind: str, tally: Tally) -> pl.DataFrame:
    """Return the rows with sound texts and the lengths of their bodies."""
    texts = [name for name, type_ in rows.schema.items() if type_ == pl.String and name not in _KEYS]
    is_unsound = pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True).fill_null(value=False))
    unsound = int(rows.select(is_unsound.sum()).item())
    if unsound:
        rows = rows.with_columns(pl.col(texts).str.replace_all("\0", REPLACEMENT, literal=True))
        tally.note(kind, "text_repaired", unsound)
    chars = [visible_chars(body, form) for body, form in rows.select("body", "body_format").iter_rows()]
    return rows.with_columns(pl.Series("body_chars", chars, pl.Int32))
