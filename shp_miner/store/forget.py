"""Removing items from the tables, so that none of their bytes is left: in data files, old versions or the log.

A request is first written to the list (`forgotten`), as pending. From then on its content cannot come in again, and if
the work is interrupted, the next run completes it. Rows stay as tombstones, with ids, times and scores, so that their
items are never read in again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import RemoveAction

from shp_miner.model import NUMBERS
from shp_miner.places.lease import confirm
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.store.files import row_group, write_tables
from shp_miner.store.forgotten import Forgotten, key_columns
from shp_miner.store.forgotten_list import ITEM_KEY, ForgottenItem, GoneState, add_lines, of_items
from shp_miner.store.lake import TABLES, Store, explained_errors
from shp_miner.store.lock import shared_lock
from shp_miner.store.snapshot import HashRange, in_order
from shp_miner.store.table import open_table, parquet_file
from shp_miner.store.vacuum import end_before

__all__ = [
    "ForgottenItem",
    "Matched",
    "Purged",
    "delete_earlier_versions",
    "hide_items",
    "look_for_people",
    "purge_table",
    "tombstone_items",
]

#: When items were last seen, in microseconds since 1970.
_SEEN = pl.Schema({**dict.fromkeys(ITEM_KEY, pl.String), "seen": pl.Int64})

_KEY = {"posts": ITEM_KEY[:2], "answers": ITEM_KEY}

#: A community called after a person lies between these.
_PROFILES = ("u_", "u_\U0010ffff")


def tombstone_items(store: Store, items: Sequence[ForgottenItem], state: GoneState, observed_at: int) -> int:
    """Note that items are gone, as seen at `observed_at` (microseconds since 1970); return how many are in the store.

    Each gets an observation of that state without text or author, which wins over all others, and is pending on the
    list: `forgetting.forget.purge` removes its text from every copy. The deletion ends when the platform shows the item
    again later.
    """
    wanted = of_items(items, state, observed_at)
    if wanted.is_empty():
        return 0
    store.create()
    with shared_lock(store.path, "recording deleted items"):
        known = Forgotten.load(store.path).restored_at(wanted)
        newest = _newest(store, wanted)
        # Clocks differ; a tombstone is the last word whatever the others say.
        last = pl.concat([pl.DataFrame(schema=_SEEN), known, *(rows.select(_SEEN.names()) for rows in newest.values())])
        after = last.group_by(ITEM_KEY).agg(pl.col("seen").max() + 1)
        wanted = wanted.join(after, on=ITEM_KEY, how="left", nulls_equal=True)
        wanted = wanted.with_columns(at=pl.max_horizontal("at", "seen")).drop("seen")
        add_lines(store.path, wanted, pending=True)
        store.append(noted := _noted(newest, state, wanted))
    return int(noted.posts.num_rows + noted.answers.num_rows)


def hide_items(store: Store, items: Sequence[ForgottenItem], observed_at: int) -> int:
    """Note that items were unreadable at `observed_at` (microseconds since 1970); return how many that hides.

    Each that is in the store and was readable gets an observation "unreadable" without text or author, which wins over
    those before. Nothing is purged, and the next live observation replaces it.
    """
    wanted = of_items(items, "removed", observed_at)
    if wanted.is_empty() or not store.exists:
        return 0
    with shared_lock(store.path, "recording unreadable items"):
        newest = {name: rows.filter(pl.col("state") == "live") for name, rows in _newest(store, wanted).items()}
        after = pl.concat(rows.select(*ITEM_KEY, at=pl.col("seen") + 1) for rows in newest.values())
        at = pl.max_horizontal("at", pl.lit(observed_at))
        store.append(hidden := _noted(newest, "unreadable", after.with_columns(at)))
    return int(hidden.posts.num_rows + hidden.answers.num_rows)


def items_of_threads(store: Store, site: str, post_ids: Sequence[str]) -> list[ForgottenItem]:
    """Return the store's items of threads of a site, from any source."""
    if not (post_ids and store.exists):
        return []
    wanted = of_items([ForgottenItem(site, post_id) for post_id in post_ids], "removed", 0)
    hashes, snapshot = wanted["thread_hash"].implode(), store.snapshot()
    found = []
    for name in TABLES:
        rows = snapshot.scan(name).filter(pl.col("thread_hash").is_in(hashes)).select(_KEY[name]).unique().collect()
        theirs = rows.join(wanted.select("site", "post_id"), on=["site", "post_id"], how="semi")
        found += [ForgottenItem(*row) for row in theirs.sort(_KEY[name]).iter_rows()]
    return found


