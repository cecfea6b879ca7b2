"""A bench for whole crawls: an embedded forum, a store, a clock, and a look at what came of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec import structs

from shp_miner.crawling.run import Crawled, crawl, recheck
from shp_miner.forum import World
from shp_miner.forum.live import Community
from shp_miner.forum.serve.arctic_shift import ArcticShiftApi
from shp_miner.forum.serve.discourse import DiscourseApi
from shp_miner.forum.serve.faults import Signal
from shp_miner.forum.serve.lemmy import LemmyApi, LemmyOldApi
from shp_miner.forum.serve.message import Platform, Request
from shp_miner.forum.serve.nodebb import NodebbApi
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET, RedditApi
from shp_miner.forum.serve.server import Forum
from shp_miner.forum.serve.stackexchange import StackExchangeApi
from shp_miner.platforms.items import Post, Thread
from shp_miner.sources import registry
from shp_miner.sources.http import Budget, Clocks, MemoryClocks
from shp_miner.sources.registry import Access
from shp_miner.sources.table import ROWS
from shp_miner.store import Store

from .web import FakeClock, grown

DAY_S = 86_400.0
CREDENTIALS = {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET, "USER_AGENT": "reader"}


@dataclass(frozen=True)
class Kind:
    """A source with the platform that it reads.

    `signal` is how the platform says "too many requests", `field` a number without which nothing can be done. `pages`
    are constants of sources and platforms that make pages small: (module, name, value).
    """

    source: str
    view: Callable[[Community], Any]
    signal: Signal
    field: str
    site: str | None = "forum.example"
    community: str = "workbench"
    pages: tuple[tuple[str, str, int], ...] = ()


SERVE, SOURCES = "shp_miner.forum.serve", "shp_miner.sources"

KINDS = {
    "reddit": Kind(
        "reddit", RedditApi, "reddit", "score", None,
        pages=((f"{SERVE}.reddit", "_PAGE", 3), (f"{SERVE}.reddit", "_TREE", 2)),
    ),
    "arctic-shift": Kind("arctic-shift", ArcticShiftApi, "arctic_shift", "created_utc", None),
    "stackexchange": Kind(
        "stackexchange", StackExchangeApi, "stackexchange", "score", "workbench.stackexchange.com", "all",
        pages=(
            (f"{SOURCES}.stackexchange", "_PAGE_SIZE", 3),
            (f"{SOURCES}.stackexchange.StackExchange", "threads_per_request", 3),
        ),
    ),
    "lemmy-v4": Kind(
        "lemmy", LemmyApi, "retry_after_seconds", "score", pages=((f"{SOURCES}.lemmy_v4", "PAGE_SIZE", 3),)
    ),
    "lemmy-v3": Kind("lemmy", LemmyOldApi, "silent", "score", pages=((f"{SOURCES}.lemmy_v4", "PAGE_SIZE", 3),)),
    "discourse": Kind(
        "discourse", DiscourseApi, "discourse", "id",
        pages=(
            (f"{SERVE}.discourse", "_TOPICS", 3),
            (f"{SERVE}.discourse", "_POSTS", 4),
            (f"{SOURCES}.discourse", "_POSTS_PER_REQUEST", 4),
        ),
    ),
    "nodebb": Kind(
        "nodebb", NodebbApi, "retry_after_date", "votes",
        pages=((f"{SERVE}.nodebb", "_TOPICS", 3), (f"{SERVE}.nodebb", "_POSTS", 4)),
    ),
}  # fmt: skip


@dataclass
class Bench:
    """A forum that is served, and a store that a source fills from it. The crawl's clock moves only when it waits."""

    kind: Kind
    forum: Forum
    view: Platform
    store: Store
    clock: FakeClock
    clocks: Clocks = field(default_factory=MemoryClocks)

    @property
    def community(self) -> Community:
        return self.forum.community

    @property
    def requests(self) -> list[Request]:
        return self.forum.requests(self.view.platform)

    def access(self, **budget: Any) -> Access:
        return Access(
            site=self.kind.site,
            url=self.forum.url(self.view.platform),
            allow_private=True,
            clocks=self.clocks,
            clock=self.clock,
            budget=Budget(**budget, clock=self.clock),
        )

    def crawl(self, limit: int | None = None, **budget: Any) -> Crawled:
        (done,) = crawl(self.kind.source, [self.kind.community], self.store, self.access(**budget), limit=limit)
        return done

    def recheck(self) -> Crawled:
        (done,) = recheck(self.store, self.access())
        return done

    def asked(self, run: Callable[[], Crawled]) -> tuple[Crawled, list[Request]]:
        """What a run did, and what it asked."""
        before = len(self.requests)
        done = run()
        return done, self.requests[before:]

    def pass_time(self, seconds: float) -> None:
        """Time passes for the community and for whoever crawls it."""
        self.clock.time += seconds
        self.community.advance(max(0.0, self.clock.time - self.community.now_s))


