"""What the product knows of a forum: the Arrow schemas of Post, Answer, Observation and Pair, in one place.

A row of POST or ANSWER is one observation of the item: what the platform said of it at one time, with its content
where that was seen. Rows are only ever appended; at reading the newest observation of an item wins. A thread is known
by (site, post_id) and, for ordering and for cutting the work into pieces, by `thread_hash`.

Times are UTC with microseconds in the store (what Delta tables hold) and milliseconds in exports.

What a record says of a column can be anything; a value that no platform can mean costs the record that says it, under
a reason of its own, and nothing else. The bounds stand here, `Check` and `out_of_bounds` hold rows against them, and
`platforms.rows.Rows` has every row pass there. Importers and crawlers may refuse more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from shp_miner.tally import Lost

# polars imports numpy when it first meets something of it, and fails if two threads do so at once: here it is one.
pl.lit(np.int64(0))

TIMESTAMP: pa.DataType = pa.timestamp("us", tz="UTC")
EXPORT_TIMESTAMP = pa.timestamp("ms", tz="UTC")

#: What a platform says of an item at one time; part of every POST and ANSWER row.
#: state is "live", "deleted" (by its author), "removed" (by others), or "unreadable": nobody could read it, and nothing
#: says for sure that it is gone. Only live rows say who and what (GONE). score is the platform's own number, null where
#: it hides it. A null observed_at means nobody knows when the score was read.
OBSERVATION = pa.schema(
    [
        ("observed_at", TIMESTAMP),
        ("score", pa.int64()),
        ("state", pa.string()),
        ("edited", pa.bool_()),
        ("stickied", pa.bool_()),
        ("content_hash", pa.int64()),
    ]
)

#: What some platforms count besides the score, read with it: readers of this item who were logged in (Discourse), and
#: up- and down-votes apart. Null where the platform does not say.
_COUNTS = [("reads", pa.int64()), ("upvotes", pa.int64()), ("downvotes", pa.int64())]

_THREAD = [
    ("thread_hash", pa.int64()),
    ("source", pa.string()),
    ("platform", pa.string()),
    ("site", pa.string()),
    ("community", pa.string()),
    ("post_id", pa.string()),
]

#: body is the original as the platform gave it; body_format says what it is written in: "markdown", "html", "text" or
#: "reddit" (Markdown with &, < and > escaped). body_chars counts its visible characters, without blank ends.
#: author_role is "member", "moderator", "admin" or "bot". created_at is NO_TIME_US where the time is not known.
_CONTENT = [
    ("created_at", TIMESTAMP),
    ("body", pa.large_string()),
    ("body_format", pa.string()),
    ("body_chars", pa.int32()),
    ("author", pa.string()),
    ("author_id", pa.string()),
    ("author_url", pa.string()),
    ("author_deleted", pa.bool_()),
    ("author_role", pa.string()),
    ("url", pa.string()),
    ("license", pa.string()),
]

#: One observation of a question post. is_text is false for links, images and polls. upvote_ratio is 0..1 or null.
#: views is how often the whole thread was opened, by anybody, or null.
POST = pa.schema(
    [
        *_THREAD,
        *_CONTENT,
        ("title", pa.large_string()),
        ("is_text", pa.bool_()),
        ("nsfw", pa.bool_()),
        ("upvote_ratio", pa.float64()),
        *OBSERVATION,
        *_COUNTS,
        ("views", pa.int64()),
    ]
)

#: One observation of a direct reply to a post. by_post_author is true where the platform itself says so. accepted_at
#: is when the asker chose the answer, null where nobody says; Stack Exchange's dumps give the day, so it is its start.
ANSWER = pa.schema(
    [
        *_THREAD,
        ("answer_id", pa.string()),
        *_CONTENT,
        ("by_post_author", pa.bool_()),
        ("accepted", pa.bool_()),
        *OBSERVATION,
        *_COUNTS,
        ("accepted_at", TIMESTAMP),
    ]
)

#: Columns that stores of schema 1 and 2 lack, and that a source may leave out: they are null then.
OPTIONAL = ("reads", "upvotes", "downvotes", "views", "accepted_at")

#: Columns that say how an item was received when it was observed.
NUMBERS = ("score", "reads", "upvotes", "downvotes", "views")

_PAIR: list[tuple[str, pa.DataType]] = [
    ("thread_hash", pa.int64()),
    ("site", pa.string()),
    ("post_id", pa.string()),
    ("winner_id", pa.string()),
    ("loser_id", pa.string()),
    ("winner_score", pa.int64()),
    ("loser_score", pa.int64()),
    ("winner_created_at", TIMESTAMP),
    ("loser_created_at", TIMESTAMP),
    ("seconds_difference", pa.float64()),
    ("score_ratio", pa.float64()),
    ("confidence", pa.float64()),
    ("tier", pa.string()),
    ("target", pa.float64()),
    ("weight", pa.float64()),
    ("attention", pa.float64()),
    ("pair_hash", pa.uint64()),
]

#: A preference: the keys of two answers of one thread, the winner first. Rules make these; text is added at export.
#: age is in seconds, winner minus loser; score_ratio is winner / loser, null where the loser's score is not positive.
#: confidence is the probability that the label is right, null where it was not computed. tier is one of TIERS. target,
#: weight and attention are those of rules/comparisons.py, null where a vote is negative or there is none.
PAIR = pa.schema(_PAIR)

#: Columns that `Rows` fills in.
HASHES = ("thread_hash", "content_hash")

#: How far a pair can be trusted: strict is a pair of SHP's kind (its floors, winner not older) with a confidence of 0.8
#: or more, extended is every other.
TIERS = ("strict", "extended")

#: Columns that say who and what, as they are in a row that is not "live".
GONE: dict[str, Any] = {
    "title": "",
    "body": "",
    "body_chars": 0,
    "author": None,
    "author_id": None,
    "author_url": None,
    "author_deleted": True,
    "author_role": "member",
    "by_post_author": False,
    "url": None,
}

#: A subreddit that is a person's own page is called after the person; without them it is called this.
PROFILE = "u_"
NO_PROFILE = "u_forgotten"

#: Columns that hold what people wrote. They carry no statistics in any file and leave when a person asks.
TEXT_COLUMNS = ("title", "body")


def thread_hash(site: str, post_id: str) -> int:
    """A stable signed 64-bit hash of a thread: XXH3 of "site NUL post_id"."""
    return _signed(xxhash.xxh3_64_intdigest(f"{site}\0{post_id}".encode()))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def empty_table(schema: pa.Schema) -> pa.Table:
    """A table without rows."""
    # pyarrow's own empty_table imports pandas, which takes longer than all the rest of a start.
    return pa.Table.from_batches([], schema=schema)


def frame_schema(schema: pa.Schema) -> pl.Schema:
    """The schema as polars has it."""
    frame = pl.from_arrow(empty_table(schema))
    assert isinstance(frame, pl.DataFrame)
    return frame.schema


# -- what each column may hold --------------------------------------------------------------------------------------

#: Clocks differ; a time this far ahead of ours is still believed.
CLOCK_SKEW = timedelta(days=1)
SKEW_US = CLOCK_SKEW // timedelta(microseconds=1)

#: Before 1990 no forum of ours existed: a smaller number is a wrong unit or a missing value.
EARLIEST_S = 631_152_000

#: The created_at of an item if nobody knows when it was written: a microsecond that no platform gives, since the clocks
#: of platforms count seconds or thousandths. Rules that use times drop such items, and exports have null in this place.
NO_TIME_US = EARLIEST_S * 1_000_000 + 1

#: The first microsecond of the year 10000: later times have no date.
END_US = 253_402_300_800_000_000

#: Larger scores are no votes: beyond this a number is no longer exact where scores are compared as fractions.
SCORE_MAX = 1 << 53

#: Characters of an id or a name that rows are found by, of what else stands on one line, and of a text.
KEY_CHARS = 255
LINE_CHARS = 1 << 16
TEXT_CHARS = 1 << 26

#: Columns that may be null. Every other says something of each row.
NULLABLE = frozenset(
    {"author", "author_id", "author_url", "url", "license", "upvote_ratio", "score", "observed_at", *OPTIONAL}
)

#: The reason for a row without a community: promoted posts of old dumps have none, and stand nowhere.
NO_COMMUNITY = "no_community"

_IDS = ("site", "post_id", "answer_id")
_LINES = ("author", "author_id", "author_url", "url", "license")
_TEXTS = ("title", "body")

#: Lone surrogates: halves of characters, which JSON can hold and no encoding can.
_HALVES = re.compile("[\ud800-\udfff]")


class Check:
    """Holds rows with some columns against their bounds, one by one; times are microseconds since 1970.

    A row may leave out columns in OPTIONAL.
    """

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._must = [name for name in names if name not in NULLABLE]
        self._musts = itemgetter(*self._must)
        self._ranges = [(name, *_RANGES[name]) for name in names if name in _RANGES]
        self._ids = [name for name in names if name in _IDS]
        self._lines = [name for name in names if name in ("community", *_LINES)]
        self._lengths = [(name, most) for name, most in _LENGTHS.items() if name in names]

    def __call__(self, values: Mapping[str, Any], latest_us: int = END_US) -> None:
        """Raise Lost where a value is none that its column can hold. `latest_us` is the latest time to be believed."""
        if None in self._musts(values):
            raise _null(next(name for name in self._must if values[name] is None))
        for name, reason, least, most, what in self._ranges:
            value = values.get(name) if name in OPTIONAL else values[name]
            if value is not None and not least <= value <= most:
                raise Lost(reason, f"{name} {value!r:.40} {what}")
        for name, most in self._lengths:
            value = values[name]
            if value is not None and len(value) > most:
                raise Lost("value_too_long", f"{name} has {len(value):,} characters; at most {most:,} are stored")
        for name in self._lines:
            value = values[name]
            if value is not None and not value.isascii() and _HALVES.search(value):
                raise Lost("not_utf8", f"{name} {value!r:.60} holds half of a character")
        for name in self._ids:
            value = values[name]
            if not (value and value.isprintable()):
                raise Lost("bad_id", f"{name} {value!r:.60} is empty or not printable")
        if not values["community"]:
            raise _null("community")
        if max(values["created_at"], values["observed_at"] or 0, values.get("accepted_at") or 0) > latest_us:
            raise Lost("time_in_future", "created_at, observed_at or accepted_at lies in the future")


def out_of_bounds(frame: pl.DataFrame) -> pl.Series:
    """The reason why each row of a frame cannot be stored, null where it can; columns that it lacks are not looked at.

    Times are microseconds since 1970 (numbers or times).
    """
    return frame.select(_why(tuple(frame.schema.items()))).to_series()


@lru_cache(maxsize=64)
def _why(schema: tuple[tuple[str, pl.DataType], ...]) -> pl.Expr:
    """The reason why a row of columns of these types cannot be stored, null where it can."""
    found = []
    for name, kind in schema:
        column = pl.col(name).to_physical() if kind.is_temporal() else pl.col(name)
        if name in _RANGES:
            reason, least, most, _ = _RANGES[name]
            found.append((reason, ~column.is_between(least, most)))
        elif name in _LENGTHS:
            found.append(("value_too_long", column.str.len_chars() > _LENGTHS[name]))
            if name in _IDS:
                found.append(("bad_id", (column == "") | column.str.contains(r"[\p{C}\p{Zl}\p{Zp}]")))
        if name not in NULLABLE:
            found.append((_null(name).reason, column.is_null() | (column == "" if name == "community" else False)))
    return pl.coalesce(pl.lit(None, pl.String), *(pl.when(bad).then(pl.lit(reason)) for reason, bad in found)).alias(
        "why"
    )


def _null(name: str) -> Lost:
    return Lost(NO_COMMUNITY if name == "community" else "missing_field", f"{name} is missing or null")


#: By column: the reason for what lies outside, the least and the greatest value, and what is said of one outside.
_RANGES: dict[str, tuple[str, float, float, str]] = {
    "created_at": ("bad_time", EARLIEST_S * 1_000_000, END_US - 1, "is no time at which a forum was written to"),
    "observed_at": ("bad_time", EARLIEST_S * 1_000_000, END_US - 1, "is no time at which a forum was read"),
    "score": ("bad_score", -SCORE_MAX, SCORE_MAX, "is no number of votes"),
    "accepted_at": ("bad_time", EARLIEST_S * 1_000_000, END_US - 1, "is no time at which an answer was accepted"),
    **dict.fromkeys(NUMBERS[1:], ("bad_count", 0, SCORE_MAX, "is no count of readers or votes")),
    "upvote_ratio": ("bad_ratio", 0.0, 1.0, "is not between 0 and 1"),
    "body_chars": ("value_too_long", 0, TEXT_CHARS, "is no length of a text"),
}
_LENGTHS = {
    **dict.fromkeys((*_IDS, "community"), KEY_CHARS),
    **dict.fromkeys(_LINES, LINE_CHARS),
    **dict.fromkeys(_TEXTS, TEXT_CHARS),
}
