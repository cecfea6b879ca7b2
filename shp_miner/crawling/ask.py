"""Asking a source. Invalid data costs only its own record or thread.

A record with impossible values is left out and counted in `lost`. An unexpected exception fails only the request that
caused it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from shp_miner.crawling.state import Known
from shp_miner.errors import BadInput, Error, unforeseen_error
from shp_miner.model import SKEW_US
from shp_miner.platforms.items import AnItem, Answer, ItemState, Origin, Post, Thread, check_item
from shp_miner.sources.http import OverBudget
from shp_miner.sources.losing import counting_lost, lose_records
from shp_miner.sources.source import Gone, Listed, Listing, ManyThreads, Source, Unreadable
from shp_miner.tally import Lost

#: More answers than any thread has: a count beyond it says no more.
_MANY = 1 << 31

#: What a source raises on purpose.
_MEANT = (Error, OverBudget, Gone, Unreadable)


class Seen(msgspec.Struct):
    """Items by id: the items that can be stored, and the states of all items that were shown.

    `whole` is false if some of the shown items have no usable id.
    """

    posts: list[Post]
    answers: list[Answer]
    post_states: dict[str, ItemState]
    answer_states: dict[tuple[str, str], ItemState]
    whole: bool


class Asking:
    """A source, asked with care.

    `now` gives the time in microseconds since 1970; `lost` counts unusable records by reason.
    """

    def __init__(self, source: Source, now: Callable[[], int]) -> None:
        self._source, self._now = source, now
        self.site, self.order = source.site, source.order
        self.lists_activity, self.looks_up = source.lists_activity, source.looks_up
        self.tells_the_past = source.tells_the_past
        self.ids_per_request = source.ids_per_request
        #: 1 where the source reads threads one by one.
        self.threads_per_request: int = getattr(source, "threads_per_request", 1)
        self.lost: Counter[str] = Counter()

    def origin(self, community: str) -> Origin:
        """Return the origin under which the store keeps a community."""
        return Origin(self._source.name, self._source.platform, self._source.site, community)

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        """Return a page; see Source. A thread with a time in the future gets no time of change."""
        with self._guarded(f"The listing of {community}"):
            with counting_lost() as lost:
                page = self._source.listing(community, since=since, token=token)
            latest = self._now() + SKEW_US
            threads = []
            for thread in page.threads:
                if not 0 <= thread.changed_at <= latest:
                    lose_records("time_in_future" if thread.changed_at > 0 else "bad_time")
                    threads.append(Listed(thread.post_id, 0, pinned=True))
                else:
                    threads.append(thread)
        return Listing(_latest(threads), page.next, page.capped, lossy=bool(lost))

    def thread(self, community: str, post_id: str) -> Thread:
        """Return the requested thread with the answers that can be stored; see Source."""
        with self._guarded(f"Thread {post_id}") as lost:
            try:
                thread = self._source.thread(community, post_id)
            except Unreadable as unreadable:
                if lost:  # what was left out may be what is missing
                    raise BadInput(f"{self.site} sent unusable records for thread {post_id}.") from unreadable
                raise
            thread.missing += lost.total()
            return self._checked(community, post_id, thread)

    def threads(self, community: str, post_ids: Sequence[str]) -> dict[str, Thread]:
        """Return the threads that exist and can be stored, by id; see ManyThreads."""
        source = self._source
        assert isinstance(source, ManyThreads)
        found = {}
        with self._guarded(f"{len(post_ids)} threads") as lost:
            threads = source.threads(community, post_ids)
            if lost and len(post_ids) > 1:
                lost.clear()  # whose they are shows when fewer are asked for
                raise BadInput(f"{self.site} sent unusable records.")
            for thread in threads:
                if thread.post.post_id in post_ids:
                    thread.missing += lost.total()
                    found[thread.post.post_id] = self._checked(community, thread.post.post_id, thread)
        return found

    def again(self, origin: Origin, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Seen:
        """Return the requested items that exist; see Source."""
        with self._guarded(f"{len(post_ids) + len(answer_ids)} items") as lost:
            found = self._source.again(post_ids, answer_ids)
            asked_posts, asked_answers = set(post_ids), set(answer_ids)
            posts = [post for post in found.posts if post.post_id in asked_posts]
            answers = [answer for answer in found.answers if (answer.post_id, answer.answer_id) in asked_answers]
            whole = not lost
            return Seen(
                self._usable(origin, posts),
                self._usable(origin, answers),
                {post.post_id: post.state for post in posts},
                {(answer.post_id, answer.answer_id): answer.state for answer in answers},
                whole,
            )

    def items(self, origin: Origin, threads: Sequence[Known]) -> Iterator[Seen]:
        """Yield the known items of threads, gone items included, as many at a time as the source takes."""
        asked: list[tuple[str, str | None]] = [(known.post_id, None) for known in threads]
        asked += [(known.post_id, answer_id) for known in threads for answer_id, _ in known.answers]
        asked += [(known.post_id, answer_id) for known in threads for answer_id in known.gone_answers]
        for start in range(0, len(asked), self.ids_per_request):
            part = asked[start : start + self.ids_per_request]
            yield self.again(
                origin,
                [post_id for post_id, answer_id in part if answer_id is None],
                [(post_id, answer_id) for post_id, answer_id in part if answer_id is not None],
            )

    # -- inside -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _guarded(self, what: str) -> Iterator[Counter[str]]:
        with counting_lost() as lost:
            try:
                yield lost
            except _MEANT:
                raise
            except Exception as error:
                raise unforeseen_error(error, f"{what} of {self.site}") from error
            finally:
                self.lost += lost

    def _checked(self, community: str, post_id: str, thread: Thread) -> Thread:
        """The thread without the answers that cannot be stored. Raises BadInput where its post cannot be."""
        post, origin = thread.post, self.origin(community)
        if post.post_id != post_id:
            lose_records("other_thread")
            raise BadInput(f"{self.site} sent thread {post.post_id:.40} instead of thread {post_id}.")
        try:
            check_item(origin, post, self._now())
        except Lost as lost:
            lose_records(lost.reason)
            raise BadInput(f"{self.site} sent invalid data for thread {post_id}: {lost.what}.") from None
        thread.missing = max(0, min(thread.missing, _MANY))
        if thread.changed_at is not None and not 0 <= thread.changed_at <= self._now() + SKEW_US:
            thread.changed_at = None
        own = [answer for answer in thread.answers if answer.post_id == post_id]
        for _ in range(len(thread.answers) - len(own)):
            lose_records("other_thread")
        thread.answers = self._usable(origin, own)
        kept = {answer.answer_id for answer in thread.answers}
        thread.unusable = {answer.answer_id: answer.state for answer in own if answer.answer_id not in kept}
        return thread

    def _usable(self, origin: Origin, items: Sequence[AnItem]) -> list[AnItem]:
        found, now = [], self._now()
        for item in items:
            try:
                check_item(origin, item, now)
            except Lost as lost:
                lose_records(lost.reason)
            else:
                found.append(item)
        return found


def _latest(threads: Sequence[Listed]) -> list[Listed]:
    """Each thread once, with its latest time: pages overlap and repeat."""
    latest: dict[str, Listed] = {}
    for thread in threads:
        if thread.post_id not in latest or latest[thread.post_id].changed_at < thread.changed_at:
            latest[thread.post_id] = thread
    return list(latest.values())
