"""Reading the store at one version: ranges of thread hashes, the newest observation of each item, bodies last."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from msgspec import Struct

from shp_miner.model import ANSWER, OPTIONAL, POST, frame_schema
from shp_miner.store.table import scan_files

_LOWEST, _BEYOND = -(1 << 63), 1 << 63

SCHEMAS = {"posts": frame_schema(POST), "answers": frame_schema(ANSWER)}

_FILE_COLUMNS = {"path": pl.String, "rows": pl.Int64, "bytes": pl.Int64, "lowest": pl.Int64, "highest": pl.Int64}

#: Rows of which ids and times are looked at together: they take about 200 bytes each in memory.
ROWS_EACH = 500_000

_POST_KEY = ("thread_hash", "site", "post_id")
_ANSWER_KEY = (*_POST_KEY, "answer_id")


@dataclass(frozen=True)
class HashRange:
    """Thread hashes from `start` up to but not including `stop`: a set of complete threads."""

    start: int
    stop: int

    def holds(self) -> pl.Expr:
        """Whether a row's thread lies in the range."""
        # The last range ends beyond what 64 bits hold; comparing with its last member says the same.
        return pl.col("thread_hash").is_between(self.start, self.stop - 1)


#: The whole of the hash space.
EVERYTHING = HashRange(_LOWEST, _BEYOND)


class Within(Struct, frozen=True):
    """A part of a store: rows of any of `sites` and of any of `communities` (as stored); empty means all.

    `places`, if not empty, are sites with some communities each (none means the whole site).
    """

    sites: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()
    places: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def holds(self) -> pl.Expr:
        """Whether a row is of that part."""
        parts = [pl.lit(value=True)]
        if self.sites:
            parts.append(pl.col("site").is_in(self.sites))
        if self.communities:
            parts.append(pl.col("community").is_in(self.communities))
        if self.places:
            parts.append(pl.any_horizontal(Within((site,), names).holds() for site, names in self.places))
        return pl.all_horizontal(parts)


#: The whole store.
EVERYWHERE = Within()


