"""Counts what was new in an import: items of its rows that the store did not have before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from msgspec import Struct

from shp_miner.errors import TryLater
from shp_miner.store.lock import shared_lock

if TYPE_CHECKING:
    from shp_miner.store import Snapshot, Store

#: Rows compared at a time; only their keys are read.
_ROWS_EACH = 2_000_000

_TABLES = {"post": ("posts", ["thread_hash"]), "answer": ("answers", ["thread_hash", "answer_id"])}


class Novelty(Struct, frozen=True):
    """Items of an import by kind ("post", "answer"): those new to the store, and those it had."""

    new: dict[str, int]
    known: dict[str, int]


def novelty(before: Snapshot | None, store: Store) -> Novelty | None:
    """Return what is new in a store; None if nobody can tell, because files of `before` were replaced meanwhile.

    `before` is None for a store that did not exist. Range by range only keys are read: those of the new files, and
    those of the earlier files that lie in the same threads.
    """
    try:
        with shared_lock(store.path, "counting what is new"):  # no file that is being read is deleted
            after = store.snapshot()
            if before is not None and not _is_continued(before, after):
                return None
            found = {kind: _count(before, after, name, key) for kind, (name, key) in _TABLES.items()}
    except TryLater:
        return None
    return Novelty(*({kind: counts[place] for kind, counts in found.items()} for place in (0, 1)))


def _is_continued(before: Snapshot, after: Snapshot) -> bool:
    """Whether all files of `before` are still files of `after`."""
    added = after.added_since(before)
    return all(added.rows(name) + before.rows(name) == after.rows(name) for name, _ in _TABLES.values())


def _count(before: Snapshot | None, after: Snapshot, name: str, key: list[str]) -> tuple[int, int]:
    added = after if before is None else after.added_since(before)
    new = known = 0
    for part in added.ranges(_ROWS_EACH) if added.rows(name) else ():
        items = added.scan(name, part).select(key).unique().collect(engine="streaming")
        if before is None or not before.rows(name):
            new += items.height
            continue
        threads = pl.col("thread_hash").is_in(items["thread_hash"].unique().implode())
        earlier = before.scan(name, part).filter(threads).select(key).unique().collect(engine="streaming")
        again = items.join(earlier, on=key, how="semi").height
        known += again
        new += items.height - again
    return new, known