def noted_away(store: Store, items: Sequence[ForgottenItem]) -> dict[ForgottenItem, int]:
    """Return the items whose newest observation is gone or unreadable, with the time of that observation."""
    wanted = of_items(items, "removed", 0)
    if wanted.is_empty():
        return {}
    away = [rows.filter(pl.col("state") != "live") for rows in _newest(store, wanted).values()]
    rows = pl.concat(rows_away.select(*ITEM_KEY, "seen") for rows_away in away).iter_rows()
    return {ForgottenItem(site, post_id, answer_id): seen or 0 for site, post_id, answer_id, seen in rows}


def _newest(store: Store, wanted: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The newest rows of the items of some lines, by table, without text, and with ITEM_KEY and `seen` (its time)."""
    snapshot, found = store.snapshot(), {}
    for name in TABLES:
        key = ["site", "post_id", *(["answer_id"] if name == "answers" else [])]
        items = wanted.filter(pl.col("answer_id").is_not_null() == (name == "answers"))
        threads = items["thread_hash"].unique().sort()
        part = HashRange(threads[0], threads[-1] + 1) if items.height else HashRange(0, 0)
        rows = (
            snapshot.scan(name, part)
            .filter(pl.col("thread_hash").is_in(threads.implode()))
            .drop("body", *(["title"] if name == "posts" else []))
            .collect()
            .join(items.select(key), on=key, how="semi")
        )
        rows = in_order(rows, key).unique(key, keep="last", maintain_order=True)
        named = rows if name == "answers" else rows.with_columns(answer_id=pl.lit(None, pl.String))
        found[name] = named.with_columns(seen=pl.col("observed_at").to_physical())
    return found


def _noted(newest: Mapping[str, pl.DataFrame], state: str, at: pl.DataFrame) -> Chunk:
    """An observation of a state for each of the items: what `_newest` gave, `at` the time that stands with ITEM_KEY."""
    tables = []
    for name, items in newest.items():
        rows = Rows(TABLES[name])
        noted = items.join(at.select(*ITEM_KEY, "at"), on=ITEM_KEY, nulls_equal=True)
        # Who and what is left out of every such row.
        rows.add_frame(
            noted.with_columns(
                pl.lit("").alias("body"),
                *([pl.lit("").alias("title")] if name == "posts" else []),
                *(pl.lit(None, pl.Int64).alias(number) for number in NUMBERS if number in noted.columns),
                pl.lit(state).alias("state"),
                pl.col("at").alias("observed_at"),
            )
        )
        tables.append(rows.take())
    return Chunk(*tables)


class Matched(msgspec.Struct):
    """What a search of the store found: lines for the list, and the digests of people and pages that occurred."""

    lines: pl.DataFrame
    digests: set[str]


def look_for_people(store: Store, wanted: Forgotten) -> Matched:
    """Find the items and accounts of people and pages on a list: read every row, one row group at a time."""
    found = Matched(wanted.lines.clear(), set())
    if not wanted.names_people:
        return found
    with explained_errors(f"searching the store {store.path}"):
        files = [(n, unquote(p)) for n in TABLES for p in _entries(open_table(store.path / n))["path"]]
        for name, path in files:
            for group in _key_columns(store.path / name / path):
                lines, digests = wanted.met(group, name)
                found.digests |= digests
                if lines.height:
                    found.lines = pl.concat([found.lines, lines]).unique()
    return found


class Purged(msgspec.Struct):
    """The result of purging one table (or of a trial): rows emptied, files rewritten, items that were there."""

    rows: int = 0
    files: int = 0
    keys: set[tuple[str, ...]] = msgspec.field(default_factory=set)


def purge_table(store: Store, name: str, wanted: Forgotten, *, dry_run: bool = False) -> Purged:
    """Rewrite the files of a table that contain anything of the items on the list, in one commit.

    Memory holds one row group at a time. The old files remain until `delete_earlier_versions`.
    """
    folder = store.path / name
    done = Purged()
    with explained_errors(f"forgetting in the store {store.path}"):
        delta = open_table(folder)
        actions: list[object] = []
        for entry in _candidates(delta, wanted):
            path = folder / unquote(entry)
            rows = _rows_to_empty(path, name, wanted, done.keys)
            if not rows:
                continue
            done.rows += rows
            done.files += 1
            if not dry_run:
                written = write_tables(folder, TABLES[name], _emptied(path, name, wanted))
                now_ms = time.time_ns() // 1_000_000
                actions += [RemoveAction(entry, data_change=True, deletion_timestamp=now_ms), written]
        if actions:
            confirm()
            delta.create_write_transaction(actions, mode="append", schema=delta.schema(), partition_by=[])  # type: ignore[arg-type]
    return done


def _candidates(delta: DeltaTable, wanted: Forgotten) -> Iterator[str]:
    """Files that may hold anything on the list, as the log knows them: by thread, or by people's own communities."""
    for path, lowest, highest, first, last in _entries(delta).iter_rows():
        at = int(np.searchsorted(wanted.threads, lowest))
        a_thread = at < len(wanted.threads) and wanted.threads[at] <= highest
        a_profile = (first or "") <= _PROFILES[1] and (last or _PROFILES[0]) >= _PROFILES[0]
        if a_thread or (wanted.names_people and a_profile):
            yield path


def _entries(delta: DeltaTable) -> pl.DataFrame:
    """The table's files as the log names them, with the ends of what they hold."""
    entries = pl.DataFrame(delta.get_add_actions(flatten=True))
    names = ("path", "min.thread_hash", "max.thread_hash", "min.community", "max.community")
    return entries.select(names) if entries.height else pl.DataFrame(schema=dict.fromkeys(names, pl.String))


def _rows_to_empty(path: Path, name: str, wanted: Forgotten, keys: set[tuple[str, ...]]) -> int:
    """How many rows of a file hold anything on the list; the items that are there join `keys`."""
    count = 0
    with parquet_file(path) as file:
        for number, group in enumerate(_key_columns(path)):
            keys |= set(wanted.holds(group, name).iter_rows())
            if wanted.touches(group, name):
                count += wanted.emptied(row_group(file, number, TABLES[name]), name)[1]
    return count


def _emptied(path: Path, name: str, wanted: Forgotten) -> Iterator[pa.Table]:
    with parquet_file(path) as file:
        for number in range(file.num_row_groups):
            yield wanted.emptied(row_group(file, number, TABLES[name]), name)[0]


def _key_columns(path: Path) -> Iterator[pl.DataFrame]:
    """What rows are held against the list by, one row group at a time."""
    with parquet_file(path) as file:
        names = key_columns(file.schema_arrow.names)
        for number in range(file.num_row_groups):
            yield pl.DataFrame(file.read_row_group(number, columns=names))


# -- old versions ----------------------------------------------------------------------------------------------------


def delete_earlier_versions(store: Store, name: str) -> int:
    """Delete every earlier version of a table: the files that only they need, and the log so far; return those files.

    Old log entries contain values of old files. Only under the exclusive lock.
    """
    with explained_errors(f"cleaning the store {store.path}"):
        return end_before(store.path / name).files
