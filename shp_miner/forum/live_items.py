"""What a living community shows of its items: pictures of one moment, which do not change when its clock goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shp_miner.forum.people import Role

LiveState = Literal["live", "deleted", "removed"]


@dataclass(frozen=True)
class LiveItem:
    """What posts, answers and nested replies have in common. Times are seconds since 1970.

    The body is empty unless the state is "live": no platform shows it then. Whether the author of a deleted item is
    still named is the platform's affair, so it stays here; it is null only where the account itself is gone. `reads`
    counts who has seen it, its author among them.
    `restored` says that it was deleted, removed or purged before.
    """

    post_id: str
    author: str | None
    author_id: str
    role: Role
    body: str
    created_s: int
    edited_s: int | None
    state: LiveState
    up: int
    down: int
    reads: int
    restored: bool

    @property
    def score(self) -> int:
        """Net votes; the forum starts at 0."""
        return self.up - self.down


@dataclass(frozen=True)
class LiveAnswer(LiveItem):
    """An answer (`parent_id` is the post's), or a reply nested under one (`parent_id` is what it replies to)."""

    answer_id: str
    parent_id: str
    replies: tuple[LiveAnswer, ...]

    def walk(self) -> Iterator[LiveAnswer]:
        """Itself and all replies under it, each before its own replies."""
        yield self
        for reply in self.replies:
            yield from reply.walk()


@dataclass(frozen=True)
class LiveThread(LiveItem):
    """A post with its answers, oldest first. Deleted ones are among them as stubs; a view leaves them out if it must.

    `activity_s` is the newest time of the post and of all live answers and nested replies (edits do not count).
    `accepted_id` is the answer its author accepted, `views` how often it was opened. `category` is where it was moved
    to, null while it is where it was asked; `closed` says that guests cannot read it there.
    """

    community: str
    title: str
    pinned: bool
    accepted_id: str | None
    views: int
    activity_s: int
    category: str | None
    closed: bool
    answers: tuple[LiveAnswer, ...]

    def walk(self) -> Iterator[LiveAnswer]:
        """All answers and nested replies, each before its own replies."""
        for answer in self.answers:
            yield from answer.walk()
