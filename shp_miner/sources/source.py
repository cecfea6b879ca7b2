"""The interface of a platform for a crawler. Each platform has one class of this shape; the crawl knows no platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from shp_miner.platforms.items import Answer, Post, Thread


class Listed(msgspec.Struct, frozen=True):
    """A thread in a listing. `changed_at` (microseconds since 1970) is the time that the listing is ordered by.

    Pinned threads stand first whatever their time, so they do not say how far a listing has been read.
    """

    post_id: str
    changed_at: int
    pinned: bool = False


class Listing(msgspec.Struct, frozen=True):
    """One page of a listing. `next` asks for the page after it, null at the end.

    `capped` is a sentence where the platform ends its listing before all threads are listed. `lossy` says that records
    of the page could not be used.
    """

    threads: list[Listed]
    next: str | None = None
    capped: str | None = None
    lossy: bool = False


class Items(msgspec.Struct, frozen=True):
    """Items read again by id. Requested items that are not here could not be read; see `Source.looks_up`."""

    posts: list[Post]
    answers: list[Answer]


#: Why an item could not be read, where no flag of the platform says that it is gone. "missing": the API itself says
#: that there is no such item. "forbidden": the API itself refuses this item. "closed": nobody without an account may
#: read here (401, a redirect to a log-in, a closed community). "wall": a web page or nothing stood in the place of the
#: API's answer.
Evidence = Literal["missing", "forbidden", "closed", "wall"]


class Unreadable(Exception):
    """The thread could not be read, without proof that it is gone. `why` is a sentence for people."""

    def __init__(self, evidence: Evidence, why: str) -> None:
        super().__init__(evidence, why)
        self.evidence = evidence
        self.why = why


class Gone(Exception):
    """The platform's own flag marks the thread as gone: `state` is "deleted" or "removed"."""

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

    #: Whether an item that a look-up by id leaves out, while it hands out others, is gone by the platform's own word.
    looks_up: bool

    #: Whether observations bear an earlier time than that of asking: an archive tells what it once read.
    tells_the_past: bool

    def verify(self, community: str) -> str:
        """Return the community's name as the platform writes it, or raise an error that says why it cannot be read."""
        ...

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        """Return a page of the community's threads, from `since` (microseconds, inclusive) if the platform can."""
        ...

    def thread(self, community: str, post_id: str) -> Thread:
        """Return the post and all its direct replies. Raises Gone and Unreadable."""
        ...

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Return items by id, at most `ids_per_request` together; answers are (post_id, answer_id)."""
        ...


@runtime_checkable
class ManyThreads(Protocol):
    """A source whose platform returns several threads per request, in addition to `thread`."""

    threads_per_request: int

    def threads(self, community: str, post_ids: Sequence[str]) -> list[Thread]:
        """Return the threads that exist, at most `threads_per_request` at a time."""
        ...
