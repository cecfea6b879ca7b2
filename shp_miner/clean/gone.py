"""What is deleted, removed or hidden, and what accounts wrote that do not exist any more."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.filter import ItemFilter


def _in_state(state: str) -> ItemFilter:
    return ItemFilter(state, lambda _: pl.col("state") == state)


GONE = tuple(map(_in_state, ("deleted", "removed", "unreadable")))
DELETED_AUTHOR = ItemFilter("author_deleted", lambda _: pl.col("author_deleted"))
