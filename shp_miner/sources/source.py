"""What a crawler needs of a platform. One class per platform has this shape; the crawl itself knows no platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from shp_miner.sources.items import Answer, Post, Thread


class Listed(msgspec.Struct, frozen=True):
    """A thread in a listing. `changed_at` (microseconds since 1970) is the time that the listing is ordered by.

    Pinned threads stand first whatever their time, so they do not say how far a listing has been read.
    """

    post_id: str
    changed_at: int
    pinned: bool = False


class Listing(msgspec.Struct, frozen=True):
    """One page of a listing. `next` asks for the page after it, null at the end.

    `capped` is a sentence where the platform ends its listing before all threads are listed.
    """

    threads: list[Listed]
    next: str | None = None
    capped: str | None = None


class Items(msgspec.Struct, frozen=True):
    """Items read again by id. What was asked for and is not here is gone."""

    posts: list[Post]
    answers: list[Answer]


class Gone(Exception):
    """The thread is not there any more: `state` is "deleted" or "removed"."""

    def __init__(self, state: Literal["deleted", "removed"]) -> None:
        super().__init__(state)
        self.state = state


class Source(Protocol):
    """A platform's site, read through its API. Every method asks over the network.

    All raise NotAllowed (credentials missing or refused, a private community), BadInput (no such community, no such
    software, answers of a wrong shape) and TryLater (down, throttled for longer than is worth waiting).
    """

    #: The name on the command line ("arctic-shift"), the platform ("reddit") and the site's host ("reddit.com").
    name: str
    platform: str
    site: str

    @property
    def order(self) -> Literal["oldest", "newest"]:
        """Whether a listing starts at the cursor and goes up in time ("oldest"), or starts now and goes down."""
        ...

    #: Whether a thread's place in the listing changes when it is answered, or only says when it was made.
    lists_activity: bool

    #: How many ids one call of `again` takes; 0 where the platform reads only whole threads.
    ids_per_request: int

    def verify(self, community: str) -> str:
        """The community's name as the platform writes it, or a sentence on why it cannot be read."""
        ...

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        """A page of the community's threads, from `since` (microseconds, inclusive) if the platform can do that."""
        ...

    def thread(self, community: str, post_id: str) -> Thread:
        """The post and all its direct replies. Raises Gone."""
        ...

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Items by id, at most `ids_per_request` together; answers are (post_id, answer_id)."""
        ...


@runtime_checkable
class ManyThreads(Protocol):
    """A source whose platform hands out several threads with one request: a better way beside `thread`."""

    threads_per_request: int

    def threads(self, community: str, post_ids: Sequence[str]) -> list[Thread]:
        """The threads that are there, at most `threads_per_request` at a time."""
        ...
