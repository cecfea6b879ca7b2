"""Reading whole threads of a community, and handling threads that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from shp_miner.crawling.claims import Claim
from shp_miner.crawling.context import Context
from shp_miner.crawling.doubts import CLOSED
from shp_miner.crawling.keeping import Keeping
from shp_miner.crawling.result import Did
from shp_miner.crawling.state import Known
from shp_miner.errors import BadInput, TryLater
from shp_miner.platforms.items import Thread
from shp_miner.sources.http import OverBudget
from shp_miner.sources.source import Gone, Unreadable

Answered = TypeVar("Answered")


class Reading:
    """Reads the threads that `claim` gives. `did` is its work so far, also after an interruption."""

    def __init__(self, context: Context, claim: Claim) -> None:
        self._context, self._claim, self.did = context, claim, Did()
        self._keeping = Keeping(context, self.did)
        #: Threads that are asked for together.
        self._size = context.source.threads_per_request

    def take(self) -> None:
        """Read all threads that can be claimed. Threads that were read are stored even if the run is interrupted."""
        try:
            with closing(self._context.claims.batches(self._claim, self.did, self._size)) as batches:
                for post_ids in batches:
                    self._batch(self._context.state.known(self._context.origin, post_ids))
        finally:
            self._keeping.store()

    def _batch(self, threads: Sequence[Known]) -> None:
        if self._size > 1:
            self._together(threads)
        else:
            self._thread(threads[0])

    def _thread(self, known: Known) -> None:
        """Read one thread whole; what cannot be read waits for a later run."""
        context = self._context
        try:
            thread = context.source.thread(context.origin.community, known.post_id)
        except Gone as gone:
            self._keeping.store()
            context.doubtful.thread(known, "flag", gone.state)
        except Unreadable as unreadable:
            self._keeping.store()  # another thread is asked for beside it: the one that was read last
            # A look-up by id is another way to ask; a door that is closed needs no second knock.
            certain = unreadable.evidence == "missing" and context.look_up.misses(context.origin, known)
            context.doubtful.thread(known, unreadable.evidence, "removed", unreadable.why, certain=certain)
            context.claims.shut = unreadable.why if unreadable.evidence in CLOSED else context.claims.shut
        except OverBudget:
            context.claims.cut_off = known.post_id
            raise
        except (TryLater, BadInput) as error:
            self._failed(known, error)
        else:
            self._keeping.add(known, thread)

    def _together(self, threads: Sequence[Known]) -> None:
        """Read several threads with one request; what does not come back is asked for by itself: it may be a slip."""

        def fetch(part: Sequence[Known]) -> dict[str, Thread]:
            return self._context.source.threads(self._context.origin.community, [known.post_id for known in part])

        for part, found in self._fetched(threads, fetch):
            for known in part:
                if known.post_id in found:
                    self._keeping.add(known, found[known.post_id])
            for known in part:
                if known.post_id not in found:
                    self._thread(known)

    def _fetched(
        self, threads: Sequence[Known], fetch: Callable[[Sequence[Known]], Answered], *, split: bool = True
    ) -> list[tuple[Sequence[Known], Answered]]:
        """What the source says of several threads. A bad one among them is found by halves, and only that one fails."""
        try:
            return [(threads, fetch(threads))]
        except Unreadable:
            for known in threads:
                self._thread(known)
            return []
        except (TryLater, BadInput) as error:
            if isinstance(error, TryLater) or len(threads) == 1 or not split:
                for known in threads:
                    self._failed(known, error)
                return []
        middle = len(threads) // 2
        good = self._fetched(threads[:middle], fetch)
        # Where a whole half is bad it is no matter of single threads, and not worth so many requests.
        return good + self._fetched(threads[middle:], fetch, split=bool(good))

    def _failed(self, known: Known, error: TryLater | BadInput) -> None:
        self.did.failed += 1
        self._context.claims.answered = self._context.claims.answered and not isinstance(error, TryLater)
        self._context.retries.put_off(self._context.origin, known.post_id, error.message)
