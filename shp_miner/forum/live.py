"""A live community: simulated threads under a clock, in which things are edited, deleted, pinned and added.

Everything depends on `Community.now`: later items do not exist yet. `threads`, `thread` and `find` return pictures of
one moment; they do not change when the clock goes on.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from threading import RLock
from typing import Any, Literal

import numpy as np

from shp_miner.errors import UsageError
from shp_miner.forum.dump import known_quality
from shp_miner.forum.live_items import LiveAnswer, LiveItem, LiveState, LiveThread
from shp_miner.forum.people import Afterlife, Person, simulated_person
from shp_miner.forum.simulate import PEOPLE, SimulatedThread, simulate
from shp_miner.forum.world import World

__all__ = ["Community", "LiveAnswer", "LiveItem", "LiveState", "LiveThread", "Order"]

Order = Literal["created", "activity"]

#: A community for tests: seconds to simulate would be too many.
_SMALL = World(name="small", threads=40)


@dataclass
class _Item:
    """An item over all its life. Votes are times in seconds, ascending."""

    item_id: str
    post_id: str
    parent_id: str | None
    author: Person
    body: str
    created_s: int
    up_s: list[float] = field(default_factory=list)
    down_s: list[float] = field(default_factory=list)
    edited_s: int | None = None
    state: LiveState = "live"
    purged: bool = False
    restored: bool = False
    children: list[_Item] = field(default_factory=list)


@dataclass
class _Post(_Item):
    title: str = ""
    pinned: bool = False
    category: str | None = None
    accepted: tuple[_Item, float] | None = None
    simulated: SimulatedThread | None = None


class Community:
    """A community under a clock that stands still until it is moved. Safe to use from several threads.

    All threads of the world belong to it, whatever they are about. The same world and seed give the same community.
    The clock starts at `now`, by default in the middle of the world's span: half of the threads are still to come, one
    by one as it advances. The oldest thread is pinned. One author in twelve has a name with emoji or written from
    right to left, and a few are moderators or bots. Some answers have nested replies.

    A view refuses a `private` or `banned` community in its platform's own words.
    """

    def __init__(
        self,
        *,
        name: str = "workbench",
        world: World | None = None,
        seed: int = 0,
        now: datetime | None = None,
        private: bool = False,
        banned: bool = False,
    ) -> None:
        world = world or _SMALL
        self.name, self.private, self.banned = name, private, banned
        self.created_s = int(world.starts_at.timestamp())
        self._lock = RLock()
        self._now = _aware(now or world.starts_at + timedelta(days=world.span_days / 2))
        self._posts: list[_Post] = []
        self._items: dict[str, _Item] = {}
        self._people: dict[str, Person] = {}
        self._gone: set[str] = set()
        self._closed: set[str | None] = set()
        self._pictures: dict[str, LiveThread] = {}
        self._simulated = simulate(world, seed)
        self._next_id = 1 + sum(1 + len(thread.answers) for thread in self._simulated)
        for number, thread in enumerate(self._simulated):
            self._populate(thread, Afterlife(thread, seed, number))
        if self._posts:
            self._posts[0].pinned = True

    # The clock

    @property
    def now(self) -> datetime:
        """The community's time in UTC. Set it to move the clock; it does not go back."""
        with self._lock:
            return self._now

    @now.setter
    def now(self, moment: datetime) -> None:
        with self._lock:
            if _aware(moment) < self._now:
                raise UsageError("A community's clock does not go back.", "Make another community.")
            self._now = _aware(moment)
            self._pictures.clear()

    @property
    def now_s(self) -> float:
        """The community's time in seconds since 1970."""
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises UsageError for negative seconds."""
        with self._lock:
            self.now += timedelta(seconds=seconds)

    # What there is to see

    def threads(self, by: Order = "created") -> list[LiveThread]:
        """The threads there are now, deleted ones included, newest (by post or by activity) first.

        Pinned threads have no place of their own here; views put them first where their platform does.
        """
        with self._lock:
            now_s = self._now.timestamp()
            shown = [self._picture(post) for post in self._posts if post.created_s <= now_s and not post.purged]
        when = attrgetter("activity_s" if by == "activity" else "created_s")
        return sorted(shown, key=lambda thread: (when(thread), int(thread.post_id)), reverse=True)

    def thread(self, post_id: str) -> LiveThread | None:
        """A thread, None where there is none (yet)."""
        with self._lock:
            post = self._items.get(post_id)
            there = isinstance(post, _Post) and post.created_s <= self._now.timestamp() and not post.purged
            return self._picture(post) if there and isinstance(post, _Post) else None

    def find(self, item_id: str) -> LiveThread | LiveAnswer | None:
        """A post, an answer or a nested reply by its id: ids are unique over all of them, and positive integers."""
        with self._lock:
            item = self._items.get(item_id)
            thread = self.thread(item.post_id) if item else None
        if thread is None or item_id == thread.post_id:
            return thread
        return next((answer for answer in thread.walk() if answer.answer_id == item_id), None)

    def truth(self) -> dict[tuple[str, str], float]:
        """The quality of every simulated answer (in standard deviations) by (post_id, answer_id)."""
        return known_quality(self._simulated)

    # What people do

    def edit(self, item_id: str, text: str) -> None:
        """Change the body of a live post, answer or reply now. Raises KeyError where there is none."""
        with self._there(item_id, live=True) as item:
            item.body, item.edited_s = text, int(self._now.timestamp())

    def delete(self, item_id: str, by: Literal["author", "moderator"] = "author") -> None:
        """Delete an item: its id stays, its state becomes "deleted" (by its author) or "removed" (by a moderator)."""
        with self._there(item_id) as item:
            item.state = "deleted" if by == "author" else "removed"

    def purge(self, item_id: str) -> None:
        """Take an item away with all that hangs below it, as if it had never been."""
        with self._there(item_id) as item:
            item.purged = True

    def restore(self, item_id: str) -> None:
        """Put back what was deleted, removed or purged (that from a backup): the same id, the same text."""
        with self._there(item_id, purged=True) as item:
            item.restored = item.restored or item.purged or item.state != "live"
            item.state, item.purged = "live", False

    def delete_account(self, author: str) -> None:
        """Take away a name: what the author wrote stays, with author None. Raises KeyError for an unknown name."""
        with self._lock:
            self._gone.add(self._people[author].author_id)
            self._pictures.clear()

    def pin(self, post_id: str, pinned: bool = True) -> None:
        """Pin a thread, or no longer."""
        with self._there(post_id) as item:
            if not isinstance(item, _Post):
                raise KeyError(post_id)
            item.pinned = pinned

    def move(self, post_id: str, category: str | None) -> None:
        """Move a thread to another category (None: back to where it was asked): it leaves the lists, its id stays."""
        with self._there(post_id) as item:
            if not isinstance(item, _Post):
                raise KeyError(post_id)
            item.category = category

    def close(self, category: str | None = None, *, listed: bool = False) -> None:
        """Close the community, or a category to which threads were moved, to guests until `reopen`.

        With `listed` the community is still listed and only its threads cannot be read.
        """
        with self._lock:
            self._closed.add(category)
            self.private = self.private or (category is None and not listed)
            self._pictures.clear()

    def reopen(self, category: str | None = None) -> None:
        """Let guests read again."""
        with self._lock:
            self._closed.discard(category)
            self.private = self.private and category is not None
            self._pictures.clear()

    def vote(self, item_id: str, *, up: int = 0, down: int = 0) -> None:
        """Cast votes on an item now."""
        with self._there(item_id) as item:
            for times, count in ((item.up_s, up), (item.down_s, down)):
                for _ in range(count):
                    insort(times, self._now.timestamp())

    def ask(self, title: str, body: str, *, author: str = "visitor") -> str:
        """Post a question now; gives its id."""
        with self._lock:
            item_id, now_s = self._new_id(), int(self._now.timestamp())
            self._add(_Post(item_id, item_id, None, self._visitor(author), body, now_s, title=title))
            return item_id

    def answer(self, parent_id: str, body: str, *, author: str = "visitor") -> str:
        """Answer a post, or reply to an answer or reply, now; gives the id."""
        with self._there(parent_id) as parent:
            item_id, now_s = self._new_id(), int(self._now.timestamp())
            self._add(_Item(item_id, parent.post_id, parent_id, self._visitor(author), body, now_s))
            return item_id

    # How it is kept

    def _populate(self, thread: SimulatedThread, after: Afterlife) -> None:
        """Take a simulated thread in, with the replies that the simulation does not know."""
        votes = [_times(thread, index) for index in range(-1, len(thread.answers))]
        post = _Post(
            thread.post_id, thread.post_id, None, simulated_person(thread.author), thread.body,
            thread.created_s, *votes[0], title=thread.title, simulated=thread,
        )  # fmt: skip
        self._add(post)
        accepted = after.accepted()
        for answer, cast in zip(thread.answers, votes[1:], strict=True):
            author = simulated_person(answer.author)
            item = _Item(answer.answer_id, post.item_id, post.item_id, author, answer.text, answer.created_s, *cast)
            self._add(item)
            if accepted and accepted[0] is answer:
                post.accepted = item, accepted[1]
            above = item
            for reply in after.replies(answer):
                parent = above if reply.to_reply else item
                above = _Item(
                    self._new_id(), post.item_id, parent.item_id, reply.author, reply.text, reply.created_s,
                    reply.up_s, reply.down_s,
                )  # fmt: skip
                self._add(above)

    def _add(self, item: _Item) -> None:
        self._items[item.item_id] = item
        self._people[item.author.name] = item.author
        if isinstance(item, _Post):
            self._posts.append(item)
        elif item.parent_id is not None:
            self._items[item.parent_id].children.append(item)
        self._pictures.pop(item.post_id, None)

    def _new_id(self) -> str:
        self._next_id += 1
        return str(self._next_id - 1)

    def _visitor(self, name: str) -> Person:
        """A person by name; one who was never seen before gets an id above all simulated ones."""
        known = self._people.get(name)
        return known or Person(str(PEOPLE + 1 + len(self._people)), name)

    @contextmanager
    def _there(self, item_id: str, *, live: bool = False, purged: bool = False) -> Iterator[_Item]:
        """An item that is there now, to be changed while nobody else looks. Raises KeyError."""
        with self._lock:
            item = self._items.get(item_id)
            if item is None or item.created_s > self._now.timestamp() or (live and item.state != "live"):
                raise KeyError(item_id)
            if item.purged and not purged:
                raise KeyError(item_id)
            yield item
            self._pictures.pop(item.post_id, None)

    def _picture(self, post: _Post) -> LiveThread:
        """The thread as it stands now; kept until something in it or the clock changes."""
        found = self._pictures.get(post.post_id)
        if found is None:
            now_s = self._now.timestamp()
            answers = self._children(post, now_s)
            accepted = post.accepted
            shown = accepted and accepted[1] <= now_s and accepted[0].state == "live" and not accepted[0].purged
            found = LiveThread(
                **self._common(post, now_s),
                community=self.name,
                title=post.title,
                pinned=post.pinned,
                category=post.category,
                closed=post.category in self._closed,
                accepted_id=accepted[0].item_id if accepted and shown else None,
                views=_views(post.simulated, now_s),
                activity_s=max([post.created_s, *_live_times(answers)]),
                answers=answers,
            )
            self._pictures[post.post_id] = found
        return found

    def _children(self, parent: _Item, now_s: float) -> tuple[LiveAnswer, ...]:
        there = sorted(
            (item for item in parent.children if item.created_s <= now_s and not item.purged),
            key=lambda item: (item.created_s, int(item.item_id)),
        )
        return tuple(
            LiveAnswer(
                **self._common(item, now_s),
                answer_id=item.item_id,
                parent_id=parent.item_id,
                replies=self._children(item, now_s),
            )
            for item in there
        )

    def _common(self, item: _Item, now_s: float) -> dict[str, Any]:
        up, down = bisect_right(item.up_s, now_s), bisect_right(item.down_s, now_s)
        post = self._items[item.post_id]
        thread = post.simulated if isinstance(post, _Post) else None
        # Who came since it was written saw it, and so did everybody who voted on it.
        reads = 1 + max(up + down, _views(thread, now_s) - _views(thread, item.created_s))
        return {
            "post_id": item.post_id,
            "author": None if item.author.author_id in self._gone else item.author.name,
            "author_id": item.author.author_id,
            "role": item.author.role,
            "body": item.body if item.state == "live" else "",
            "created_s": item.created_s,
            "edited_s": item.edited_s,
            "state": item.state,
            "restored": item.restored,
            "up": up,
            "down": down,
            "reads": reads,
        }


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise UsageError(
            "A community's clock needs a time zone.", "Give a time such as datetime(2024, 1, 31, tzinfo=UTC)."
        )
    return moment.astimezone(UTC)


def _times(thread: SimulatedThread, index: int) -> tuple[list[float], list[float]]:
    """When the answer of an index (-1 for the question) was voted up, and when down."""
    on = thread.vote_on == index
    return thread.vote_s[on & (thread.vote > 0)].tolist(), thread.vote_s[on & (thread.vote < 0)].tolist()


def _live_times(answers: tuple[LiveAnswer, ...]) -> Iterator[int]:
    return (item.created_s for answer in answers for item in answer.walk() if item.state == "live")


def _views(thread: SimulatedThread | None, now_s: float) -> int:
    """How many readers came so far, taken from the share of all votes that is cast: readers vote as they come."""
    if thread is None or not len(thread.vote_s):
        return 0
    return thread.readers * int(np.searchsorted(thread.vote_s, now_s, side="right")) // len(thread.vote_s)
