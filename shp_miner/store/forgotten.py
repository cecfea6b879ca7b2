"""Applying the list of the forgotten to rows: forgotten content does not come back.

A person's request holds for ever. A platform's deletion covers what was seen up to its time: a row that was seen live
later ends the deletion, and is stored.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from shp_miner.model import ANSWER, GONE, NO_PROFILE, POST, PROFILE
from shp_miner.platforms.rows import Chunk, Rows, without_the_gone
from shp_miner.store.forgotten_list import (
    FOLDER,
    ITEM_KEY,
    LINE,
    PENDING,
    in_effect,
    names_people,
    part_names,
    read_list,
    write_part,
)
from shp_miner.store.salt import heal_salt, lost_salt

_SCHEMAS = {"posts": POST, "answers": ANSWER}
_KEY = {"posts": ["site", "post_id"], "answers": ["site", "post_id", "answer_id"]}
_PERSON = ["site", "author", "author_id", "author_url"]


class Forgotten:
    """The list, or a part of it, ready to be applied to rows.

    `lines` is a frame of LINE. If `folder` (the list's own) is given, new items of forgotten people, and items that a
    platform shows again, are added to the list there. For a part of the list, `restored` are the lines of that kind in
    the whole list. `items` are, by table, the items to search for: those gone now, and for a part of the list all in
    it.
    """

    def __init__(
        self, lines: pl.DataFrame, salt: bytes, folder: Path | None = None, restored: pl.DataFrame | None = None
    ) -> None:
        self.lines, self._salt, self._folder, self._restored = lines, salt, folder, restored
        items = in_effect(lines, restored)
        of_answer = pl.col("answer_id").is_not_null()
        self._known = {"posts": items.filter(~of_answer), "answers": items.filter(of_answer)}
        self.items = {
            name: known if restored is not None else known.filter(~pl.col("over"))
            for name, known in self._known.items()
        }
        self._people: dict[str, set[str | None]] = {}
        for digest, site in lines.filter(pl.col("digest").is_not_null()).select("digest", "site").iter_rows():
            self._people.setdefault(digest, set()).add(site)
        self._kinds = set(lines["kind"].unique())
        #: The threads of the items, as sorted hashes: what tells most rows at once that nothing of theirs is meant.
        self.threads = np.unique(items["thread_hash"].to_numpy())

    @property
    def names_people(self) -> bool:
        """Whether rows must be checked for people or pages, and not only for ids."""
        return bool(self._people)

    # -- reading and writing the list ---------------------------------------------------------------------------------

    @classmethod
    def load(cls, store: Path, *, pending: bool | None = None) -> Forgotten:
        """Load the list of a store, or with `pending` the part of it that is, or is not, pending.

        Costs one look into a folder that mostly does not exist. Raises BadInput if a file is damaged, or the salt of
        people is lost.
        """
        folder = store / FOLDER
        names = part_names(folder)
        salt = heal_salt(folder)
        known = _loaded.get((folder, pending))
        if known is None or known[0] != (names, salt):
            wanted = [name for name in names if pending is None or name.endswith(PENDING) == pending]
            lines, whole = (read_list(folder, some) for some in (wanted, names))
            if salt is None and names_people(lines):
                raise lost_salt(folder)
            restored = None if pending is None else whole.filter(pl.col("kind") == "restored")
            known = (names, salt), cls(lines, salt or b"", folder, restored)
            _loaded[folder, pending] = known
        return known[1]

    def digest(self, kind: str, value: str) -> str:
        """Return the salted hash of a name, account or page on the list."""
        plain = unicodedata.normalize("NFC", value).strip()
        if kind == "name":
            plain = plain.casefold()
        elif "://" in plain:  # one page, whether it is named with TLS or without, and however its host is written
            host, _, path = plain.partition("://")[2].partition("/")
            plain = f"https://{host.lower()}/{path}".rstrip("/")
        else:
            plain = plain.rstrip("/")
        return hashlib.blake2b(f"{kind}\0{plain}".encode(), key=self._salt, digest_size=16).hexdigest()

    def extended(self, lines: pl.DataFrame) -> Forgotten:
        """Return the list with more lines, without writing them."""
        return Forgotten(pl.concat([self.lines, lines]), self._salt, self._folder, self._restored)

    def part(self, lines: pl.DataFrame) -> Forgotten:
        """Return a list of only these lines, with the same salt."""
        return Forgotten(lines, self._salt)

    # -- holding it against rows --------------------------------------------------------------------------------------

    def filter(self, chunk: Chunk) -> Chunk:
        """Return the chunk as it may be stored: items on the list keep their ids and lose all text and names.

        Items of forgotten people that are new here are added to the list, and so are items that the platform shows
        again. Both are on the disk when this returns, before any of their rows.
        """
        if self.lines.is_empty():
            return chunk
        tables = {"posts": chunk.posts, "answers": chunk.answers}
        columns = {name: _columns(table) for name, table in tables.items()}
        known = self
        if self.names_people:
            known = known._joined_by([self.met(rows, name)[0] for name, rows in columns.items()])
        known = known._joined_by([known.shown_again(rows, name) for name, rows in columns.items()])
        posts, answers = (known.emptied(table, name)[0] for name, table in tables.items())
        return Chunk(posts, answers)

    def _joined_by(self, lines: list[pl.DataFrame]) -> Forgotten:
        """The list with more lines, which are written to its folder."""
        new = pl.concat(lines)
        if new.is_empty():
            return self
        if self._folder is not None:
            write_part(self._folder, new, pending=False)
        return self.extended(new)

    def shown_again(self, rows: pl.DataFrame, name: str) -> pl.DataFrame:
        """Return lines for the list: items that the platform had deleted and that rows show live later.

        `rows` have the `key_columns` of the table. A row without a known time ends no deletion.
        """
        gone = self.items[name].filter(~pl.col("person"))
        if gone.is_empty() or not self._has_thread_of(rows):
            return pl.DataFrame(schema=LINE)
        key = _KEY[name]
        found = (
            rows.filter(pl.col("state") == "live")
            .join(gone.select(*key, "at"), on=key)
            .filter(_seen_at() > pl.col("at"))
            .group_by("thread_hash", *key)
            .agg(_seen_at().max().alias("at"), pl.lit("restored").alias("kind"))
        )
        return pl.concat([pl.DataFrame(schema=LINE), found], how="diagonal")

    def restored_at(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Return when items of some lines were last shown again after a deletion: ITEM_KEY and `seen`."""
        known = pl.concat(self._known.values()).filter(pl.col("back").is_not_null())
        return known.join(lines, on=ITEM_KEY, how="semi", nulls_equal=True).select(*ITEM_KEY, seen="back")

    def met(self, rows: pl.DataFrame, name: str) -> tuple[pl.DataFrame, set[str]]:
        """Find people and pages of the list in rows of "posts" or "answers" (their `key_columns`).

        Returns lines for the list, of items and accounts that are not on it yet, and the digests that were found.
        """
        hits: dict[tuple[Any, ...], list[str]] = {}
        people = rows.select(_PERSON).unique()
        for person in people.iter_rows():
            if found := self._of_person(*person):
                hits[person] = found
        pages = {}
        if "page" in self._kinds:
            pages = {url: digest for url in rows["url"].unique() if url and (digest := self._is("page", url))}
        if not hits and not pages:
            return pl.DataFrame(schema=LINE), set()
        chosen = pl.DataFrame(list(hits), schema={column: rows.schema[column] for column in _PERSON}, orient="row")
        theirs = rows.join(chosen, on=_PERSON, how="semi", nulls_equal=True)
        named = pl.concat([theirs, rows.filter(pl.col("url").is_in(list(pages)))])
        items = named.select("thread_hash", *_KEY[name]).unique()
        items = items.join(self._known[name].filter("person"), on=_KEY[name], how="anti")
        accounts = [
            {"kind": "account", "site": site, "digest": digest}
            for site, _, number, _ in hits
            if number and site not in self._people.get(digest := self.digest("account", number), ())
        ]
        lines = [
            items.with_columns(kind=pl.lit("item"), state=pl.lit("deleted"), by=pl.lit("person")),
            pl.DataFrame(accounts, schema={"kind": pl.String, "site": pl.String, "digest": pl.String}).unique(),
        ]
        filled = pl.concat([pl.DataFrame(schema=LINE), *lines], how="diagonal")
        return filled, {digest for found in hits.values() for digest in found} | set(pages.values())

    def emptied(self, table: pa.Table, name: str) -> tuple[pa.Table, int]:
        """Return the rows of POST or ANSWER without listed content, and how many of them had any.

        The row of a gone item keeps ids, times, scores and state, which is no longer "live". The pages of answers to a
        gone post are removed as well, because their addresses contain its title.
        """
        gone = self._gone(_columns(table), name)
        if gone is None:
            return table, 0
        chosen = gone.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        before = pl.DataFrame(table.filter(chosen.to_arrow()))
        after = _without(before, gone.filter(chosen))
        changed = _differs(before, after)
        if not changed.any():
            return table, 0
        rows = Rows(_SCHEMAS[name])
        rows.add_frame(after.filter(changed))
        kept = np.ones(table.num_rows, bool)
        kept[np.flatnonzero(chosen.to_numpy())[changed.to_numpy()]] = False
        joined = pl.concat([pl.DataFrame(table.filter(pa.array(kept))), pl.DataFrame(rows.take())])
        ordered = joined.sort("thread_hash", maintain_order=True)
        return ordered.to_arrow().cast(table.schema), int(changed.sum())

    def emptied_rows(self, rows: pl.DataFrame, name: str) -> tuple[pl.DataFrame, int]:
        """As `emptied`, for rows with only some of the columns, in their order."""
        gone = self._gone(rows, name)
        if gone is None:
            return rows, 0
        after = _without(rows, gone)
        return after, int(_differs(rows, after).sum())

    def holds(self, rows: pl.DataFrame, name: str) -> pl.DataFrame:
        """Return the items of the rows (their `key_columns`) that are on the list."""
        key = _KEY[name]
        if not self._has_thread_of(rows):
            return self.items[name].select(key).clear()
        return self.items[name].select(key).join(rows.select(key), on=key, how="semi")

    def touches(self, rows: pl.DataFrame, name: str) -> bool:
        """Whether any of the rows (their `key_columns`) may need emptying."""
        return self._gone(rows, name) is not None

    def is_profile(self, community: str) -> bool:
        """Whether a community has the name of somebody on the list."""
        return community.startswith(PROFILE) and bool(self._is("name", community.removeprefix(PROFILE)))

    def _gone(self, rows: pl.DataFrame, name: str) -> pl.DataFrame | None:
        """For each row what is to go, null where nothing: the `state` to leave, `bare` (its page goes), `community`."""
        profiles = {}
        if "name" in self._kinds:
            profiles = {
                community: NO_PROFILE
                for community in rows["community"].unique()
                if community and self.is_profile(community)
            }
        if not (profiles or self._has_thread_of(rows)):
            return None
        key, post = _KEY[name], _KEY["posts"]
        wanted = self._known[name].select(*key, "person", "at", left="state")
        wanted = wanted.join(rows.select(key), on=key, how="semi")
        posts = self._known["posts"].select(*post, post_over="over", post_at="at")
        posts = posts.join(rows.select(post), on=post, how="semi")
        if wanted.is_empty() and posts.is_empty() and not profiles:
            return None
        joined = rows.select(*key, "community", "observed_at").join(wanted, on=key, how="left", maintain_order="left")
        joined = joined.join(posts, on=post, how="left", maintain_order="left")
        # As a deletion ends with what is seen later, all that was seen before, or nobody knows when, goes.
        goes = pl.col("person") | _seen_at().is_null() | (_seen_at() <= pl.col("at"))
        bare = ~pl.col("post_over") | _seen_at().is_null() | (_seen_at() <= pl.col("post_at"))
        bare &= pl.col("post_over").is_not_null() if name == "answers" else pl.col("left").is_not_null() & goes
        new_name = pl.col("community").replace_strict(profiles, default=None, return_dtype=pl.String)
        return joined.select(
            pl.when(goes).then("left").alias("state"),
            pl.when(bare).then(bare).alias("bare"),
            new_name.alias("community"),
        )

    def _has_thread_of(self, rows: pl.DataFrame) -> bool:
        hashes = rows["thread_hash"].to_numpy()
        at = np.searchsorted(self.threads, hashes)
        return bool((at < len(self.threads)).any()) and bool((np.append(self.threads, 0)[at] == hashes).any())

    def _of_person(self, site: str, name: str | None, number: str | None, page: str | None) -> list[str]:
        """The digests of the list that mean this author."""
        told = (("name", name), ("account", number), ("author_url", page))
        return [digest for kind, value in told if value and (digest := self._is(kind, value, site))]

    def _is(self, kind: str, value: str, site: str | None = None) -> str | None:
        if kind not in self._kinds:
            return None
        digest = self.digest(kind, value)
        sites = self._people.get(digest, set())
        return digest if sites and (site is None or None in sites or site in sites) else None


def key_columns(names: Collection[str]) -> list[str]:
    """Return the columns of a table by which rows are compared with the list."""
    columns = ("thread_hash", *_KEY["answers"], *_PERSON[1:], "url", "community", "state", "observed_at")
    return [name for name in columns if name in names]


def _columns(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(table.select(key_columns(table.column_names)))


def _seen_at() -> pl.Expr:
    """When a row was seen, in microseconds since 1970."""
    return pl.col("observed_at").to_physical()


#: Lists as last read, by folder and part. Their files never change, so their names tell whether they are the same.
_loaded: dict[tuple[Path, bool | None], tuple[tuple[tuple[str, ...], bytes | None], Forgotten]] = {}


def _without(rows: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """The rows (any columns of POST or ANSWER) without what goes, as `_gone` says."""
    is_gone, bare = gone["state"].is_not_null(), gone["bare"].is_not_null()
    left = rows.with_columns(
        pl.when(~bare).then("url").alias("url"),
        pl.when(is_gone & (pl.col("state") == "live")).then(gone["state"]).otherwise("state").alias("state"),
        pl.coalesce(gone["community"], "community").alias("community"),
    )
    return without_the_gone(left)


def _differs(before: pl.DataFrame, after: pl.DataFrame) -> pl.Series:
    """Which rows are not the same any more."""
    names: Mapping[str, Any] = {**GONE, "state": None, "community": None}
    differs = pl.repeat(value=False, n=before.height, dtype=pl.Boolean, eager=True)
    for name in names:
        if name in before.columns:
            differs |= before[name].ne_missing(after[name])
    return differs