class Snapshot:
    """Both tables at one version each. What it reads never changes, whatever is appended meanwhile."""

    def __init__(self, folder: Path, posts: DeltaTable, answers: DeltaTable) -> None:
        self.folder = folder
        self._tables = {"posts": posts, "answers": answers}
        self._files = {name: _files(folder / name, table) for name, table in self._tables.items()}

    @property
    def version(self) -> str:
        """The versions of the posts and the answers table as "P.A", which `as_of` takes."""
        return f"{self.versions['posts']}.{self.versions['answers']}"

    @property
    def versions(self) -> dict[str, int]:
        """Each table's version."""
        return {name: table.version() for name, table in self._tables.items()}

    def files(self, name: str) -> int:
        """Data files of a table at this version."""
        return self._files[name].height

    def rows(self, name: str) -> int:
        """Rows (observations) of a table, from the log alone."""
        return int(self._files[name]["rows"].sum())

    def counted(self) -> dict[str, tuple[str, int]]:
        """Return each table's own id, which it gets when it is created, and its number of rows."""
        return {name: (str(table.metadata().id), self.rows(name)) for name, table in self._tables.items()}

    @property
    def made_us(self) -> int:
        """Return when the tables were created, in microseconds since 1970, before any row was added; 0 if unknown."""
        return (self._tables["posts"].metadata().created_time or 0) * 1000

    def size_bytes(self, name: str) -> int:
        """Bytes on disk of a table's files at this version."""
        return int(self._files[name]["bytes"].sum())

    def added_since(self, older: Snapshot) -> Snapshot:
        """Return the same tables at the same versions, with only the files that `older` does not have."""
        added = copy(self)
        added._files = {
            name: files.join(older._files[name], on="path", how="anti") for name, files in self._files.items()
        }
        return added

    def ranges(self, rows_each: int = ROWS_EACH, within: Within = EVERYWHERE) -> list[HashRange]:
        """Equal parts of the hash space, of about `rows_each` rows: hashes are uniform, so the parts are too.

        Rows outside of `within` do not count. Fewer parts are read faster, since a part's ends cut row groups.
        """
        rows = sum(self.rows(name) if within == EVERYWHERE else self._rows_of(name, within) for name in self._tables)
        count = max(1, -(-rows // rows_each))
        edges = [_LOWEST + (i << 64) // count for i in range(count)] + [_BEYOND]
        return [HashRange(start, stop) for start, stop in pairwise(edges)]

    def scan(self, name: str, part: HashRange = EVERYTHING) -> pl.LazyFrame:
        """Every observation of "posts" or "answers" in a range, lazily."""
        # The log knows which hashes each file holds, so the others are not even opened.
        files = self._files[name].filter(pl.col("highest") >= part.start, pl.col("lowest") < part.stop)
        if files.is_empty():
            return pl.DataFrame(schema=SCHEMAS[name]).lazy()
        # What earlier versions let in without a community is nowhere; `doctor --repair` takes it out.
        placed = pl.col("community").is_not_null()
        # Files of earlier schemas lack columns: these are null.
        scanned = scan_files(files["path"].to_list(), schema=SCHEMAS[name], missing_columns="insert")
        return scanned.filter(part.holds(), placed)

    def posts(
        self, part: HashRange, within: Within = EVERYWHERE, *, keep_unreadable: bool = False
    ) -> tuple[pl.DataFrame, int]:
        """The newest observation of each post of the range, and how many items contradict themselves.

        Rows are POST without `body`, in no order. An item contradicts itself if two observations of the same time
        differ: one of them is taken, always the same. With `keep_unreadable`, what could not be read at some time is as
        it was last read.
        """
        return self._newest("posts", _POST_KEY, part, within, keep_unreadable)

    def answers(
        self, part: HashRange, within: Within = EVERYWHERE, *, keep_unreadable: bool = False
    ) -> tuple[pl.DataFrame, int]:
        """The newest observation of each answer of the range; otherwise as `posts`."""
        return self._newest("answers", _ANSWER_KEY, part, within, keep_unreadable)

    def communities(self) -> set[str]:
        """The names of all communities, as they are stored."""
        return self._values("community", SCHEMAS)

    def sites(self, *tables: str) -> set[str]:
        """The sites of tables, as they are stored; by default of both."""
        return self._values("site", tables or SCHEMAS)

    def unreadable(self, name: str, part: HashRange = EVERYTHING, within: Within = EVERYWHERE) -> int:
        """Count the items of "posts" or "answers" in a range that could not be read when last requested."""
        key = _POST_KEY if name == "posts" else _ANSWER_KEY
        rows = self.scan(name, part).filter(within.holds())
        hidden = rows.filter(pl.col("state") == "unreadable").select(key).unique().collect(engine="streaming")
        if hidden.is_empty():
            return 0
        rows = rows.filter(pl.col("thread_hash").is_in(hidden["thread_hash"].unique().implode()))
        seen = rows.select(*key, "observed_at", "content_hash", "state").collect(engine="streaming")
        newest = in_order(seen.join(hidden, on=key, how="semi"), key).unique(key, keep="last", maintain_order=True)
        return int((newest["state"] == "unreadable").sum())

    def bodies(self, name: str, part: HashRange, wanted: pl.DataFrame) -> pl.DataFrame:
        """`wanted` (rows that `posts` or `answers` gave) with their column `body`, in the same order."""
        on = [*(_POST_KEY if name == "posts" else _ANSWER_KEY), "content_hash"]
        # A number is what rows can be chosen by before their bodies are taken apart: it need not be the only one.
        chosen = pl.col("content_hash").is_in(wanted["content_hash"].implode())
        found = self.scan(name, part).filter(chosen).select(*on, "body").collect().unique(subset=on, keep="any")
        return wanted.join(found, on=on, how="left", maintain_order="left")

    def _values(self, column: str, tables: Collection[str]) -> set[str]:
        values = [self.scan(name).select(pl.col(column).unique()).collect(engine="streaming") for name in tables]
        return set(pl.concat(values)[column].drop_nulls())

    def _rows_of(self, name: str, within: Within) -> int:
        return int(self.scan(name).filter(within.holds()).select(pl.len()).collect().item())

    def _newest(
        self, name: str, key: tuple[str, ...], part: HashRange, within: Within, keep_unreadable: bool
    ) -> tuple[pl.DataFrame, int]:
        found = self.scan(name, part).drop("body")
        if within != EVERYWHERE:
            found = found.filter(within.holds())
        if keep_unreadable:
            found = found.filter(pl.col("state") != "unreadable")
        rows = found.collect()
        # Most stores saw most items once. One number an item tells which ones may have been seen again: equal keys have
        # equal numbers, and where different keys share one, nothing is lost but time.
        number = rows.select(pl.col("thread_hash").hash() ^ pl.col(key[-1]).hash()).to_series()
        if number.n_unique() == rows.height:
            return rows, 0
        repeated = number.is_duplicated()
        again = in_order(rows.filter(repeated), key)
        same_item = pl.struct(key) == pl.struct(key).shift(1)
        same_time = pl.col("observed_at").eq_missing(pl.col("observed_at").shift(1))
        other = pl.col("content_hash") != pl.col("content_hash").shift(1)
        # Who knows more of the same moment contradicts nobody.
        other &= _known(again) == _known(again).shift(1)
        contradicting = again.filter(same_item & same_time & other).select(key).unique().height
        newest = again.unique(subset=key, keep="last", maintain_order=True)
        return pl.concat([rows.filter(~repeated), newest]), contradicting


def in_order(rows: pl.DataFrame, key: Collection[str]) -> pl.DataFrame:
    """Return observations by item; the last one of each item counts.

    That is the newest. Of several with the same time, a deletion is last, and else the one that says more: a file that
    an earlier version read without its numbers may have been imported again.
    """
    gone = pl.col("state").replace_strict({"live": 0, "unreadable": 1}, default=2, return_dtype=pl.Int8)
    return rows.sort(*key, "observed_at", gone, _known(rows), "content_hash", nulls_last=False)


def _known(rows: pl.DataFrame) -> pl.Expr:
    """How many of the columns in OPTIONAL that `rows` has say something."""
    names = [name for name in OPTIONAL if name in rows.columns]
    return pl.sum_horizontal(pl.col(names).is_not_null()) if names else pl.repeat(0, pl.len())


def _files(folder: Path, table: DeltaTable) -> pl.DataFrame:
    """The table's files: path, rows, bytes, lowest and highest thread hash.

    Paths are made here and not by a library, since those confuse names with a space or a percent sign in them.
    """
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    if actions.is_empty():
        return pl.DataFrame(schema=_FILE_COLUMNS)
    return actions.select(
        pl.Series("path", [str(folder / unquote(path)) for path in actions["path"]], dtype=pl.String),
        pl.col("num_records").cast(pl.Int64).alias("rows"),
        pl.col("size_bytes").cast(pl.Int64).alias("bytes"),
        pl.col("min.thread_hash").alias("lowest"),
        pl.col("max.thread_hash").alias("highest"),
    )
