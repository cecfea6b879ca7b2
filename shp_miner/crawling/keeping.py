"""Storing threads that were read, several at a time, then marking them in the crawl's state.

A thread is written to the store before it is marked, so an interrupted run loses no marked thread. Writing one thread
costs as much as writing twenty, so a few threads wait for each other for a short time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import structs

from shp_miner.crawling.archived import after_what_is_known
from shp_miner.crawling.context import Context
from shp_miner.crawling.gone import tells_of_unknown
from shp_miner.crawling.result import Did, count_restored, next_visit
from shp_miner.crawling.state import Known
from shp_miner.platforms.items import Answer, ItemState, Post, Thread, to_chunk
from shp_miner.sources.source import Evidence
from shp_miner.units import microseconds

#: Threads are stored together up to this many of them, up to this many answers, and up to this long after the first was
#: read. What is held is lost in a crash and read again.
_TOGETHER = 20
_ANSWERS_TOGETHER = 10_000
_HELD_US = microseconds(30.0)

Shown = TypeVar("Shown", Post, Answer)


class ReadThread(msgspec.Struct):
    """A thread as read at `read_at` (microseconds since 1970), and what was known of it before.

    `states` are the states of all shown answers, by id. `absent` is the evidence against any other answer. `found` are
    answers that were missing in the thread but found by id; `certain` are answers that were not found by id either.
    """

    thread: Thread
    known: Known
    read_at: int
    states: dict[str, ItemState]
    absent: Evidence | None
    found: list[Answer] = []
    certain: list[str] = []


class Keeping:
    """Holds threads that were read until they are stored. Adds what was stored and marked to `did`."""

    def __init__(self, context: Context, did: Did) -> None:
        self._context, self._did = context, did
        self._held: list[ReadThread] = []
        # The first one is stored at once, then twice as many each time: a run that is soon killed has got on, too.
        self._together = 1

    def add(self, known: Known, thread: Thread) -> None:
        """Take a thread that was just read, and store the held threads if it is time."""
        read_at = self._context.now()
        # Where the platform kept some answers back, nobody can tell which of them are gone.
        absent: Evidence | None = None if thread.missing else "missing"
        states = thread.unusable | {answer.answer_id: answer.state for answer in thread.answers}
        read_thread = ReadThread(thread, known, read_at, states, absent)
        self._held.append(read_thread)
        self._context.telling.found(len(thread.answers))
        read_thread.found, read_thread.certain = looked_up(self._context, known, states, absent)
        read_thread.states = states | {answer.answer_id: answer.state for answer in read_thread.found}
        answers = sum(len(read_thread.thread.answers) for read_thread in self._held)
        late = self._context.now() - self._held[0].read_at >= _HELD_US
        if len(self._held) >= self._together or answers >= _ANSWERS_TOGETHER or late:
            self._together = min(2 * self._together, _TOGETHER)
            self.store()

    def store(self) -> None:
        """Store all held threads in one piece, then mark each as read."""
        held, self._held = self._held, []
        if not held:
            return
        left = [read_thread.known.post_id for read_thread in held]
        try:
            # Noted first: what is in the store is always known in the state, and so missed when it goes away.
            for read_thread in held:
                self._context.state.noted(self._context.origin, read_thread.thread)
            append_items(
                self._context,
                [read_thread.known for read_thread in held],
                [read_thread.thread.post for read_thread in held],
                [answer for read_thread in held for answer in (*read_thread.thread.answers, *read_thread.found)],
                {read_thread.known.post_id: read_thread.read_at for read_thread in held},
            )
            for read_thread in held:
                self._did.add(self._mark(read_thread))
                left.remove(read_thread.known.post_id)
        except BaseException:
            self._context.state.release(self._context.origin, left)
            raise

    def _mark(self, read_thread: ReadThread) -> Did:
        context, thread, known = self._context, read_thread.thread, read_thread.known
        context.doubtful.certain(known, read_thread.certain)
        again = context.doubtful.parts(known, thread.post.state, read_thread.states, read_thread.absent)
        due = next_visit(
            thread.post.created_at, known.first_read_at or read_thread.read_at, read_thread.read_at, context.visits_s
        )
        context.state.read(context.origin, thread, read_thread.read_at, min(due, again or due))
        return Did(
            read=1,
            new=int(known.created_at is None),
            restored=count_restored(known, thread.post.state, read_thread.states),
            answers=len(thread.answers),
            incomplete=int(thread.missing > 0),
        )


def looked_up(
    context: Context, known: Known, shown: Mapping[str, ItemState], absent: Evidence | None
) -> tuple[list[Answer], list[str]]:
    """Return the known answers that are absent now: those found by id, and the ids of those not found.

    Pages of a listing may shift, so an absent answer may still exist. Both lists are empty if the source cannot look up
    by id, or if there is no evidence against absent answers.
    """
    lost = [answer_id for answer_id, _ in known.answers if answer_id not in shown] if absent else []
    return context.look_up.answers(context.origin, known, lost)


def append_items(
    context: Context, threads: Sequence[Known], posts: list[Post], answers: list[Answer], read_at: Mapping[str, int]
) -> None:
    """Store the items that a source showed of some threads.

    `read_at` has the time of each thread's reading by id (microseconds since 1970); other threads count as read now.
    """
    if context.source.tells_the_past:
        posts = after_what_is_known(context.store, context.state, context.origin, threads, posts)
        answers = after_what_is_known(context.store, context.state, context.origin, threads, answers)
    look = context.source.tells_the_past or tells_of_unknown(threads, posts, answers)
    chunk = to_chunk(context.origin, _observed(posts, read_at), _observed(answers, read_at), context.now())
    context.store.append(chunk, look=look)


def _observed(items: Iterable[Shown], read_at: Mapping[str, int]) -> list[Shown]:
    """The items, each observed when its thread was read unless it says another time."""
    return [
        item if item.observed_at is not None else structs.replace(item, observed_at=read_at.get(item.post_id))
        for item in items
    ]
