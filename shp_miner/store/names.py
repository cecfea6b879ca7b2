"""Sites that earlier versions stored under another name, and merging them with today's names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake.transaction import RemoveAction

from shp_miner.model import thread_hash
from shp_miner.places.lease import confirm
from shp_miner.platforms.rows import Rows
from shp_miner.platforms.sites import site_of
from shp_miner.store.database import database_file, opened_database
from shp_miner.store.files import row_group, write_tables
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import add_lines
from shp_miner.store.found import Fault
from shp_miner.store.lake import TABLES, Store, explained_errors
from shp_miner.store.table import open_table, parquet_file, scan_files
from shp_miner.transaction import transaction

#: Tables of the crawl's file that know threads by site, and those of them that know a community.
_OF_SITES = ("sites", "windows", "threads", "answers", "doubts")
_OF_COMMUNITIES = ("windows", "threads", "doubts")

#: The platform of a site, its name in the store, and today's.
Renamed = tuple[str, str, str]


def check_names(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Yield sites stored under an old name: crawls of Stack Exchange once used the short name."""
    found = _renamed(folder)
    for platform, old, new in found:
        if fix:
            _join(folder, (platform, old, new))
        yield Fault(
            f"The site {new} is also in the store as {old}: its threads may be there twice.",
            "joined under one name",
            fixed=fix,
        )


def _renamed(folder: Path) -> list[Renamed]:
    store = Store(folder)
    if not store.exists:
        return []
    snapshot = store.snapshot()
    seen = {
        (str(platform), str(site))
        for name in TABLES
        for platform, site in snapshot.scan(name).select("platform", "site").unique().drop_nulls().collect().rows()
    }
    today = {(platform, site, site_of(site, stackexchange=platform == "stackexchange")) for platform, site in seen}
    return sorted(site for site in today if site[1] != site[2])


def _join(folder: Path, renamed: Renamed) -> None:
    """Rename in the list of the forgotten, the crawl's file and the tables, in this order: it can be done again."""
    _join_list(folder, *renamed[1:])
    _join_crawls(folder, *renamed[1:])
    with explained_errors(f"joining sites in the store {folder}"):
        for name in TABLES:
            _join_table(folder, name, renamed)


def _join_list(folder: Path, old: str, new: str) -> None:
    """What was forgotten under the old name stays forgotten under the new one."""
    lines = Forgotten.load(folder).lines.filter(pl.col("site") == old)
    if lines.is_empty():
        return
    hashes = [None if post is None else thread_hash(new, post) for post in lines["post_id"]]
    told = lines.with_columns(site=pl.lit(new), thread_hash=pl.Series(hashes, dtype=pl.Int64))
    add_lines(folder, told, pending=True)


def _join_crawls(folder: Path, old: str, new: str) -> None:
    if not database_file(folder).exists():
        return
    with closing(opened_database(folder)) as database, transaction(database):
        for table in _OF_SITES:
            database.execute(f"UPDATE OR IGNORE {table} SET site = ? WHERE site = ?", (new, old))  # noqa: S608
            database.execute(f"DELETE FROM {table} WHERE site = ?", (old,))  # noqa: S608
        for table in _OF_COMMUNITIES:  # a whole site is a community of its name
            where = "WHERE site = ? AND community = ?"
            database.execute(f"UPDATE OR IGNORE {table} SET community = ? {where}", (new, new, old))  # noqa: S608


def _join_table(folder: Path, name: str, renamed: Renamed) -> None:
    """Write the files anew that hold rows of an old name, in one commit."""
    table = folder / name
    delta = open_table(table)
    actions: list[object] = []
    for entry in pl.DataFrame(delta.get_add_actions(flatten=True))["path"]:
        path = table / unquote(entry)
        if scan_files([path]).select(_is_old(renamed).any()).collect().item():
            written = write_tables(table, TABLES[name], _with_names(path, name, renamed))
            removed = RemoveAction(entry, data_change=True, deletion_timestamp=time.time_ns() // 1_000_000)
            actions += [removed, written]
    if actions:
        confirm()
        delta.create_write_transaction(actions, mode="append", schema=delta.schema(), partition_by=[])  # type: ignore[arg-type]


def _with_names(path: Path, name: str, renamed: Renamed) -> Iterator[pa.Table]:
    """A file's rows with today's name, by row group."""
    _, old, new = renamed
    mine = _is_old(renamed)
    with parquet_file(path) as file:
        for number in range(file.num_row_groups):
            frame = pl.DataFrame(row_group(file, number, TABLES[name]))
            community = pl.when(pl.col("community") == old).then(pl.lit(new)).otherwise("community")
            changed = {"site": pl.lit(new), "community": community}
            for column in ("url", "author_url"):
                changed[column] = pl.col(column).str.replace(f"https://{old}/", f"https://{new}/", literal=True)
            frame = frame.with_columns(
                pl.when(mine).then(value).otherwise(column).alias(column) for column, value in changed.items()
            )
            rows = Rows(TABLES[name])
            rows.add_frame(frame)
            yield rows.take()


def _is_old(renamed: Renamed) -> pl.Expr:
    return (pl.col("platform") == renamed[0]) & (pl.col("site") == renamed[1])
