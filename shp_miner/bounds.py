"""What each column of the store may hold, in one place: every row passes here, whatever source or file it came from.

What a record says of a column can be anything; a value that no platform can mean costs the record that says it, under
a reason of its own, and nothing else. Importers and crawlers may refuse more. `model.Rows` applies this to every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from operator import itemgetter
from typing import Any

import polars as pl

#: Clocks differ; a time this far ahead of ours is still believed.
CLOCK_SKEW = timedelta(days=1)
SKEW_US = CLOCK_SKEW // timedelta(microseconds=1)

#: Before 1990 no forum of ours existed: a smaller number is a wrong unit or a missing value.
EARLIEST_S = 631_152_000

#: The first microsecond of the year 10000: later times have no date.
_END_US = 253_402_300_800_000_000

#: Larger scores are no votes: beyond this a number is no longer exact where scores are compared as fractions.
SCORE_MAX = 1 << 53

#: Characters of an id or a name that rows are found by, of what else stands on one line, and of a text.
KEY_CHARS = 255
LINE_CHARS = 1 << 16
TEXT_CHARS = 1 << 26

#: Columns that may be null. Every other says something of each row.
NULLABLE = frozenset({"author", "author_id", "author_url", "url", "license", "upvote_ratio", "score", "observed_at"})

#: The reason for a row without a community: promoted posts of old dumps have none, and stand nowhere.
NO_COMMUNITY = "no_community"

_IDS = ("site", "post_id", "answer_id")
_LINES = ("author", "author_id", "author_url", "url", "license")
_TEXTS = ("title", "body")


class Lost(Exception):
    """The record cannot be used; `reason` is a word for it (see tally.LOST) and `what` a sentence part for people."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


class Check:
    """Holds rows with some columns against their bounds, one by one; times are microseconds since 1970."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._must = [name for name in names if name not in NULLABLE]
        self._musts = itemgetter(*self._must)
        self._ranges = [(name, *_RANGES[name]) for name in names if name in _RANGES]
        self._ids = [name for name in names if name in _IDS]
        self._lengths = [(name, most) for name, most in _LENGTHS.items() if name in names]

    def __call__(self, values: Mapping[str, Any], latest_us: int = _END_US) -> None:
        """Raise Lost where a value is none that its column can hold. `latest_us` is the latest time to be believed."""
        if None in self._musts(values):
            raise _null(next(name for name in self._must if values[name] is None))
        for name, reason, least, most, what in self._ranges:
            value = values[name]
            if value is not None and not least <= value <= most:
                raise Lost(reason, f"{name} {value!r:.40} {what}")
        for name, most in self._lengths:
            value = values[name]
            if value is not None and len(value) > most:
                raise Lost("value_too_long", f"{name} has {len(value):,} characters; at most {most:,} are stored")
        for name in self._ids:
            value = values[name]
            if not (value and value.isprintable()):
                raise Lost("bad_id", f"{name} {value!r:.60} is empty or not printable")
        if not values["community"]:
            raise _null("community")
        if values["created_at"] > latest_us or (values["observed_at"] or 0) > latest_us:
            raise Lost("time_in_future", "created_at or observed_at lies in the future")


def out_of_bounds(frame: pl.DataFrame) -> pl.Series:
    """The reason why each row of a frame cannot be stored, null where it can; columns that it lacks are not looked at.

    Times are microseconds since 1970 (numbers or times).
    """
    found = []
    for name, kind in frame.schema.items():
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
    return frame.select(
        pl.coalesce(pl.lit(None, pl.String), *(pl.when(bad).then(pl.lit(reason)) for reason, bad in found)).alias("why")
    ).to_series()


def _null(name: str) -> Lost:
    return Lost(NO_COMMUNITY if name == "community" else "missing_field", f"{name} is missing or null")


#: By column: the reason for what lies outside, the least and the greatest value, and what is said of one outside.
_RANGES: dict[str, tuple[str, float, float, str]] = {
    "created_at": ("bad_time", EARLIEST_S * 1_000_000, _END_US - 1, "is no time at which a forum was written to"),
    "observed_at": ("bad_time", EARLIEST_S * 1_000_000, _END_US - 1, "is no time at which a forum was read"),
    "score": ("bad_score", -SCORE_MAX, SCORE_MAX, "is no number of votes"),
    "upvote_ratio": ("bad_ratio", 0.0, 1.0, "is not between 0 and 1"),
    "body_chars": ("value_too_long", 0, TEXT_CHARS, "is no length of a text"),
}
_LENGTHS = {
    **dict.fromkeys((*_IDS, "community"), KEY_CHARS),
    **dict.fromkeys(_LINES, LINE_CHARS),
    **dict.fromkeys(_TEXTS, TEXT_CHARS),
}
