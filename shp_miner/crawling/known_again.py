"""Rebuilding a lost crawl file from the rows that crawls left in the store.

Without it, content deleted meanwhile would never be missed. Threads that came only by import are not included.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from shp_miner.crawling.state import CrawlState
from shp_miner.sources.table import ROWS
from shp_miner.store import Store
from shp_miner.store.lake import explained_errors
from shp_miner.store.snapshot import HashRange, Snapshot, in_order

_THREAD = ("source", "site", "post_id")


def know_again(store: Store, state: CrawlState, now: int) -> int:
    """Register the threads in the store that crawls wrote, if the state knows no site; return their number.

    All threads are due at once. A thread without a known reading time counts as read `now` (microseconds since 1970).
    The check costs little if there is nothing to do. An interrupted call is repeated from the start.
    """
    if not state.is_new or not store.exists:
        return 0
    count, sites = 0, set()
    with explained_errors(f"searching the store {store.path}"):
        snapshot = store.snapshot()
        theirs = pl.col("source").is_in(list(ROWS))
        if snapshot.scan("posts").filter(theirs).select("source").head(1).collect().is_empty():
            return 0
        for part in snapshot.ranges():
            posts = _items(snapshot, "posts", part, ["post_id"])
            answers = _items(snapshot, "answers", part, ["post_id", "answer_id"])
            answers = answers.join(posts.select(_THREAD), on=_THREAD, how="semi")
            posts = posts.join(answers.group_by(_THREAD).agg(left=(~pl.col("gone")).any()), on=_THREAD, how="left")
            whole = pl.col("gone") & ~pl.col("left").fill_null(value=False)
            seen = (pl.col("first").fill_null(now), pl.col("last").fill_null(now))
            threads = posts.select(*_THREAD, "community", "created_at", *seen, whole=whole, post_gone="gone")
            state.remember(threads.iter_rows(), answers.select(*_THREAD, "answer_id", "created_at", "gone").iter_rows())
            sites |= set(threads.select("source", "site").unique().rows())
            count += threads.height
    for source, site in sorted(sites):
        state.asked_at(source, site, None, allow_private=False)
    return count


def _items(snapshot: Snapshot, name: str, part: HashRange, ids: Sequence[str]) -> pl.DataFrame:
    """The items of a table that living sources wrote, by source: when they were first and last read, whether gone."""
    key = ["site", *ids]
    wanted = (*key, "source", "community", "created_at", "observed_at", "content_hash", "state")
    rows = snapshot.scan(name, part).select(wanted).collect()
    rows = in_order(rows.with_columns(pl.col("created_at", "observed_at").to_physical()), key)
    newest = rows.unique(key, keep="last").select(*key, gone=pl.col("state").is_in(["deleted", "removed"]))
    seen = (pl.col("observed_at").min().alias("first"), pl.col("observed_at").max().alias("last"))
    by_source = (
        rows.filter(pl.col("source").is_in(list(ROWS)), pl.col("created_at").is_not_null())
        .group_by("source", *key, maintain_order=True)
        .agg(pl.col("community", "created_at").last(), *seen)
    )
    return by_source.join(newest, on=key)