@contextmanager
def bench(name: str, folder: Path, community: Community, small_pages: bool = False) -> Iterator[Bench]:
    """A source's bench. The folder is the store's."""
    kind = KINDS[name]
    view = kind.view(community)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for variable, value in CREDENTIALS.items():
            patch.setenv(f"SHP_MINER_REDDIT_{variable}", value)
        for module, constant, size in kind.pages if small_pages else ():
            patch.setattr(f"{module}.{constant}", size)
        forum = stack.enter_context(Forum(community, [view]))
        yield Bench(kind, forum, view, Store(folder), FakeClock(community.now_s))


def settled(threads: int, *, seed: int = 3, readers: float = 60) -> Community:
    """A community in which everything has happened."""
    return grown(World(threads=threads, mean_readers=readers), seed=seed)


def with_limits(*, patch: pytest.MonkeyPatch, **changes: float) -> None:
    """Change what all sources are allowed."""
    for name in ROWS:
        module = registry.module(name)
        patch.setattr(module, "LIMITS", structs.replace(module.LIMITS, **changes))


def bare(post_id: str, created_at: int = 0) -> Thread:
    """A thread to mark as read, where nothing else matters."""
    return Thread(Post(post_id=post_id, created_at=created_at, body="", body_format="text", score=1, title=""), [])


# What came of it

_KEY = {"posts": ["site", "post_id"], "answers": ["site", "post_id", "answer_id"]}


def rows(store: Store, table: str) -> pl.DataFrame:
    """All observations of a table."""
    return store.snapshot().scan(table).collect()


def content(store: Store) -> dict[str, pl.DataFrame]:
    """The newest observation of every item, without the time when that was made and what follows from it."""
    return {
        table: rows(store, table)
        .sort("observed_at", nulls_last=False, maintain_order=True)
        .unique(key, keep="last")
        .drop("observed_at", "content_hash")
        .sort(key)
        for table, key in _KEY.items()
    }


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for table, key in _KEY.items():
        there, wanted = (
            {tuple(row[name] for name in key): row for row in part[table].to_dicts()} for part in (found, expected)
        )
        assert there.keys() == wanted.keys(), f"{table}: {there.keys() ^ wanted.keys()}"
        differing = [
            (one, name, row[name], wanted[one][name])
            for one, row in there.items()
            for name in row
            if row[name] != wanted[one][name]
        ]
        assert differing == [], f"{table}: {differing[:5]}"


def doubled(store: Store) -> list[tuple[Any, ...]]:
    """Items that were stored more than once."""
    return [
        row
        for table, key in _KEY.items()
        for row in rows(store, table).group_by(key).len().filter(pl.col("len") > 1).rows()
    ]


def waiting(store: Store) -> set[str]:
    """The threads that the crawl's state says are still to be read."""
    return {row[0] for row in _state(store, "NOT gone AND (read_change IS NULL OR read_change < changed_at)")}


def marked(store: Store) -> dict[str, set[str]]:
    """The threads that the state says are read, with their answers."""
    found: dict[str, set[str]] = {row[0]: set() for row in _state(store, "read_change >= changed_at AND NOT gone")}
    with closing(sqlite3.connect(store.path / "crawl.sqlite")) as database:
        for post_id, answer_id in database.execute("SELECT post_id, answer_id FROM answers WHERE NOT gone"):
            if post_id in found:
                found[post_id].add(answer_id)
    return found


def _state(store: Store, where: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store.path / "crawl.sqlite")) as database:
        return database.execute(f"SELECT post_id FROM threads WHERE {where}").fetchall()
