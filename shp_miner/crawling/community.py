"""Crawling one community: its listing, its threads, the visits by age, and what is gone.

A thread is written to the store, then marked in the crawl's state; a listing is complete up to some time only when
every page below that was taken over. So whatever ends a run, the next one goes on where this one was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from shp_miner.crawling.archived import after_what_is_known
from shp_miner.crawling.ask import Asking, Seen
from shp_miner.crawling.claims import Claim, Claims
from shp_miner.crawling.doubts import CLOSED
from shp_miner.crawling.gone import Doubtful, tells_of_unknown
from shp_miner.crawling.lookup import LookUp
from shp_miner.crawling.result import VISITS_S, Crawled, next_visit, restored
from shp_miner.crawling.retries import Retries
from shp_miner.crawling.state import Known, State
from shp_miner.errors import BadInput, NotAllowed, TryLater
from shp_miner.platforms.items import Answer, Origin, Post, Thread, to_chunk
from shp_miner.platforms.items import State as Shown
from shp_miner.sources.http import Clock, OverBudget
from shp_miner.sources.source import Evidence, Gone, Source, Unreadable
from shp_miner.store import Store
from shp_miner.units import microseconds

_HOUR_S, _DAY_S = 3600.0, 86_400.0

#: How far below the last complete listing the next one starts: clocks differ, and listings lag behind.
OVERLAP_S = _HOUR_S

#: After this many pages of a listing without a thread that was not on one before, the listing has no end.
_STALE_PAGES = 5

#: Why a run stopped that a person or the system ended.
INTERRUPTED = "interrupted"

#: Threads visited together where items are read by id.
_VISITED_TOGETHER = 50

#: Until this age a visit reads the whole thread where no listing announces answers: later hardly any come.
_ANSWERED_S = 2 * _DAY_S

T = TypeVar("T")


class Crawl:
    """One source's communities into one store.

    `limit` is how many threads are read at most for each community; `visits_s` are the ages of later visits, ascending.
    `say` gets a calm line now and then.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        state: State,
        *,
        clock: Clock,
        visits_s: Sequence[float] = VISITS_S,
        limit: int | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store, self._state, self._clock = store, state, clock
        self._source = Asking(source, self._now)
        self._visits_s, self._limit, self._say = visits_s, limit, say
        #: Whether a budget or an interruption ended a run: no other community may be crawled then.
        self.ended = False
        self._retries, self._look_up = Retries(state, self._now), LookUp(self._source, state)

    def run(self, community: str) -> Crawled:
        """List what is new or changed in a community (its name as `verify` gave it), and read it.

        A run that may not go on (a budget, a source that is down, Ctrl-C) returns what it did, and why it stopped.
        """
        origin = self._source.origin(community)
        done = Crawled(origin.source, origin.site, origin.community)
        self._steps(
            origin,
            done,
            lambda: self._list(origin, done),
            lambda: self._read(origin, self._state.claim_waiting, done),
            lambda: self._read(origin, self._state.claim_away, done),
        )
        done.waiting, done.given_up = self._state.waiting(origin), self._state.given_up(origin)
        return done

    def recheck(self, community: str, unseen_since: int = 0) -> Crawled:
        """Visit the threads that are due, by their items' ids where the source has that.

        What was given up and is to be tried once more is read whole, and so is what was gone or unreadable. With
        `unseen_since`, every thread that was last read before that time (microseconds since 1970) is visited as well.
        """
        origin = self._source.origin(community)
        done = Crawled(origin.source, origin.site, origin.community)
        unseen = partial(self._state.claim_unseen, before=unseen_since)
        if unseen_since:
            self._state.ask_away_again(origin, unseen_since)
        self._steps(
            origin,
            done,
            lambda: self._revisit(origin, self._state.claim_due, done),
            lambda: self._read(origin, self._state.claim_once_more, done),
            lambda: self._read(origin, self._state.claim_away, done),
            lambda: self._revisit(origin, unseen, done) if unseen_since else None,
        )
        done.waiting, done.given_up = self._state.visits_left(origin, self._now()), self._state.given_up(origin)
        return done

    def _steps(self, origin: Origin, done: Crawled, *steps: Callable[[], None]) -> None:
        """Take the steps of a run; however they end, what they found gone is dealt with."""
        at_once = self._source.tells_the_past
        self._doubtful = Doubtful(self._store, self._state, origin, self._now, at_once=at_once)
        self._claims = Claims(self._state, origin, self._now, self._limit)
        self._source.lost.clear()
        self._stopping(done, *steps)
        self._stopping(done, lambda: self._settle(origin, done), lambda: self._give_up(origin, done))
        done.lost = dict(sorted(self._source.lost.items()))

    def _settle(self, origin: Origin, done: Crawled) -> None:
        settled = self._doubtful.settle(lambda: bool(done.read) or self._another_can_be_read(origin))
        done.gone, done.unreadable, done.refused = settled.gone, settled.unreadable, settled.why

    # -- listing ------------------------------------------------------------------------------------------------------

    def _list(self, origin: Origin, done: Crawled) -> None:
        complete_to = self._state.complete_to(origin)
        floor = None if complete_to is None else complete_to - microseconds(OVERLAP_S)
        top, token = None, None
        met: set[str] = set()
        stale = 0
        while True:
            page = self._source.listing(origin.community, since=floor, token=token)
            # A time in the future is a mistake, and would hide everything up to it from later runs.
            now = self._now()
            times = [min(thread.changed_at, now) for thread in page.threads if not thread.pinned]
            top = max([*times, *([] if top is None else [top])], default=None)
            done.listed += len(page.threads)
            done.capped = page.capped or done.capped
            ended = page.next is None or page.next == token or self._reached(times, floor)
            # Going up in time, all below this page is known; going down, only when the bottom is reached.
            reached = max(times, default=None) if self._source.order == "oldest" else (top if ended else None)
            fresh = self._state.listed(origin, page.threads, reached)
            done.fresh += fresh
            self._say(f"{origin.community}: {done.listed} threads listed, {done.fresh} new or changed")
            if ended or self._enough(done.fresh):
                return
            stale = 0 if not met.issuperset(thread.post_id for thread in page.threads) else stale + 1
            if stale >= _STALE_PAGES:
                raise BadInput(
                    f"{origin.site} lists the same threads again and again.", "What was listed so far is read."
                )
            met.update(thread.post_id for thread in page.threads)
            token = page.next

    def _reached(self, times: Sequence[int], floor: int | None) -> bool:
        """Whether a listing that goes down in time has come to what an earlier run completed."""
        return self._source.order == "newest" and floor is not None and bool(times) and min(times) < floor

    def _enough(self, count: int) -> bool:
        return self._limit is not None and count >= self._limit

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, origin: Origin, claim: Claim, done: Crawled) -> None:
        size = self._source.threads_per_request
        with closing(self._claims.batches(claim, done, size)) as batches:
            for post_ids in batches:
                if size > 1:
                    self._together(origin, post_ids, done)
                else:
                    self._thread(origin, post_ids[0], done)

    def _thread(self, origin: Origin, post_id: str, done: Crawled) -> None:
        """Read one thread whole and store it; what cannot be read waits for a later run."""
        (known,) = self._state.known(origin, [post_id])
        try:
            thread = self._source.thread(origin.community, post_id)
        except Gone as gone:
            self._doubtful.thread(known, "flag", gone.state)
        except Unreadable as found:
            # A look-up by id is another way to ask; a door that is closed needs no second knock.
            certain = found.evidence == "missing" and self._look_up.misses(origin, known)
            self._doubtful.thread(known, found.evidence, "removed", found.why, certain=certain)
            self._claims.shut = found.why if found.evidence in CLOSED else self._claims.shut
        except OverBudget:
            self._claims.cut_off = post_id
            raise
        except (TryLater, BadInput) as error:
            self._failed(origin, post_id, error, done)
        else:
            self._keep(origin, [(thread, known)], done)

    def _together(self, origin: Origin, post_ids: Sequence[str], done: Crawled) -> None:
        """Read several threads with one request; what does not come back is gone."""

        def fetch(part: Sequence[Known]) -> dict[str, Thread]:
            return self._source.threads(origin.community, [known.post_id for known in part])

        for part, threads in self._fetched(origin, self._state.known(origin, post_ids), done, fetch):
            self._keep(origin, [(threads[one.post_id], one) for one in part if one.post_id in threads], done)
            for known in part:
                if known.post_id in threads:
                    continue
                self._thread(origin, known.post_id, done)  # asked for by itself: what is absent may be a slip

    def _fetched(
        self,
        origin: Origin,
        threads: Sequence[Known],
        done: Crawled,
        fetch: Callable[[Sequence[Known]], T],
        *,
        split: bool = True,
    ) -> list[tuple[Sequence[Known], T]]:
        """What the source says of several threads. A bad one among them is found by halves, and only that one fails."""
        try:
            return [(threads, fetch(threads))]
        except Unreadable:
            for known in threads:
                self._thread(origin, known.post_id, done)
            return []
        except (TryLater, BadInput) as error:
            if isinstance(error, TryLater) or len(threads) == 1 or not split:
                for known in threads:
                    self._failed(origin, known.post_id, error, done)
                return []
        middle = len(threads) // 2
        good = self._fetched(origin, threads[:middle], done, fetch)
        # Where a whole half is bad it is no matter of single threads, and not worth so many requests.
        return good + self._fetched(origin, threads[middle:], done, fetch, split=bool(good))

    def _failed(self, origin: Origin, post_id: str, error: TryLater | BadInput, done: Crawled) -> None:
        done.failed += 1
        self._claims.answered = self._claims.answered and not isinstance(error, TryLater)
        self._retries.put_off(origin, post_id, error.message)

    def _give_up(self, origin: Origin, done: Crawled) -> None:
        """Give up what is hopeless, if another thread can be read: a site that is down is no fault of its threads."""
        hopeless = self._retries.hopeless(origin)
        if hopeless and (done.read or (done.stopped != INTERRUPTED and self._another_can_be_read(origin))):
            for post_id in hopeless:
                self._state.give_up(origin, post_id)
                self._say(f"{origin.community}: thread {post_id} has failed for too long and is given up")

    def _another_can_be_read(self, origin: Origin) -> bool:
        other = self._state.last_read(origin)
        try:
            if other is not None:
                self._source.thread(origin.community, other)
        except Gone:
            return True  # a later visit finds that out by itself
        except (TryLater, BadInput, NotAllowed, Unreadable, OverBudget):
            return False
        return other is not None

    def _keep(self, origin: Origin, threads: Sequence[tuple[Thread, Known]], done: Crawled) -> None:
        """Store threads in one piece, then mark each as read."""
        now = self._now()
        # Noted first: what is in the store is always known here, and so missed when it goes away.
        for thread, _ in threads:
            self._state.noted(origin, thread)
        answers = [answer for thread, _ in threads for answer in thread.answers]
        self._append(origin, [known for _, known in threads], [thread.post for thread, _ in threads], answers)
        for thread, known in threads:
            # Where the platform kept some answers back, nobody can tell which of them are gone.
            absent: Evidence | None = None if thread.missing else "missing"
            shown = thread.unusable | {answer.answer_id: answer.state for answer in thread.answers}
            again = self._compare(origin, known, thread.post.state, shown, absent)
            due = next_visit(thread.post.created_at, known.first_read_at or now, now, self._visits_s)
            self._state.read(origin, thread, now, min(due, again or due))
            done.read += 1
            done.new += known.created_at is None
            done.restored += restored(known, thread.post.state, shown)
            done.answers += len(thread.answers)
            done.incomplete += thread.missing > 0

    def _compare(
        self, origin: Origin, known: Known, post: Shown, shown: dict[str, Shown], absent: Evidence | None
    ) -> int | None:
        """Hold what a reading shows against what was known; when to ask again, where something is in doubt.

        Absent answers are looked up by id where the source can do that: a page may have slipped.
        """
        lost = [answer_id for answer_id, _ in known.answers if answer_id not in shown] if absent else []
        found, certain = self._look_up.answers(origin, known, lost)
        if found:
            self._append(origin, [known], [], found)
            shown |= {answer.answer_id: answer.state for answer in found}
        self._doubtful.certain(known, certain)
        return self._doubtful.parts(known, post, shown, absent)

    def _append(self, origin: Origin, threads: Sequence[Known], posts: list[Post], answers: list[Answer]) -> None:
        """Store what a source showed of some threads."""
        if self._source.tells_the_past:
            posts = after_what_is_known(self._store, self._state, origin, threads, posts)
            answers = after_what_is_known(self._store, self._state, origin, threads, answers)
        look = self._source.tells_the_past or tells_of_unknown(threads, posts, answers)
        self._store.append(to_chunk(origin, posts, answers, self._now()), look=look)

    # -- visits by age ------------------------------------------------------------------------------------------------

    def _revisit(self, origin: Origin, claim: Claim, done: Crawled) -> None:
        size = _VISITED_TOGETHER if self._source.ids_per_request else 1
        with closing(self._claims.batches(claim, done, size)) as batches:
            for post_ids in batches:
                by_id = []
                for known in self._state.known(origin, post_ids):
                    if self._by_id(known):
                        by_id.append(known)
                    else:
                        self._thread(origin, known.post_id, done)
                if by_id:
                    self._again(origin, by_id, done)

    def _by_id(self, known: Known) -> bool:
        """Whether reading the known items is enough: late, or where a listing announces new answers."""
        if not self._source.ids_per_request or known.gone_at is not None:
            return False
        young = known.created_at is None or self._now() - known.created_at < microseconds(_ANSWERED_S)
        return self._source.lists_activity or not young

    def _again(self, origin: Origin, threads: Sequence[Known], done: Crawled) -> None:
        """Read items by id, as many at a time as the source takes; what does not come back is gone."""
        for part, seen in self._fetched(origin, threads, done, lambda some: self._items(origin, some)):
            posts, answers = seen.post_states, seen.answer_states
            now = self._now()
            done.answers += len(answers)
            for known in part:
                if known.post_id not in posts:
                    self._thread(origin, known.post_id, done)  # asked for by itself: what is absent may be a slip
                    continue
                shown = {
                    answer_id: state for (post_id, answer_id), state in answers.items() if post_id == known.post_id
                }
                back = [answer_id for answer_id in known.gone_answers if shown.get(answer_id) == "live"]
                self._state.back(origin, known.post_id, back)
                again = self._compare(origin, known, posts[known.post_id], shown, "missing" if seen.whole else None)
                due = next_visit(known.created_at or now, known.first_read_at or now, now, self._visits_s)
                self._state.visited(origin, known.post_id, now, min(due, again or due))
                done.read += 1
                done.restored += len(back)

    def _items(self, origin: Origin, threads: Sequence[Known]) -> Seen:
        """Ask for the known items of threads by their ids and store what there is."""
        every = Seen([], [], {}, {}, whole=True)
        for found in self._source.items(origin, threads):
            self._append(origin, threads, found.posts, found.answers)
            every.post_states |= found.post_states
            every.answer_states |= found.answer_states
            every.whole &= found.whole
        return every

    # -- inside -------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return microseconds(self._clock.now())

    def _stopping(self, done: Crawled, *steps: Callable[[], None]) -> None:
        """Take the steps until one must not go on. Where a listing breaks off, what it gave so far is read."""
        for step in steps:
            try:
                step()
            except OverBudget as over:
                done.stopped, self.ended = done.stopped or str(over), True
                return
            except KeyboardInterrupt:
                done.stopped, self.ended = INTERRUPTED, True
                return
            except (TryLater, NotAllowed, BadInput) as error:
                if not (done.listed or done.read or done.failed or self._doubtful.asked):
                    raise
                done.stopped = done.stopped or error.message
                if isinstance(error, NotAllowed):
                    return
