"""What a crawl finds gone: its items become tombstones in the store, and its state remembers that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Literal

from shp_miner.sources.items import Origin
from shp_miner.sources.items import State as Shown
from shp_miner.store import Store
from shp_miner.store.forget import tombstone
from shp_miner.store.forgotten_list import Item
from shp_miner.store.state import Known, State


class Burials:
    """What is gone of a store's threads. `now` tells the time in microseconds since 1970."""

    def __init__(self, store: Store, state: State, now: Callable[[], int]) -> None:
        self._store, self._state, self._now = store, state, now

    def thread(self, origin: Origin, known: Known, how: Literal["deleted", "removed"]) -> int:
        """A whole thread is gone: it is never asked for again. Returns 1."""
        if known.created_at is not None:
            items = [Item(origin.site, known.post_id, None)]
            items += [Item(origin.site, known.post_id, answer_id) for answer_id, _ in known.answers]
            tombstone(self._store, items, how, self._now())
        self._state.gone(origin, known.post_id)
        return 1

    def parts(self, origin: Origin, known: Known, post: Shown, answers: Mapping[str, Shown], absent: Shown) -> int:
        """Parts of a thread are gone: its post, or answers that were there. Stubs count, and what is `absent`.

        Returns how many.
        """
        gone: dict[Literal["deleted", "removed"], list[str | None]] = defaultdict(list)
        if post not in ("live", "unreadable") and known.created_at is not None and not known.post_gone:
            gone[post].append(None)
        for answer_id, _ in known.answers:
            state = answers.get(answer_id, absent)
            if state not in ("live", "unreadable"):
                gone[state].append(answer_id)
        for state, ids in gone.items():
            tombstone(self._store, [Item(origin.site, known.post_id, one) for one in ids], state, self._now())
            self._state.parts_gone(origin, known.post_id, ids)
        return sum(map(len, gone.values()))
