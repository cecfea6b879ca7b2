"""Visits by age: reading known threads again, by the ids of their items if that is enough."""

from __future__ import annotations

from collections.abc import Sequence

from shp_miner.crawling.ask import Seen
from shp_miner.crawling.claims import Claim
from shp_miner.crawling.context import Context
from shp_miner.crawling.keeping import append_items, looked_up
from shp_miner.crawling.reading import Reading
from shp_miner.crawling.result import next_visit
from shp_miner.crawling.state import Known
from shp_miner.sources.source import Evidence
from shp_miner.units import microseconds

#: Threads visited together where items are read by id.
_VISITED_TOGETHER = 50

#: Until this age a visit reads the whole thread where no listing announces answers: later hardly any come.
_ANSWERED_S = 2 * 86_400.0


class Visits(Reading):
    """Visits the threads that `claim` gives. `did` is its work so far, also after an interruption."""

    def __init__(self, context: Context, claim: Claim) -> None:
        super().__init__(context, claim)
        self._size = _VISITED_TOGETHER if context.source.ids_per_request else 1

    def _batch(self, threads: Sequence[Known]) -> None:
        by_id = []
        for known in threads:
            if self._is_by_id(known):
                by_id.append(known)
            else:
                self._thread(known)
        if by_id:
            self._again(by_id)

    def _is_by_id(self, known: Known) -> bool:
        """Whether reading the known items is enough: late, or where a listing announces new answers."""
        source = self._context.source
        if not source.ids_per_request or known.gone_at is not None:
            return False
        young = known.created_at is None or self._context.now() - known.created_at < microseconds(_ANSWERED_S)
        return source.lists_activity or not young

    def _again(self, threads: Sequence[Known]) -> None:
        """Read items by id, as many at a time as the source takes; what does not come back is gone."""
        for part, seen in self._fetched(threads, self._items):
            context, now = self._context, self._context.now()
            self.did.answers += len(seen.answer_states)
            context.telling.found(len(seen.answer_states))
            for known in part:
                if known.post_id in seen.post_states:
                    self._visited(known, seen, now)
                else:
                    self._thread(known)  # asked for by itself: what is absent may be a slip

    def _visited(self, known: Known, seen: Seen, now: int) -> None:
        """Mark a thread as visited, and hold what is shown of it against what was known."""
        context = self._context
        shown = {id_: state for (post_id, id_), state in seen.answer_states.items() if post_id == known.post_id}
        back = [answer_id for answer_id in known.gone_answers if shown.get(answer_id) == "live"]
        context.state.back(context.origin, known.post_id, back)
        absent: Evidence | None = "missing" if seen.whole else None
        found, certain = looked_up(context, known, shown, absent)
        if found:
            append_items(context, [known], [], found, {})
            shown |= {answer.answer_id: answer.state for answer in found}
        context.doubtful.certain(known, certain)
        again = context.doubtful.parts(known, seen.post_states[known.post_id], shown, absent)
        due = next_visit(known.created_at or now, known.first_read_at or now, now, context.visits_s)
        context.state.visited(context.origin, known.post_id, now, min(due, again or due))
        self.did.read += 1
        self.did.restored += len(back)

    def _items(self, threads: Sequence[Known]) -> Seen:
        """Ask for the known items of threads by their ids and store what there is."""
        every = Seen([], [], {}, {}, whole=True)
        for seen in self._context.source.items(self._context.origin, threads):
            append_items(self._context, threads, seen.posts, seen.answers, {})
            every.post_states |= seen.post_states
            every.answer_states |= seen.answer_states
            every.whole &= seen.whole
        return every
