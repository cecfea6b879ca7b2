"""Many Reddit records at once, as whole columns.

Only records that are clean in every field come this way; a record that is not (an old type, a strange time, a NUL) is
marked and takes the careful way of dumps.reddit, which knows every exception. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import polars as pl

from shp_miner.dumps.records import EARLIEST_S
from shp_miner.dumps.reddit_records import BOT_NAME, GONE_AUTHORS, GONE_BODIES, ROLES
from shp_miner.text.clean import BLANK, REDDIT_EMPTY

#: The marker column: true where the careful way must be taken.
CAREFUL = "careful"


_SHARED: dict[str, Any] = {
    "id": pl.String,
    "subreddit": pl.String,
    "author": pl.String,
    "score": pl.Int64,
    "created_utc": pl.Int64,
    "retrieved_on": pl.Int64,
    "distinguished": pl.String,
    "stickied": pl.Boolean,
}
_OWN: dict[str, dict[str, Any]] = {
    "answer": {"body": pl.String, "link_id": pl.String, "is_submitter": pl.Boolean, "score_hidden": pl.Boolean},
    "post": {
        "selftext": pl.String,
        "title": pl.String,
        "is_self": pl.Boolean,
        "permalink": pl.String,
        "over_18": pl.Boolean,
        "upvote_ratio": pl.Float64,
        "removed_by_category": pl.String,
    },
}


def to_frame(kind: str, items: Sequence[Any], latest_us: int) -> pl.DataFrame:
    """The rows of clean records of one kind, with the columns that a source fills in and `careful`."""
    schema = {**_SHARED, **_OWN[kind]}
    columns = zip(*map(attrgetter(*schema), items), strict=True)
    raw = [pl.Series(name, column, dtype=schema[name]) for name, column in zip(schema, columns, strict=True)]
    frame = pl.DataFrame([*raw, *_noted(items)])
    return frame.select(*_shared(kind, latest_us), *(_answer() if kind == "answer" else _post()))


def _noted(items: Sequence[Any]) -> list[pl.Series]:
    """What needs a look at each record: edits, and the archive's notes, which most records lack."""
    edited = [item.edited is not False for item in items]
    deleted, removed, careful = ([False] * len(items) for _ in range(3))
    second: list[int | None] = [None] * len(items)
    for index, item in enumerate(items):
        meta = item.meta
        if meta is not None:
            edited[index] = bool(item.edited) or bool(meta.is_edited)
            deleted[index] = bool(meta.was_deleted_later) or meta.removal_type == "deleted"
            removed[index] = bool(meta.removal_type)
            if type(meta.retrieved_2nd_on) is int:
                second[index] = meta.retrieved_2nd_on
            else:
                careful[index] = meta.retrieved_2nd_on is not None
        elif edited[index]:
            edited[index] = bool(item.edited)
    return [
        pl.Series("edited", edited, dtype=pl.Boolean),
        pl.Series("deleted", deleted, dtype=pl.Boolean),
        pl.Series("removed", removed, dtype=pl.Boolean),
        pl.Series("second", second, dtype=pl.Int64),
        pl.Series("odd_note", careful, dtype=pl.Boolean),
    ]


def _shared(kind: str, latest_us: int) -> list[pl.Expr]:
    body = pl.col("body" if kind == "answer" else "selftext")
    author_gone = pl.col("author").is_null() | pl.col("author").is_in(GONE_AUTHORS)
    read_s = pl.coalesce("second", "retrieved_on")
    deleted, removed = pl.col("deleted"), pl.col("removed")
    if kind == "post":
        deleted = deleted | (pl.col("removed_by_category") == "deleted").fill_null(value=False)
        removed = removed | (pl.col("removed_by_category").fill_null("") != "")
    bot = (pl.col("author").str.contains(BOT_NAME) & ~author_gone).fill_null(value=False)
    state = pl.when(deleted).then(pl.lit("deleted")).when(removed).then(pl.lit("removed")).otherwise(pl.lit("live"))
    gone = body.str.strip_chars().replace_strict(GONE_BODIES, default=None, return_dtype=pl.String)
    shown = body.str.replace_all(REDDIT_EMPTY, "", literal=True).str.strip_chars(BLANK)
    texts = [body, pl.col("author"), pl.col("title" if kind == "post" else "link_id")]
    careful = [
        *(text.str.contains("\0", literal=True).fill_null(value=False) for text in texts),
        ~pl.col("id").str.contains(r"^(?:t[13]_)?[0-9a-z]+$"),
        *(~second.is_between(EARLIEST_S, latest_us // 1_000_000) for second in (pl.col("created_utc"), read_s)),
        pl.col("odd_note"),
    ]
    if kind == "answer":
        careful.append(~pl.col("link_id").str.contains(r"^t3_[0-9a-z]+$"))
    role = pl.col("distinguished").replace_strict(ROLES, default=None, return_dtype=pl.String)
    return [
        pl.lit("reddit-dump").alias("source"),
        pl.lit("reddit").alias("platform"),
        pl.lit("reddit.com").alias("site"),
        pl.col("subreddit").str.to_lowercase().alias("community"),
        (pl.col("created_utc") * 1_000_000).alias("created_at"),
        body.alias("body"),
        pl.lit("reddit").alias("body_format"),
        shown.str.len_chars().cast(pl.Int32).alias("body_chars"),
        pl.when(~author_gone).then("author").alias("author"),
        pl.lit(None, pl.String).alias("author_id"),
        pl.lit(None, pl.String).alias("author_url"),
        author_gone.alias("author_deleted"),
        pl.coalesce(role, pl.when(bot).then(pl.lit("bot")), pl.lit("member")).alias("author_role"),
        pl.lit(None, pl.String).alias("license"),
        (read_s * 1_000_000).alias("observed_at"),
        pl.coalesce(gone, state).alias("state"),
        pl.col("edited"),
        pl.col("stickied"),
        pl.any_horizontal(careful).alias(CAREFUL),
    ]


def _answer() -> list[pl.Expr]:
    return [
        pl.col("link_id").str.strip_prefix("t3_").alias("post_id"),
        pl.col("id").str.strip_prefix("t1_").alias("answer_id"),
        pl.when(~pl.col("score_hidden")).then("score").alias("score"),
        pl.lit(None, pl.String).alias("url"),
        pl.col("is_submitter").alias("by_post_author"),
        pl.lit(value=False).alias("accepted"),
    ]


def _post() -> list[pl.Expr]:
    return [
        pl.col("id").str.strip_prefix("t3_").alias("post_id"),
        pl.col("title"),
        pl.col("is_self").alias("is_text"),
        pl.col("over_18").alias("nsfw"),
        pl.col("upvote_ratio"),
        pl.col("score"),
        pl.concat_str(pl.lit("https://www.reddit.com"), "permalink").alias("url"),
    ]
