"""What imports tell of deletions: items whose newest row says that they are gone, and whose text is still in the store.

A dump tells of millions of deletions. Only those of which the store holds anything are worth a line on the list.
"""

from __future__ import annotations

import time

import polars as pl

from shp_miner.errors import UsageError
from shp_miner.store.forgotten_list import LINE, add, import_noted, imports_looked_through, noted_version
from shp_miner.store.lake import TABLES, Store, explained
from shp_miner.store.snapshot import HashRange, Snapshot, in_order

#: Rows looked at together: their ids and times take about 200 bytes each in memory.
_ROWS_EACH = 500_000


def look_at_imports(store: Store, *, now_us: int | None = None) -> int:
    """Put on the list, as pending, what imports since the last look tell to be gone; the number of items.

    Only under the exclusive lock. Where nobody knows when an item was deleted, it counts as deleted at `now_us`
    (microseconds since 1970; the machine's clock where it is not given). If this is killed, the next look finds all.
    """
    if not import_noted(store.path):
        return 0
    with explained(f"looking for deletions in the store {store.path}"):
        snapshot = store.snapshot()
        added = snapshot.added_since(earlier) if (earlier := _before(store)) else snapshot
        now_us = time.time_ns() // 1000 if now_us is None else now_us
        parts = snapshot.ranges(_ROWS_EACH)
        found = [_gone_with_text(snapshot, added, name, part, now_us) for name in TABLES for part in parts]
        lines = pl.concat([pl.DataFrame(schema=LINE), *found])
        if lines.height:
            add(store.path, lines, pending=True)
        imports_looked_through(store.path)
    return lines.height


def _before(store: Store) -> Snapshot | None:
    """The store before the imports; None if nobody knows any more, and all of it must be looked at."""
    version = noted_version(store.path)
    try:
        return store.snapshot(version) if version else None
    except UsageError:
        return None


def _gone_with_text(snapshot: Snapshot, added: Snapshot, name: str, part: HashRange, now_us: int) -> pl.DataFrame:
    """Lines for the items of a range, in threads of which anything was added, that are gone and still say something."""
    threads = added.scan(name, part).select("thread_hash").unique().collect()["thread_hash"]
    if threads.is_empty():
        return pl.DataFrame(schema=LINE)
    key = ["thread_hash", "site", "post_id", *(["answer_id"] if name == "answers" else [])]
    gone = pl.col("state").is_in(["deleted", "removed"])
    # Earlier versions let in text with rows that said "deleted".
    says = (pl.col("state") == "live") | pl.col("author").is_not_null() | (pl.col("body_chars") > 0)
    says |= pl.col("title") != "" if name == "posts" else pl.lit(value=False)
    rows = (
        snapshot.scan(name, part)
        .filter(pl.col("state") != "unreadable", pl.col("thread_hash").is_in(threads.implode()))
        .select(*key, "observed_at", "content_hash", "state", says=says)
        .collect()
    )
    rows = rows.join(rows.filter(gone).select(key).unique(), on=key, how="semi")
    rows = rows.join(rows.filter("says").select(key).unique(), on=key, how="semi")
    newest = in_order(rows, key).unique(key, keep="last", maintain_order=True).filter(gone)
    at = pl.col("observed_at").to_physical().fill_null(now_us)
    lines = newest.select(*key, "state", kind=pl.lit("item"), by=pl.lit("platform"), at=at)
    return pl.concat([pl.DataFrame(schema=LINE), lines], how="diagonal")
