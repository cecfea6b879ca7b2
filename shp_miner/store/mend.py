"""Removing rows that should not be in the store: earlier versions let them in, or a clock was ahead.

A row outside a column's bounds is deleted. A score with a future reading time would win over all later ones until that
time; it stays with an unknown reading time. The log knows which files have such rows, so the search costs no more than
opening the table.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import RemoveAction

from shp_miner.model import EARLIEST_S, SKEW_US, TEXT_COLUMNS, out_of_bounds
from shp_miner.places.lease import confirm
from shp_miner.store.files import row_group, write_tables
from shp_miner.store.lake import TABLES, explained_errors
from shp_miner.store.table import open_table, parquet_file
from shp_miner.store.vacuum import sync_log

#: The reason for a row that is dated in the future, and stays.
IN_FUTURE = "read_in_the_future"


def unsound_rows(folder: Path, name: str, now: int) -> Counter[str]:
    """Count the rows of a table of the store in `folder` that should not be there, by reason.

    `now` is in microseconds since 1970.
    """
    found: Counter[str] = Counter()
    with explained_errors(f"searching the store {folder}"):
        for entry in _suspects(open_table(folder / name), now):
            columns = [column for column in TABLES[name].names if column not in TEXT_COLUMNS]
            with parquet_file(folder / name / unquote(entry)) as file:
                for number in range(file.num_row_groups):
                    _, reasons = _mended(file.read_row_group(number, columns=columns), now)
                    found += reasons
    return found


def mend_table(folder: Path, name: str, now: int) -> Counter[str]:
    """Rewrite the files of a table without unsound rows, in one commit; return their number by reason.

    Only under the exclusive lock.
    """
    table, found = folder / name, Counter[str]()
    with explained_errors(f"mending the store {folder}"):
        delta = open_table(table)
        before = delta.version()
        actions: list[object] = []
        for entry in _suspects(delta, now):
            path = table / unquote(entry)
            reasons, kept = _count(path, name, now)
            if not reasons:
                continue
            found += reasons
            now_ms = time.time_ns() // 1_000_000
            actions.append(RemoveAction(entry, data_change=True, deletion_timestamp=now_ms))
            if kept:
                actions.append(write_tables(table, TABLES[name], _groups(path, name, now)))
        if actions:
            confirm()
            delta.create_write_transaction(actions, mode="append", schema=delta.schema(), partition_by=[])  # type: ignore[arg-type]
            sync_log(table, before)
    return found


def is_suspect(folder: Path, now: int) -> bool:
    """Whether any table of the store in `folder` may hold such rows."""
    with explained_errors(f"searching the store {folder}"):
        return any(_suspects(open_table(folder / name), now) for name in TABLES)


def _suspects(delta: DeltaTable, now: int) -> list[str]:
    """The files that hold such rows, as the log names them."""
    entries = pl.DataFrame(delta.get_add_actions(flatten=True))
    needed = {"null_count.community", "null_count.created_at", "min.created_at", "max.created_at", "max.observed_at"}
    if entries.is_empty() or not needed <= set(entries.columns):
        return []
    late = now + SKEW_US
    bad = pl.any_horizontal(
        pl.col("null_count.community") > 0,
        pl.col("null_count.created_at") > 0,
        pl.col("min.created_at").to_physical() < EARLIEST_S * 1_000_000,
        *(pl.col(f"max.{name}").to_physical() > late for name in ("created_at", "observed_at")),
    )
    return entries.filter(bad.fill_null(value=False))["path"].to_list()


def _count(path: Path, name: str, now: int) -> tuple[Counter[str], int]:
    found, kept = Counter[str](), 0
    with parquet_file(path) as file:
        for number in range(file.num_row_groups):
            mended, reasons = _mended(row_group(file, number, TABLES[name]), now)
            found += reasons
            kept += mended.height
    return found, kept


def _groups(path: Path, name: str, now: int) -> Iterator[pa.Table]:
    with parquet_file(path) as file:
        for number in range(file.num_row_groups):
            mended, _ = _mended(row_group(file, number, TABLES[name]), now)
            if mended.height:
                yield mended.to_arrow().cast(TABLES[name])


def _mended(group: pa.Table, now: int) -> tuple[pl.DataFrame, Counter[str]]:
    rows = pl.DataFrame(group)
    why = out_of_bounds(rows)
    found = Counter(dict(why.drop_nulls().value_counts().iter_rows()))
    rows = rows.filter(why.is_null())
    late = (rows["observed_at"].to_physical() > now + SKEW_US).fill_null(value=False)
    if late.any():
        found[IN_FUTURE] += int(late.sum())
        rows = rows.with_columns(observed_at=pl.when(late).then(None).otherwise(rows["observed_at"]))
    return rows, found
