"""Many threads of the project's own layout at once, as whole columns, without Python code for each value.

The values come from lines of JSON (`threads_usual`) or from a table (`threads_table`). A thread with anything unusual
in it (a time in other words, an id with blanks, two answers of one id) takes the careful way of dumps.threads, whole.
Both give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.dumps.threads_layout import ADDRESS_CHARS_MAX, SITE, Item
from shp_miner.dumps.threads_values import Values
from shp_miner.errors import Error
from shp_miner.model import out_of_bounds
from shp_miner.platforms.sites import site_of
from shp_miner.text.visible import visible_lengths

#: An id without anything that the careful way would have to look at.
PLAIN_ID = r"^[!-~]{1,255}$"
#: Keys of text, of flags, of times and of counts.
_TEXTS = ("body", "author_url", "author_role", "url", "license", "format", "state")
_WORDS = ("author_role", "format", "state")
_FLAGS = ("edited", "stickied")
_TIMES = ("created_at", "observed_at")
_COUNTS = ("reads", "upvotes", "downvotes")

#: What answers take from their questions.
_HEADS = ["site", "community", "post_id", "body_format", "license", "observed_at"]

#: Keys of one of a few words.
_CHOICES = {
    name: get_args(get_args(kind.type)[0]) for kind in msgspec.structs.fields(Item) if (name := kind.name) in _WORDS
}
#: A thread's number, and whether it needs care.
LINE, ODD = "line", "odd"


@dataclass
class AtOnce:
    """Rows of the usual threads: posts and answers; and the numbers of the other threads."""

    posts: pl.DataFrame
    answers: pl.DataFrame
    careful: list[int]


def of_values(
    posts: Values,
    answers: Values,
    counts: npt.NDArray[np.int64],
    latest_us: int,
    odd_ones: npt.NDArray[np.bool_] | None = None,
) -> AtOnce:
    """The rows of threads of which each has so many of the answers, in their order; `odd_ones` need care anyway."""
    post_rows = posts_of(posts, latest_us)
    answer_rows = answers_of(answers, counts, post_rows, latest_us)
    odd = np.zeros(len(counts), bool) if odd_ones is None else odd_ones.copy()
    for frame in (post_rows, answer_rows):
        odd[frame.filter(ODD)[LINE].unique().to_numpy()] = True
    if odd.any():
        fine = pl.Series(~odd)
        post_rows, answer_rows = (frame.filter(fine.gather(frame[LINE])) for frame in (post_rows, answer_rows))
    return AtOnce(post_rows, answer_rows, np.flatnonzero(odd).tolist())


def posts_of(values: Values, latest_us: int) -> pl.DataFrame:
    """The rows of the questions."""
    raw = _frame(values, (*_TEXTS, "site", "community", "title"), (*_FLAGS, "is_text", "nsfw"), _TIMES)
    hosts = hosts_of(raw["site"])
    raw = raw.with_columns(
        values.ids("post_id"),
        values.ratios("upvote_ratio"),
        *values.counts("views"),
        pl.Series(LINE, np.arange(raw.height), pl.UInt32),
        hosts,
    )
    return _checked(raw, *_post_plan(latest_us))


@lru_cache(maxsize=64)
def _post_plan(latest_us: int) -> tuple[dict[str, pl.Expr], list[pl.Expr]]:
    """What makes the columns of the questions, and what tells that one needs care."""
    columns = _shared(of_answers=False) | {
        "site": pl.col("host"),
        **{name: pl.col(name) for name in ("community", "post_id", "title", "upvote_ratio", "views")},
        "is_text": pl.col("is_text").fill_null(value=True),
        "nsfw": pl.col("nsfw").fill_null(value=False),
    }
    odd = _odd(_TIMES, (*_COUNTS, "views"), latest_us)
    odd += [
        ~pl.col("post_id").str.contains(PLAIN_ID),
        pl.col("host").is_null(),
        pl.col("community").str.strip_chars() == "",
        ~pl.col("upvote_ratio").is_between(0, 1).fill_null(value=True),
        *(pl.col(name).str.contains("\0", literal=True) for name in ("title", "community")),
    ]
    return columns, odd


def answers_of(values: Values, counts: npt.NDArray[np.int64], posts: pl.DataFrame, latest_us: int) -> pl.DataFrame:
    """The rows of the answers to them."""
    raw = _frame(values, _TEXTS, (*_FLAGS, "by_post_author", "accepted"), (*_TIMES, "accepted_at"))
    line = pl.Series(LINE, np.repeat(np.arange(len(counts)), counts), pl.UInt32)
    heads = posts.select(pl.col(_HEADS).name.prefix("post_"))[line.to_numpy()]
    return _checked(raw.with_columns(values.ids("answer_id"), line, *heads), *_answer_plan(latest_us))


@lru_cache(maxsize=64)
def _answer_plan(latest_us: int) -> tuple[dict[str, pl.Expr], list[pl.Expr]]:
    """What makes the columns of the answers, and what tells that one needs care."""
    chosen = pl.col("accepted_at")
    columns = _shared(of_answers=True) | {
        **{name: pl.col(f"post_{name}") for name in ("site", "community", "post_id")},
        "answer_id": pl.col("answer_id"),
        "by_post_author": pl.col("by_post_author").fill_null(value=False),
        "accepted": pl.col("accepted").fill_null(chosen.is_not_null()),
        "accepted_at": chosen,
    }
    odd = [
        *_odd((*_TIMES, "accepted_at"), _COUNTS, latest_us),
        pl.col("body").is_null(),
        ~pl.col("answer_id").str.contains(PLAIN_ID),
        pl.struct(LINE, "answer_id").is_duplicated(),
    ]
    return columns, odd


def _checked(raw: pl.DataFrame, columns: dict[str, pl.Expr], odd: list[pl.Expr]) -> pl.DataFrame:
    """The columns with LINE and ODD, and the characters of each body."""
    rows = raw.select(
        *(column.alias(name) for name, column in columns.items()),
        LINE,
        pl.any_horizontal(odd).fill_null(value=True).alias(ODD),
    )
    rows = rows.with_columns(_chars(rows))
    return rows.with_columns((rows[ODD] | out_of_bounds(rows).is_not_null()).alias(ODD))


def _frame(values: Values, texts: Sequence[str], flags: Sequence[str], times: Sequence[str]) -> pl.DataFrame:
    """The keys of records as columns; `<time>_odd` is true where a time is none, `<count>_odd` likewise."""
    columns = [values.texts(name) for name in texts] + [values.flags(name) for name in flags]
    columns += [*values.authors(), values.ids("author_id")]
    for name in times:
        columns += values.times(name)
    for name in ("score", *_COUNTS):
        columns += values.counts(name)
    return pl.DataFrame(columns)


def _shared(*, of_answers: bool) -> dict[str, pl.Expr]:
    """The columns that posts and answers have in common; some of an answer's come from its post."""
    terms = pl.when(pl.col("license") != "").then("license")
    return {
        "source": pl.lit("threads"),
        "platform": pl.lit("threads"),
        "created_at": pl.col("created_at"),
        "body": pl.col("body").fill_null(""),
        "body_format": pl.coalesce("format", "post_body_format" if of_answers else pl.lit("markdown")),
        "author": pl.when(~pl.col("author_gone")).then("author"),
        "author_id": pl.col("author_id"),
        "author_url": pl.col("author_url"),
        "author_deleted": pl.col("author_gone"),
        "author_role": pl.col("author_role").fill_null("member"),
        "url": pl.col("url"),
        "license": pl.coalesce(terms, "post_license") if of_answers else terms,
        "observed_at": pl.coalesce("observed_at", "post_observed_at") if of_answers else pl.col("observed_at"),
        **{name: pl.col(name) for name in ("score", *_COUNTS)},
        "state": pl.col("state").fill_null("live"),
        "edited": pl.col("edited").fill_null(value=False),
        "stickied": pl.col("stickied").fill_null(value=False),
    }


