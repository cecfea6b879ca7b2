"""Finds deletions in new rows: items whose newest row says that they are gone, and whose text is still in the store.

The text may come from an import or from another source. A dump reports millions of deletions; only those of which the
store still has text get a line on the list.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import polars as pl

from shp_miner.errors import BadInput, UsageError
from shp_miner.store.database import database_file, opened_database
from shp_miner.store.forgotten_list import (
    FOLDER,
    ITEM_KEY,
    LINE,
    add_lines,
    in_effect,
    list_names,
    look_noted,
    looked_through,
    noted_version,
    read_list,
)
from shp_miner.store.lake import TABLES, Store, explained_errors
from shp_miner.store.snapshot import HashRange, Snapshot, in_order

#: What the exclusive lock says that its holder does.
DOING = "deleting forgotten content"

_GONE = pl.col("state").is_in(["deleted", "removed"])


def look_for_deletions(store: Store, *, now_us: int | None = None) -> int:
    """Add items that rows since the last look report as gone to the list, as pending; return their number.

    Call it under the exclusive lock only. A deletion without a time counts as seen at `now_us` (microseconds since
    1970; default: the machine's clock). If this is killed, the next look finds all items.

    Items that a crawl saw live and then flagged are left to the crawl and its evidence (`crawling.gone`).
    """
    if not look_noted(store.path):
        return 0
    with explained_errors(f"looking for deletions in the store {store.path}"):
        snapshot = store.snapshot()
        now_us = time.time_ns() // 1000 if now_us is None else now_us
        look = _Look(snapshot, _before(store), store.path, now_us)
        parts = snapshot.ranges()
        found = [look.gone_with_text(name, part) for name in TABLES for part in parts]
        lines = _undoubted(pl.concat([pl.DataFrame(schema=LINE), *found]), store.path)
        if lines.height:
            add_lines(store.path, lines, pending=True)
        looked_through(store.path)
    return lines.height


def _before(store: Store) -> Snapshot | None:
    """Return the store before the new rows; None if its version is unknown, so that all rows must be checked."""
    version = noted_version(store.path)
    try:
        return store.snapshot(version) if version else None
    except UsageError:
        return None


def _undoubted(lines: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return the lines without flagged items that a crawl still doubts (the brake may hold them)."""
    doubts: list[tuple[str, str, str | None, int]] = []
    if lines.height and database_file(folder).exists():
        with (
            suppress(BadInput),
            closing(opened_database(folder)) as database,
        ):  # damaged: the flags are all that is known
            doubts = database.execute(
                "SELECT site, post_id, nullif(answer_id, ''), whole FROM doubts WHERE against = 'flag'"
            ).fetchall()
    held = pl.DataFrame(doubts, schema={**dict.fromkeys(ITEM_KEY, pl.String), "whole": pl.Int64}, orient="row")
    lines = lines.join(held.filter(pl.col("whole") == 1), on=["site", "post_id"], how="anti")
    return lines.join(held, on=ITEM_KEY, how="anti", nulls_equal=True)


class _Look(msgspec.Struct):
    """A comparison of the store `now` with the store `before` the new rows (None if unknown), for `folder`'s list."""

    now: Snapshot
    before: Snapshot | None
    folder: Path
    now_us: int

    def gone_with_text(self, name: str, part: HashRange) -> pl.DataFrame:
        """Return lines for a range's items that are gone and still have text, in threads with new rows."""
        added = self.now.added_since(self.before) if self.before else self.now
        threads = added.scan(name, part).select("thread_hash").unique().collect()["thread_hash"]
        if threads.is_empty():
            return pl.DataFrame(schema=LINE)
        key = ["thread_hash", "site", "post_id", *(["answer_id"] if name == "answers" else [])]
        # Earlier versions let in text with rows that said "deleted".
        says = (pl.col("state") == "live") | pl.col("author").is_not_null() | (pl.col("body_chars") > 0)
        says |= pl.col("title") != "" if name == "posts" else pl.lit(value=False)
        rows = (
            self.now.scan(name, part)
            .filter(pl.col("state") != "unreadable", pl.col("thread_hash").is_in(threads.implode()))
            .select(*key, "observed_at", "content_hash", "state", says=says)
            .with_columns(pl.col("observed_at").to_physical())
            .collect()
        )
        rows = rows.join(rows.filter(_GONE).select(key).unique(), on=key, how="semi")
        rows = rows.join(rows.filter("says").select(key).unique(), on=key, how="semi")
        dated = self._dated(rows, name, part, key)
        newest = in_order(dated, key).unique(key, keep="last", maintain_order=True).filter(_GONE)
        lines = newest.select(*key, "state", kind=pl.lit("item"), by=pl.lit("platform"), at="observed_at")
        return pl.concat([pl.DataFrame(schema=LINE), lines], how="diagonal")

    def _dated(self, rows: pl.DataFrame, name: str, part: HashRange, key: list[str]) -> pl.DataFrame:
        """Return the rows with a time for each deletion that has none.

        A new deletion counts as seen now. An older one keeps its earlier time, so that text shown since then stays: the
        list's time, or else the time at which the store was made.
        """
        undated = rows.filter(_GONE & pl.col("observed_at").is_null())
        if undated.is_empty():
            return rows
        listed = in_effect(read_list(self.folder / FOLDER, list_names(self.folder)))
        listed = listed.filter(pl.col("answer_id").is_not_null() == (name == "answers")).select(*key[1:], "at")
        if self.before is None:
            old = undated.join(listed, on=key[1:], how="semi")
        else:
            old = self.before.scan(name, part).filter(_GONE, pl.col("observed_at").is_null()).collect()
        same = [*key, "content_hash"]
        old = old.select(same).unique().with_columns(is_old=pl.lit(value=True))
        at = pl.when("is_old").then(pl.col("at").fill_null(self.now.made_us)).otherwise(self.now_us)
        known = undated.join(old, on=same, how="left").join(listed, on=key[1:], how="left").with_columns(observed_at=at)
        return pl.concat([rows.filter(~_GONE | pl.col("observed_at").is_not_null()), known.select(rows.columns)])
