"""Items that a crawl finds gone or unreadable: the evidence against each, and its effect at the end of the run.

    readable --cannot be read--> unreadable (hidden from exports, requested again) --confirmed--> gone (purged)
    readable --the platform's own flag--> gone
    unreadable or gone --shown again--> readable

A purge cannot be undone, so one doubtful answer never leads to it. A brake applies to all evidence: if too many items
are gone at once, they are hidden, and requested again before anything is purged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeGuard

import msgspec

from shp_miner.crawling.archived import AT_ONCE
from shp_miner.crawling.doubts import CLOSED, Against, Doubt
from shp_miner.crawling.state import CrawlState, Known
from shp_miner.platforms.items import Answer, ItemState, Origin, Post
from shp_miner.store import Store
from shp_miner.store.forget import hide_items, items_of_threads, tombstone_items
from shp_miner.store.forgotten_list import ForgottenItem

_HOUR_US = 3600 * 1_000_000
_DAY_US = 24 * _HOUR_US

#: What cannot be read is asked for again after this time, then after twice as long each time, up to a month. A daily
#: run then asks on the first three days, and purges within the 48 hours that platforms give for deletions.
AGAIN_US = 10 * _HOUR_US
_LONGEST_US = 30 * _DAY_US

#: So many askings over so long confirm that an item is gone, where the platform says so only by leaving it out.
CONFIRM_ASKINGS = 3
CONFIRM_US = 30 * _HOUR_US

#: So many look-ups by id, at times apart, confirm it where the platform can be asked so.
CONFIRM_LOOK_UPS = 2

#: How long they must be apart where the brake holds, and where no other thread of the community can be read, so that
#: the site itself may be what is wrong.
BRAKED_US = 7 * _DAY_US
ALONE_US = 14 * _DAY_US

#: The brake: more of a run's threads, or of its items, are gone at once than these numbers and than this share.
FEW_THREADS, FEW_ITEMS, SHARE = 3, 20, 0.1

#: A thread that is gone is asked for again after a day, then at doubling distances.
_GONE_AGAIN_US = _DAY_US

#: Doubts are held back for the end of a run, so that the store is written to once; but no more than this.
_HELD = 200

Tombstone = Literal["deleted", "removed"]


class Settled(msgspec.Struct):
    """The outcome of a run's doubts: purged items, threads that stay unreadable, and a sentence if they are many."""

    gone: int = 0
    unreadable: int = 0
    why: str | None = None