def _odd(times: Sequence[str], counts: Sequence[str], latest_us: int) -> list[pl.Expr]:
    """Whether a row has a value that the careful way must look at."""
    texts = ("body", "author", "author_id", "author_url", "url", "license")
    return [
        pl.col("created_at").is_null(),
        *(pl.col(f"{name}_odd") for name in (*times, "score", *counts)),
        *((pl.col(name) > latest_us).fill_null(value=False) for name in times),
        *((pl.col(name) < 0).fill_null(value=False) for name in counts),
        *(pl.col(name).str.contains("\0", literal=True).fill_null(value=False) for name in texts),
        *(~pl.col(name).is_in(words).fill_null(value=True) for name, words in _CHOICES.items()),
    ]


def hosts_of(names: pl.Series) -> pl.Series:
    """The host of each site that is named as one, null for others."""
    known = names.unique().drop_nulls()
    hosts: list[str | None] = []
    for name in known:
        host = None
        if len(name) <= ADDRESS_CHARS_MAX and SITE.fullmatch(name):
            with suppress(Error):
                host = site_of(name)
        hosts.append(host if host is not None and re.fullmatch(PLAIN_ID, host) else None)
    return names.replace_strict(known, pl.Series(hosts, dtype=pl.String), default=None).alias("host")


def _chars(rows: pl.DataFrame) -> pl.Series:
    """Characters that a reader sees of each body."""
    lengths = visible_lengths(rows["body"], "markdown")
    html = rows["body_format"] == "html"
    if html.any():
        lengths = lengths.scatter(html.arg_true(), visible_lengths(rows["body"].filter(html), "html"))
    return lengths.alias("body_chars")
