"""Counts of a store: items by community, ages of scores, and months whose scores were read too early."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

import polars as pl

from shp_miner.arguments import AnyPath, Moment
from shp_miner.health.cleaned import cleaned_exports
from shp_miner.rules.age import EARLY_ANSWERS_MIN, EARLY_SHARE, is_dated, known_time, score_age_s
from shp_miner.rules.presets import DAY_S
from shp_miner.store import Snapshot, Store


class EarlyMonth(TypedDict):
    """A month of a community whose scores were read too early: its answers, and the share read within a day."""

    community: str
    month: str
    answers: int
    share: float


class CommunityCounts(TypedDict):
    """A community's items, the days of its posts (oldest, newest, last observed), and shares of its answers by age.

    The days are null, and the share is 1, if nobody knows when anything was written.
    """

    site: str
    community: str
    posts: int
    answers: int
    oldest: str | None
    newest: str | None
    observed: str | None
    share_read_within_a_day: float | None
    share_of_unknown_age: float | None
    share_without_time: float | None


def stats(store: Store | Snapshot | AnyPath, *, as_of: Moment | None = None) -> dict[str, Any]:
    """Return plain data: version, tables, communities, months whose scores were read too early, and cleaned exports.

    A table has its rows, its bytes, and the number of items that could not be read at the last request. Scores whose
    reading time is unknown count as `share_of_unknown_age`, not as read early. `as_of` is an earlier version ("3.5") or
    a time: a text such as "2024-01-31", a date or a datetime. Raises BadInput if there is no store, and UsageError if
    it does not have that version.
    """
    if isinstance(store, Snapshot):
        snapshot = store
    else:
        snapshot = (store if isinstance(store, Store) else Store(store)).snapshot(as_of)
    by_month = _by_month(snapshot)
    return {
        "version": snapshot.version,
        "tables": {
            name: {
                "observations": snapshot.rows(name),
                "bytes": snapshot.size_bytes(name),
                "unreadable": snapshot.unreadable(name),
            }
            for name in ("posts", "answers")
        },
        "communities": _communities(snapshot, by_month),
        "read_too_early": [
            EarlyMonth(community=community, month=month, answers=answers, share=round(early / answers, 4))
            for community, month, answers, early in by_month.group_by("community", "month")
            .agg(pl.col("answers", "early").sum())
            .sort("community", "month")
            .iter_rows()
            if answers >= EARLY_ANSWERS_MIN and early / answers >= EARLY_SHARE
        ],
        "cleaned_exports": cleaned_exports(Store(snapshot.folder)),
    }


def _by_month(snapshot: Snapshot) -> pl.DataFrame:
    """Return the number of answers by site, community and month: last read within a day, and at an unknown time."""
    age = score_age_s()
    return (
        snapshot.scan("answers")
        .group_by("site", "community", "thread_hash", "answer_id")
        .agg(pl.col("created_at", "observed_at").sort_by("observed_at", nulls_last=False).last())
        .group_by("site", "community", pl.col("created_at").dt.strftime("%Y-%m").alias("month"))
        .agg(
            pl.len().alias("answers"),
            (age < DAY_S).sum().alias("early"),
            age.is_null().sum().alias("ageless"),
            (~is_dated()).sum().alias("undated"),
        )
        .collect(engine="streaming")
    )


def _communities(snapshot: Snapshot, by_month: pl.DataFrame) -> list[CommunityCounts]:
    posts = (
        snapshot.scan("posts")
        .group_by("site", "community")
        .agg(
            pl.col("thread_hash").n_unique().alias("posts"),
            known_time().min().alias("oldest"),
            known_time().max().alias("newest"),
            pl.col("observed_at").max().alias("observed"),
        )
        .collect(engine="streaming")
    )
    answers = by_month.group_by("site", "community").agg(pl.col("answers", "early", "ageless", "undated").sum())
    table = posts.join(answers, on=["site", "community"], how="full", coalesce=True).sort("community", "site")
    return [
        {
            "site": row["site"],
            "community": row["community"],
            "posts": row["posts"] or 0,
            "answers": row["answers"] or 0,
            "oldest": _day(row["oldest"]),
            "newest": _day(row["newest"]),
            "observed": _day(row["observed"]),
            "share_read_within_a_day": _share(row["early"], row["answers"]),
            "share_of_unknown_age": _share(row["ageless"], row["answers"]),
            "share_without_time": _share(row["undated"], row["answers"]),
        }
        for row in table.iter_rows(named=True)
    ]


def _share(count: int | None, answers: int | None) -> float | None:
    return round((count or 0) / answers, 4) if answers else None


def _day(value: datetime | None) -> str | None:
    return None if value is None else value.date().isoformat()
