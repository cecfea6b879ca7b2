"""A store as frames: the newest observation of each item with its text, all observations, and how it looks in Python.

Threads are read range by range, so that memory holds the result and one range, not the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from shp_miner import shown
from shp_miner.arguments import Moment, Names, several
from shp_miner.errors import UsageError, nearest_name
from shp_miner.model import ANSWER, POST
from shp_miner.platforms.communities import known_communities
from shp_miner.platforms.sites import site_of
from shp_miner.store.snapshot import Snapshot, Within
from shp_miner.tally import counted

Table = Literal["posts", "answers"]

#: Observations read at a time: about 100 MB with texts of the usual length.
ROWS_PER_PIECE = 100_000

#: Up to so many observations, items are counted exactly for `repr`, which takes a moment; above, observations are.
_COUNTED_ROWS = 500_000

_NAMES: dict[str, list[str]] = {"posts": POST.names, "answers": ANSWER.names}
_KEYS = {"posts": ["thread_hash", "site", "post_id"], "answers": ["thread_hash", "site", "post_id", "answer_id"]}


class Frames:
    """The part of Store that reads it into polars frames."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether anything has been written."""
        raise NotImplementedError

    def snapshot(self, as_of: Moment | None = None) -> Snapshot:
        """See Store."""
        raise NotImplementedError

    def posts(
        self,
        *,
        community: Names | None = None,
        site: Names | None = None,
        columns: Names | None = None,
        as_of: Moment | None = None,
    ) -> pl.DataFrame:
        """Return one row (POST) per post: its newest observation, with its text, ordered by thread hash.

        `community` and `site` keep one or several, `columns` name the columns to return (default: all; leave out `body`
        and it is not read), `as_of` is an earlier version ("3.5") or time. Deleted posts are rows too: see `state`.
        Memory holds the result and one piece of the table; for more than fits, use `batches`. Raises BadInput if there
        is no store or no such community, and UsageError for an unknown column or site.
        """
        return self._whole("posts", community, site, columns, as_of)

    def answers(
        self,
        *,
        community: Names | None = None,
        site: Names | None = None,
        columns: Names | None = None,
        as_of: Moment | None = None,
    ) -> pl.DataFrame:
        """Return one row (ANSWER) per answer: its newest observation, with its text; otherwise as `posts`."""
        return self._whole("answers", community, site, columns, as_of)

    def batches(
        self,
        table: Table,
        *,
        community: Names | None = None,
        site: Names | None = None,
        columns: Names | None = None,
        as_of: Moment | None = None,
        rows: int = ROWS_PER_PIECE,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of `posts` or `answers` in pieces, made of about `rows` observations of both tables each.

        The pieces of both tables hold the same threads, each thread complete. Options and errors are as for `posts`.
        """
        snapshot, within, names = self._asked(table, community, site, columns, as_of)
        return _pieces(snapshot, table, within, names, rows)

    def observations(
        self,
        table: Table = "answers",
        *,
        community: Names | None = None,
        site: Names | None = None,
        columns: Names | None = None,
        as_of: Moment | None = None,
    ) -> pl.LazyFrame:
        """Return every observation of "posts" or "answers" lazily: nothing is read before `.collect()`.

        An item has one row for each time at which it was read. `make_pairs` takes them as `observations`. Options and
        errors are as for `posts`.
        """
        snapshot, within, names = self._asked(table, community, site, columns, as_of)
        return snapshot.scan(table).filter(within.holds()).select(names)

    def _whole(
        self, table: Table, community: Names | None, site: Names | None, columns: Names | None, as_of: Moment | None
    ) -> pl.DataFrame:
        pieces = self.batches(table, community=community, site=site, columns=columns, as_of=as_of)
        return pl.concat(pieces, rechunk=False)

    def _asked(
        self, table: str, community: Names | None, site: Names | None, columns: Names | None, as_of: Moment | None
    ) -> tuple[Snapshot, Within, Sequence[str]]:
        """Return what to read: the version, the part of it, and the columns."""
        if table not in _NAMES:
            raise UsageError(f"A store has no table {table!r}.", "Its tables: posts, answers.")
        names = several(columns, "columns") or tuple(_NAMES[table])
        for name in names:
            if name not in _NAMES[table]:
                raise UsageError(f"The {table} of a store have no column {name!r}.", nearest_name(name, _NAMES[table]))
        snapshot = self.snapshot(as_of)
        sites = tuple(sorted({site_of(name) for name in several(site, "site")}))
        _check_sites(snapshot, sites)
        asked = several(community, "community")
        found = known_communities(asked, snapshot.communities(), "The store has") if asked else []
        return snapshot, Within(sites, tuple(found)), names

    def __repr__(self) -> str:
        where = repr(str(self.path))
        # A debugger or a notebook asks for this at any time, so it says what is wrong and raises nothing.
        try:
            if not self.exists:
                return f"Store({where}, not there yet: the first import or crawl makes it)"
            snapshot = self.snapshot()
            return f"Store({where}, version {snapshot.version}: {', '.join(_counts(snapshot))})"
        except Exception as error:  # noqa: BLE001
            return f"Store({where}, cannot be read: {type(error).__name__}; run `shp-miner doctor`)"

    def _repr_html_(self) -> str:
        try:
            if not self.exists:
                return shown.table(repr(self), (), [])
            snapshot = self.snapshot()
            sizes = [(name, snapshot.rows(name), snapshot.size_bytes(name)) for name in _NAMES]
        except Exception:  # noqa: BLE001  (as for repr)
            return shown.table(repr(self), (), [])
        return shown.table(repr(self), ("table", "observations", "bytes"), sizes)


def _pieces(
    snapshot: Snapshot, table: Table, within: Within, names: Sequence[str], rows: int
) -> Iterator[pl.DataFrame]:
    read = snapshot.posts if table == "posts" else snapshot.answers
    for part in snapshot.ranges(max(rows, 1), within):
        newest = read(part, within)[0].sort(_KEYS[table])
        yield (snapshot.bodies(table, part, newest) if "body" in names else newest).select(names)


def _check_sites(snapshot: Snapshot, asked: Sequence[str]) -> None:
    """Raise UsageError for a site that neither table has."""
    if not asked:
        return
    there = sorted(snapshot.sites())
    for name in asked:
        if name not in there:
            raise UsageError(f"The store has no site {name!r}.", nearest_name(name, there))


def _counts(snapshot: Snapshot) -> list[str]:
    """Return the number of items by table; of a large store, the number of observations, which the log has."""
    told = []
    exact = sum(snapshot.rows(name) for name in _NAMES) <= _COUNTED_ROWS
    for name, key in _KEYS.items():
        if exact:
            items = snapshot.scan(name).select(pl.struct(key[0], key[-1]).n_unique()).collect().item()
            told.append(counted(items, name.removesuffix("s")))
        else:
            told.append(f"{snapshot.rows(name):,} observations of {name}")
    return told
