"""Many threads of the project's own layout at once, as whole columns, without Python code for each value.

A strict decoder reads the lines that are usual: right keys, right types. Its records become columns, a key at a time. A
line with anything else in it (a time in other words, an id with blanks, two answers of one id) takes the careful way of
dumps.threads, whole. Both give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec import UNSET

from shp_miner.dumps.ahead import read_ahead
from shp_miner.dumps.lines import Lines, decoded
from shp_miner.dumps.threads_layout import ADDRESS_CHARS_MAX, GONE_AUTHORS, SITE, Answer, Thread
from shp_miner.errors import Error
from shp_miner.model import SCORE_MAX, out_of_bounds
from shp_miner.platforms.rows import seconds_us
from shp_miner.platforms.sites import site_of
from shp_miner.text.visible import visible_lengths

_Time = str | int | float
_Count = int | float | None
#: Types of the keys that the careful way checks apart, as usual files have them.
_USUAL: dict[str, Any] = {
    "post_id": str | int,
    "answer_id": str | int,
    "created_at": _Time,
    "score": _Count,
    **dict.fromkeys(("observed_at", "accepted_at"), _Time | None),
    **dict.fromkeys(("reads", "upvotes", "downvotes", "views"), _Count),
}


def _strict(kind: type[msgspec.Struct], **more: Any) -> type[msgspec.Struct]:
    """The same record with the types of usual files."""
    types = _USUAL | more
    fields = [
        (field.name, types.get(field.name, field.type), *(() if field.required else (field.default,)))
        for field in msgspec.structs.fields(kind)
    ]
    return msgspec.defstruct(f"Usual{kind.__name__}", fields, kw_only=True, forbid_unknown_fields=True)


_DECODER = msgspec.json.Decoder(_strict(Thread, answers=list[_strict(Answer)]))  # type: ignore[misc]
#: Lines that the strict decoder reads at once.
_AT_ONCE = 16

#: An id without anything that the careful way would have to look at.
_PLAIN_ID = r"^[!-~]{1,255}$"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})$"
_FORMAT = "%Y-%m-%dT%H:%M:%S%.f%:z"
#: Keys of text, of flags, of times and of counts.
_TEXTS = ("body", "author_url", "author_role", "url", "license", "format", "state")
_FLAGS = ("edited", "stickied")
_TIMES = ("created_at", "observed_at")
_COUNTS = ("reads", "upvotes", "downvotes")

#: A line's number among those decoded, and whether it needs care.
_LINE, _ODD = "line", "odd"


@dataclass
class AtOnce:
    """Rows of the usual lines: posts, answers; and the other lines with their offsets."""

    posts: pl.DataFrame
    answers: pl.DataFrame
    careful: list[tuple[int, bytes]]


def at_once(batches: Generator[Lines, None, None], latest_us: int) -> Generator[AtOnce, None, None]:
    """The batches of a file as frames; those of the next are made while one is stored."""
    for lines in read_ahead(batches, 1):
        yield to_frames(lines, latest_us)


def to_frames(lines: Lines, latest_us: int) -> AtOnce:
    """The rows of the lines with the columns that a source fills in, and the lines to be read with care."""
    threads, numbers = decoded(lines, _DECODER, _AT_ONCE)
    if not threads:
        return AtOnce(pl.DataFrame(), pl.DataFrame(), list(lines))
    posts = _posts(threads, latest_us)
    answers = _answers(threads, posts, latest_us)
    odd = pl.Series(values=np.zeros(len(threads), bool))
    for frame in (posts, answers):
        odd[frame.filter(_ODD)[_LINE].unique()] = True
    if odd.any():
        posts, answers = (frame.filter(~odd.gather(frame[_LINE])) for frame in (posts, answers))
    usual = np.zeros(len(lines), bool)
    usual[np.array(numbers)[~odd.to_numpy()]] = True
    return AtOnce(posts, answers, [lines.at(index) for index in np.flatnonzero(~usual).tolist()])


def _posts(threads: list[Any], latest_us: int) -> pl.DataFrame:
    """The rows of the questions."""
    raw = _frame(
        threads, (*_TEXTS, "site", "community", "title"), (*_FLAGS, "is_text", "nsfw"), _TIMES, (*_COUNTS, "views")
    )
    raw = raw.with_columns(
        _ids("post_id", threads),
        pl.Series("upvote_ratio", list(map(attrgetter("upvote_ratio"), threads)), pl.Float64),
        pl.Series(_LINE, range(len(threads)), pl.UInt32),
    )
    sites = _sites(raw["site"])
    columns = _shared(of_answers=False) | {
        "site": pl.col("site").replace_strict(sites, default=None, return_dtype=pl.String),
        **{name: pl.col(name) for name in ("community", "post_id", "title", "upvote_ratio", "views")},
        "is_text": pl.col("is_text").fill_null(value=True),
        "nsfw": pl.col("nsfw").fill_null(value=False),
    }
    odd = _odd(_TIMES, (*_COUNTS, "views"), latest_us)
    odd += [
        ~pl.col("post_id").str.contains(_PLAIN_ID),
        ~pl.col("site").is_in(list(sites)),
        pl.col("community").str.strip_chars() == "",
        ~pl.col("upvote_ratio").is_between(0, 1).fill_null(value=True),
        pl.col("title").str.contains("\0", literal=True),
    ]
    return _checked(raw, columns, odd)


def _answers(threads: list[Any], posts: pl.DataFrame, latest_us: int) -> pl.DataFrame:
    """The rows of the answers to them."""
    items = [answer for thread in threads for answer in thread.answers]
    counts = np.fromiter((len(thread.answers) for thread in threads), np.int64, len(threads))
    times = (*_TIMES, "accepted_at")
    raw = _frame(items, _TEXTS, (*_FLAGS, "by_post_author", "accepted"), times, _COUNTS)
    line = pl.Series(_LINE, np.repeat(np.arange(len(threads)), counts), pl.UInt32)
    heads = ("site", "community", "post_id", "body_format", "license", "observed_at")
    raw = raw.with_columns(
        _ids("answer_id", items), line, *(posts[name].gather(line).alias(f"post_{name}") for name in heads)
    )
    chosen = pl.col("accepted_at")
    columns = _shared(of_answers=True) | {
        **{name: pl.col(f"post_{name}") for name in ("site", "community", "post_id")},
        "answer_id": pl.col("answer_id"),
        "by_post_author": pl.col("by_post_author").fill_null(value=False),
        "accepted": pl.col("accepted").fill_null(chosen.is_not_null()),
        "accepted_at": chosen,
    }
    odd = [
        *_odd(times, _COUNTS, latest_us),
        ~pl.col("answer_id").str.contains(_PLAIN_ID),
        pl.struct(_LINE, "answer_id").is_duplicated(),
    ]
    return _checked(raw, columns, odd)


def _checked(raw: pl.DataFrame, columns: dict[str, pl.Expr], odd: list[pl.Expr]) -> pl.DataFrame:
    """The columns with _LINE and _ODD, and the characters of each body."""
    rows = raw.select(
        *(column.alias(name) for name, column in columns.items()),
        _LINE,
        pl.any_horizontal(odd).fill_null(value=True).alias(_ODD),
    )
    rows = rows.with_columns(_chars(rows))
    return rows.with_columns((rows[_ODD] | out_of_bounds(rows).is_not_null()).alias(_ODD))


def _frame(
    items: list[Any], texts: Sequence[str], flags: Sequence[str], times: Sequence[str], counts: Sequence[str]
) -> pl.DataFrame:
    """The keys of records as columns; `<time>_odd` is true where a time is none, `<count>_odd` likewise."""

    def of(name: str) -> list[Any]:
        return list(map(attrgetter(name), items))

    authors = of("author")
    columns = [pl.Series(name, of(name), pl.String) for name in texts]
    columns += [pl.Series(name, of(name), pl.Boolean) for name in flags]
    columns.append(pl.Series("author_gone", [name is None or name in GONE_AUTHORS for name in authors], pl.Boolean))
    columns.append(pl.Series("author", [None if name is UNSET else name for name in authors], pl.String))
    columns.append(pl.Series("author_id", [_text(value) for value in of("author_id")], pl.String))
    frame = pl.DataFrame(columns)
    for name in times:
        frame = frame.with_columns(_time(name, of(name)))
    return frame.with_columns(column for name in ("score", *counts) for column in _count(name, of(name)))


def _text(value: str | int | None) -> str | None:
    return str(value) if isinstance(value, int) else value


def _ids(name: str, items: list[Any]) -> pl.Series:
    return pl.Series(name, [_text(value) for value in map(attrgetter(name), items)], pl.String)


def _time(name: str, values: list[Any]) -> list[pl.Series]:
    """Microseconds since 1970 of times in words with a zone or in seconds, null where they are unknown or odd."""
    said = pl.Series([value if isinstance(value, str) else None for value in values], dtype=pl.String)
    unknown = pl.Series([value in _UNKNOWN for value in values], dtype=pl.Boolean)
    words = said.set((~said.str.contains(_ISO)).fill_null(value=False), None).str.replace("Z$", "+00:00")
    moments = words.str.to_datetime(_FORMAT, time_unit="us", time_zone="UTC", strict=False)
    found = moments.dt.timestamp("us")
    if said.null_count():
        numbers = [None if isinstance(value, str) else value for value in values]
        seconds = pl.Series(numbers, dtype=pl.Float64, strict=False)
        found = found.fill_null(pl.select(seconds_us(pl.lit(seconds))).to_series())
    return [found.alias(name), (found.is_null() & ~unknown).alias(f"{name}_odd")]


#: What programs write for a time that nobody knows.
_UNKNOWN = (None, 0, "", "0")


def _count(name: str, values: list[Any]) -> list[pl.Series]:
    """Whole numbers, null where there is none or where they are odd."""
    try:
        found = pl.Series(name, values, pl.Int64)
        return [found, pl.Series(f"{name}_odd", [False], pl.Boolean).new_from_index(0, len(found))]
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        numbers = pl.Series(values, dtype=pl.Float64, strict=False)
        whole = (numbers == numbers.floor()) & numbers.is_between(-SCORE_MAX, SCORE_MAX)
        given = pl.Series([value is not None for value in values], dtype=pl.Boolean)
        found = numbers.set(~whole.fill_null(value=False), None).cast(pl.Int64).alias(name)
        return [found, (given & found.is_null()).alias(f"{name}_odd")]


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
    ]


def _sites(names: pl.Series) -> dict[str, str]:
    """The host of each site that is named as one."""
    hosts = {}
    for name in names.unique():
        if len(name) <= ADDRESS_CHARS_MAX and SITE.fullmatch(name):
            with suppress(Error):
                hosts[name] = site_of(name)
    return {name: host for name, host in hosts.items() if re.fullmatch(_PLAIN_ID, host)}


def _chars(rows: pl.DataFrame) -> pl.Series:
    """Characters that a reader sees of each body."""
    lengths = visible_lengths(rows["body"], "markdown")
    html = rows["body_format"] == "html"
    if html.any():
        lengths = lengths.scatter(html.arg_true(), visible_lengths(rows["body"].filter(html), "html"))
    return lengths.alias("body_chars")
