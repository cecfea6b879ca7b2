"""Crawling one community: the parts of a run in their order, and the sum of what they did.

Each part (`listing`, `reading`, `visits`) keeps count of its work, also if it is interrupted. The next run continues an
interrupted one, because a thread is written to the store before it is marked in the crawl's state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from shp_miner.crawling.ask import Asking
from shp_miner.crawling.claims import Claims
from shp_miner.crawling.context import Context
from shp_miner.crawling.gone import Doubtful
from shp_miner.crawling.listing import Listing
from shp_miner.crawling.lookup import LookUp
from shp_miner.crawling.progress import Advance, Telling, ignore_progress
from shp_miner.crawling.reading import Reading
from shp_miner.crawling.result import VISITS_S, Crawled, Did
from shp_miner.crawling.retries import Retries
from shp_miner.crawling.state import CrawlState
from shp_miner.crawling.visits import Visits
from shp_miner.errors import BadInput, NotAllowed, TryLater
from shp_miner.platforms.items import Origin
from shp_miner.sources.http import Clock, OverBudget
from shp_miner.sources.source import Gone, Source, Unreadable
from shp_miner.store import Store
from shp_miner.units import microseconds

#: Why a run stopped that a person or the system ended.
INTERRUPTED = "interrupted"


class Part(Protocol):
    """A part of a run over a community. `did` is its work so far, also after an exception in `take`."""

    did: Did

    def take(self) -> None:
        """Do all work that can be done now."""
        ...


class Crawl:
    """One source's communities into one store.

    `limit` is the most threads to read per community; `visits_s` are the ages of later visits, ascending. `say` gets
    progress lines, and `advance` the same as numbers.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        state: CrawlState,
        *,
        clock: Clock,
        visits_s: Sequence[float] = VISITS_S,
        limit: int | None = None,
        say: Callable[[str], None] = lambda _: None,
        advance: Advance = ignore_progress,
    ) -> None:
        self._store, self._state, self._clock = store, state, clock
        self._source = Asking(source, self._now)
        self._visits_s, self._limit, self._say, self._advance = visits_s, limit, say, advance
        #: Whether a budget or an interruption ended a run: no other community may be crawled then.
        self.ended = False

    def run(self, community: str) -> Crawled:
        """List new and changed threads of a community (its name as `verify` returned it), and read them.

        If the run must stop (a budget, a source that is down, Ctrl-C), return what it did and why it stopped.
        """
        state = self._state
        context = self._context(community, state.waiting)
        done = self._done(
            context, [Listing(context), Reading(context, state.claim_waiting), Reading(context, state.claim_away)]
        )
        done.waiting, done.given_up = state.waiting(context.origin), state.given_up(context.origin)
        return done

    def recheck(self, community: str, unseen_since: int = 0) -> Crawled:
        """Visit the threads that are due, by the ids of their items if the source can do that.

        Threads that were given up, gone or unreadable are read whole when they are tried again. With `unseen_since`,
        also visit every thread that was last read before that time (microseconds since 1970).
        """
        state = self._state
        context = self._context(community, lambda origin: state.visits_left(origin, self._now()))
        parts: list[Part] = [
            Visits(context, state.claim_due),
            Reading(context, state.claim_once_more),
            Reading(context, state.claim_away),
        ]
        if unseen_since:
            state.ask_away_again(context.origin, unseen_since)
            parts.append(Visits(context, partial(state.claim_unseen, before=unseen_since)))
        done = self._done(context, parts)
        done.waiting = state.visits_left(context.origin, self._now())
        done.given_up = state.given_up(context.origin)
        return done

    def _context(self, community: str, count_left: Callable[[Origin], int]) -> Context:
        source, state, origin = self._source, self._state, self._source.origin(community)
        telling = Telling(origin, self._advance, lambda: count_left(origin))
        source.lost.clear()
        return Context(
            origin,
            source,
            self._store,
            state,
            self._now,
            self._visits_s,
            self._limit,
            self._say,
            telling=telling,
            claims=Claims(state, origin, self._now, self._limit, telling),
            doubtful=Doubtful(self._store, state, origin, self._now, at_once=source.tells_the_past),
            retries=Retries(state, self._now),
            look_up=LookUp(source, state),
        )

    def _done(self, context: Context, parts: Sequence[Part]) -> Crawled:
        """What the parts of a run did. However they end, what they found gone or hopeless is dealt with."""
        done = Crawled(context.origin.source, context.origin.site, context.origin.community)
        for part in parts:
            if not self._goes_on(context, done, partial(_add_up, done, part)):
                break
        for end in (_settle, _give_up):
            if not self._goes_on(context, done, partial(end, context, done)):
                break
        done.lost = dict(sorted(context.source.lost.items()))
        return done

    def _goes_on(self, context: Context, done: Crawled, step: Callable[[], None]) -> bool:
        """Take a step of a run; whether the next one may be taken. Where a listing breaks off, what it gave is read."""
        try:
            step()
        except OverBudget as over:
            done.stopped, self.ended = done.stopped or str(over), True
            return False
        except KeyboardInterrupt:
            done.stopped, self.ended = INTERRUPTED, True
            return False
        except (TryLater, NotAllowed, BadInput) as error:
            if not (done.listed or done.read or done.failed or context.doubtful.asked):
                raise
            done.stopped = done.stopped or error.message
            return not isinstance(error, NotAllowed)
        return True

    def _now(self) -> int:
        return microseconds(self._clock.now())


def _add_up(done: Crawled, part: Part) -> None:
    try:
        part.take()
    finally:
        done.add(part.did)


def _settle(context: Context, done: Crawled) -> None:
    settled = context.doubtful.settle(lambda: bool(done.read) or _another_can_be_read(context))
    done.gone, done.unreadable, done.refused = settled.gone, settled.unreadable, settled.why


def _give_up(context: Context, done: Crawled) -> None:
    """Give up what is hopeless, if another thread can be read: a site that is down is no fault of its threads."""
    origin, hopeless = context.origin, context.retries.hopeless(context.origin)
    if hopeless and (done.read or (done.stopped != INTERRUPTED and _another_can_be_read(context))):
        for post_id in hopeless:
            context.state.give_up(origin, post_id)
            context.say(f"{origin.community}: thread {post_id} failed for too long and is given up")


def _another_can_be_read(context: Context) -> bool:
    other = context.state.last_read(context.origin)
    try:
        if other is not None:
            context.source.thread(context.origin.community, other)
    except Gone:
        return True  # a later visit finds that out by itself
    except (TryLater, BadInput, NotAllowed, Unreadable, OverBudget):
        return False
    return other is not None