class Doubtful:
    """The items that one run over a community found gone or unreadable.

    `now` gives the time in microseconds since 1970. With `at_once`, a note about an item gets a time just after the
    item's newest observation, because the source is an archive.
    """

    def __init__(
        self, store: Store, state: CrawlState, origin: Origin, now: Callable[[], int], *, at_once: bool = False
    ) -> None:
        self._store, self._state, self._origin, self._now = store, state, origin, now
        self._noted_at: Callable[[], int] = (lambda: AT_ONCE) if at_once else now
        self._threads, self._items = 0, 0
        self._known: dict[str, Known] = {}
        self._doubts: dict[tuple[str, str | None], Doubt] = {}
        self._certain: set[tuple[str, str | None]] = set()
        self._why = ""

    @property
    def asked(self) -> int:
        """Return how many existing threads this run has requested, whether or not they could be read."""
        return self._threads

    def thread(self, known: Known, against: Against, how: Tombstone, why: str = "", *, certain: bool = False) -> None:
        """Note that a whole thread is gone or unreadable. `certain`: a look-up by id confirms it."""
        self._asked(known)
        now, origin = self._now(), self._origin
        if known.gone_at is not None:
            self._state.gone(origin, known.post_id, now, now + max(_GONE_AGAIN_US, now - known.gone_at))
            return
        self._why = why or self._why
        self._note(known, None, against, how, whole=True, certain=certain)
        times = self._state.times_unreadable(origin, known.post_id)
        self._state.unreadable(origin, known.post_id, times + 1, now + _wait_us(times))

    def parts(
        self, known: Known, post: ItemState, answers: Mapping[str, ItemState], absent: Against | None
    ) -> int | None:
        """Note the missing parts of a thread that was read: its post, absent answers, and stubs.

        `absent` is the evidence against an absent answer, None if there is none. Returns when to request the thread
        again, None if nothing is in doubt.
        """
        self._asked(known)
        back = {answer_id for answer_id, state in answers.items() if state == "live"}
        if self._state.doubts.shown(self._origin, known.post_id):
            self._state.door_opened(self._origin)  # what it kept from being read need not wait any longer
        self._state.doubts.clear(self._origin, known.post_id, [None, *back] if post == "live" else back)
        again = []
        if known.created_at is not None and not known.post_gone and _is_gone(post):
            again.append(self._note(known, None, "flag", post))
        for answer_id, _ in known.answers:
            state = answers.get(answer_id)
            if state is None and absent is not None:
                again.append(self._note(known, answer_id, absent, "deleted"))
            elif state is not None and _is_gone(state):
                again.append(self._note(known, answer_id, "flag", state))
        return min((self._now() + _wait_us(doubt.askings - 1) for doubt in again), default=None)

    def certain(self, known: Known, answer_ids: Iterable[str]) -> None:
        """Note that a look-up by id confirms that these answers are gone."""
        self._certain.update((known.post_id, answer_id) for answer_id in answer_ids)

    def settle(self, vouched: Callable[[], bool]) -> Settled:
        """Purge items with sufficient evidence and hide the others. `vouched`: another thread can be read."""
        done = Settled(unreadable=sum(doubt.whole for doubt in self._doubts.values()))
        braked, slow = self._braked(), self._many_lately()
        ripe = [
            doubt
            for doubt in self._doubts.values()
            if self._is_ripe(doubt, braked or (slow and doubt.against != "flag"), vouched)
        ]
        states: tuple[Tombstone, ...] = ("deleted", "removed")
        for how in states:
            items = self._items_of([doubt for doubt in ripe if doubt.state == how])
            for start in range(0, len(items), _HELD):
                tombstone_items(self._store, items[start : start + _HELD], how, self._noted_at())
        now = self._now()
        for doubt in ripe:
            done.gone += 1
            done.unreadable -= doubt.whole
            if doubt.whole:
                self._state.gone(self._origin, doubt.post_id, now, now + _GONE_AGAIN_US)
                self._state.doubts.clear(self._origin, doubt.post_id)
            else:
                self._state.parts_gone(self._origin, doubt.post_id, [doubt.answer_id])
                self._state.doubts.clear(self._origin, doubt.post_id, [doubt.answer_id])
        self._hide()
        done.why = self._sentence(braked)
        return done

    # -- inside -------------------------------------------------------------------------------------------------------

    def _asked(self, known: Known) -> None:
        self._threads += 1
        self._items += len(known.answers)

    def _note(
        self, known: Known, answer_id: str | None, against: Against, how: Tombstone, *, whole: bool = False,
        certain: bool = False,
    ) -> Doubt:  # fmt: skip
        doubt = self._state.doubts.note(
            self._origin, known.post_id, answer_id, whole=whole, against=against, state=how, now=self._now()
        )
        key = known.post_id, answer_id
        self._known[known.post_id], self._doubts[key] = known, doubt
        if certain:
            self._certain.add(key)
        if len(self._doubts) % _HELD == 0:
            self._hide()
        return doubt

    def _braked(self) -> bool:
        """Whether more is gone at once than is believed without another look."""
        new = [doubt for doubt in self._doubts.values() if doubt.against not in CLOSED and self._was_read(doubt)]
        threads = sum(doubt.whole for doubt in new)
        return _too_many(threads, self._threads, FEW_THREADS) or _too_many(len(new) - threads, self._items, FEW_ITEMS)

    def _many_lately(self) -> bool:
        """Whether as much was absent or refused over the last days: runs that ask for little see little at once."""
        since = self._now() - BRAKED_US
        read, gone = self._state.lately(self._origin, since)
        threads, items = self._state.doubts.unconfirmed(self._origin)
        if _too_many(threads + gone, read + threads + gone, FEW_THREADS):
            return True
        return items > FEW_ITEMS and _too_many(items, self._state.answers_lately(self._origin, since), FEW_ITEMS)

    def _was_read(self, doubt: Doubt) -> bool:
        return self._known[doubt.post_id].created_at is not None

    def _is_ripe(self, doubt: Doubt, braked: bool, vouched: Callable[[], bool]) -> bool:
        if doubt.against in CLOSED or doubt.first_asked is None:
            return False
        span, flagged = self._now() - doubt.first_asked, doubt.against == "flag"
        # A look-up by id is the platform's own word, but the same question asked twice at once is asked once.
        certain = (doubt.post_id, doubt.answer_id) in self._certain and doubt.askings >= CONFIRM_LOOK_UPS
        if (flagged or certain) and not braked:
            return True
        if doubt.askings < CONFIRM_ASKINGS or span < (BRAKED_US if braked else CONFIRM_US):
            return False
        # A site that refuses all it has may have closed; one that knows nothing any more may be broken for a while.
        return flagged or not doubt.whole or vouched() or (doubt.against == "missing" and span >= ALONE_US)

    def _items_of(self, doubts: Sequence[Doubt]) -> list[ForgottenItem]:
        """What a purge takes: of a whole thread what this crawl read, and what the store has from others."""
        site = self._origin.site
        whole = [doubt.post_id for doubt in doubts if doubt.whole]
        items = items_of_threads(self._store, site, whole)
        for doubt in doubts:
            known = self._known[doubt.post_id]
            if known.created_at is None:
                continue
            items.append(ForgottenItem(site, doubt.post_id, doubt.answer_id))
            if doubt.whole:
                items += [ForgottenItem(site, doubt.post_id, answer_id) for answer_id, _ in known.answers]
        return list(dict.fromkeys(items))

    def _hide(self) -> None:
        """Keep out of exports what is in doubt, and was not hidden yet, in this run or one that was killed."""
        doubts = self._state.doubts.unhidden(self._origin)
        for start in range(0, len(doubts), _HELD):
            some = doubts[start : start + _HELD]
            hide_items(
                self._store,
                [ForgottenItem(self._origin.site, doubt.post_id, doubt.answer_id) for doubt in some],
                self._noted_at(),
            )
            self._state.doubts.hid(self._origin, some)

    def _sentence(self, braked: bool) -> str | None:
        """What a person should know, where it is more than single items."""
        whole = [doubt for doubt in self._doubts.values() if doubt.whole]
        shut = sum(doubt.against in CLOSED for doubt in whole)
        many = f"{len(whole)} of {self._threads} threads"
        if shut or (whole and _too_many(len(whole), self._threads, FEW_THREADS)):
            why = self._why.rstrip(".")
            return f"{many} cannot be read{why and f' ({why})'}; they are hidden, not purged."
        if braked:
            items = f"{len(self._doubts)} items of {self._threads} threads"
            return f"{items} disappeared at once; they are hidden and requested again before anything is purged."
        return None


def tells_of_unknown(threads: Iterable[Known], posts: Iterable[Post], answers: Iterable[Answer]) -> bool:
    """Whether items are reported gone that this crawl never read: the store may have their text from other sources."""
    read: set[tuple[str, str | None]] = set()
    for known in threads:
        ids = [*(answer_id for answer_id, _ in known.answers), *known.gone_answers]
        read |= {(known.post_id, answer_id) for answer_id in [*ids, *([] if known.created_at is None else [None])]}
    gone: set[tuple[str, str | None]] = {(post.post_id, None) for post in posts if _is_gone(post.state)}
    gone |= {(answer.post_id, answer.answer_id) for answer in answers if _is_gone(answer.state)}
    return not gone <= read


def _is_gone(state: ItemState) -> TypeGuard[Tombstone]:
    return state in ("deleted", "removed")


def _too_many(count: int, of: int, few: int) -> bool:
    return count > max(few, SHARE * of)


def _wait_us(times: int) -> int:
    """How long to wait after so many askings before the one that failed just now."""
    return min(AGAIN_US << min(max(times, 0), 20), _LONGEST_US)
