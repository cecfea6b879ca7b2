"""Finds a thread of a store by its id, the id of an answer or a pair, or its address on the web."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

import polars as pl
from msgspec import Struct

from shp_miner.errors import UsageError
from shp_miner.model import thread_hash
from shp_miner.platforms.sites import site_of
from shp_miner.store import HashRange, Snapshot
from shp_miner.store.snapshot import SCHEMAS

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)

#: What stands before a thread's id in an address. After the first, the id is next; after the others it is the next
#: number, since a title may stand between.
_BEFORE_ID = ("comments", "questions", "q", "t", "topic", "post")

#: Doors to a site that only shorten its addresses.
_SHORT = {"redd.it": "reddit.com"}


class ThreadKey(Struct, frozen=True):
    """The key of a thread."""

    site: str
    post_id: str

    @property
    def part(self) -> HashRange:
        """Return the range of hashes that has this thread alone: only files that can have it are read."""
        number = thread_hash(self.site, self.post_id)
        return HashRange(number, number + 1)


def find_thread(
    snapshot: Snapshot, thread: str, site: str | None = None, sites: Iterable[str] | None = None
) -> ThreadKey:
    """Return the thread with an id or an address. Raises UsageError if there is none, or one on each of several sites.

    `site` says which site is meant. `sites` are those of the store; if they are not given, a column is read for them.
    """
    if _ADDRESS.match(thread):
        found = _by_address(snapshot, thread, None if site is None else site_of(site))
    else:
        post_id = thread.strip()
        asked = dict.fromkeys((post_id, post_id.removeprefix("t3_")))  # a prefix of Reddit's API
        # A thread whose post the store does not have is on a site of answers.
        places: Iterable[list[str]] = (sorted(snapshot.sites(name)) for name in SCHEMAS)
        if site or sites is not None:
            places = [[site_of(site)] if site else sorted(sites or ())]
        of_places = (_named(asked, sites) for sites in places)
        there = ([key for key in keys if _is_there(snapshot, key)] for keys in of_places)
        found = next(filter(None, there), []) or _of_answer(snapshot, post_id, None if site is None else site_of(site))
    if not found:
        raise UsageError(
            f"The store has no thread {thread!r}{f' of {site}' if site else ''}.",
            "Give the id of the post or of an answer as the platform writes it, the id of a pair, or an address."
            " `shp-miner stats` shows the sites.",
        )
    if len(found) > 1:
        names = [known.site for known in found]
        raise UsageError(
            f"{len(found)} sites have a thread {thread!r}: {', '.join(names)}.", f"Say which one: --site {names[0]}."
        )
    return found[0]


def _named(asked: Iterable[str], sites: Iterable[str]) -> list[ThreadKey]:
    """What may be meant by a post's id, SITE/ID, or the id of one of its pairs (SITE/ID/ANSWER-ANSWER)."""
    keys = []
    for site in sites:
        for written in asked:
            below = written.removeprefix(f"{site}/")
            ids = [written] if below == written else [written, below, below.rpartition("/")[0]]
            keys += [ThreadKey(site, post_id) for post_id in ids if post_id]
    return keys


def _of_answer(snapshot: Snapshot, answer_id: str, site: str | None) -> list[ThreadKey]:
    """The threads with an answer of this id. A column of the whole store is read for it."""
    asked = pl.col("answer_id").is_in([answer_id, answer_id.removeprefix("t1_")])  # a prefix of Reddit's API
    if site is not None:
        asked &= pl.col("site") == site
    rows = snapshot.scan("answers").filter(asked).select("site", "post_id").unique().collect(engine="streaming")
    return [ThreadKey(*row) for row in rows.sort("site", "post_id").iter_rows()]


def _by_address(snapshot: Snapshot, address: str, site: str | None) -> list[ThreadKey]:
    parts = urlsplit(address)
    words = [unquote(word) for word in parts.path.split("/") if word]
    host = site_of(parts.netloc)
    host = _SHORT.get(host, host)
    # A forum that does not lie at its host's root has a part of the path in its name.
    below = ["/".join([host, *words[:count]]).lower() for count in range(len(words) + 1)]
    sites = below if site is None else [site]
    for post_id in _ids(words):
        found = [known for name in sites if _is_there(snapshot, known := ThreadKey(name, post_id))]
        if found:
            return found
    rows = snapshot.scan("posts").filter(pl.col("url") == address).select("site", "post_id").unique().collect()
    return [ThreadKey(*row) for row in rows.sort("site", "post_id").iter_rows() if site in (None, row[0])]


def _ids(words: list[str]) -> list[str]:
    """What may be the id of a thread in the words of an address, the likeliest first."""
    for mark in _BEFORE_ID:
        if mark in words:
            after = words[words.index(mark) + 1 :]
            return after[:1] if mark == _BEFORE_ID[0] else [word for word in after if word.isdigit()][:1]
    return words[:1]


def _is_there(snapshot: Snapshot, thread: ThreadKey) -> bool:
    own = (pl.col("site") == thread.site) & (pl.col("post_id") == thread.post_id)
    tables = (snapshot.scan(name, thread.part).filter(own).select(pl.len()) for name in SCHEMAS)
    return any(rows.collect().item() for rows in tables)
