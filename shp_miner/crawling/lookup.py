"""Looking up missing items by id, together with an item that exists."""

from __future__ import annotations

from collections.abc import Sequence

from shp_miner.crawling.ask import Asking, Seen
from shp_miner.crawling.state import CrawlState, Known
from shp_miner.errors import BadInput, NotAllowed, TryLater
from shp_miner.platforms.items import Answer, Origin
from shp_miner.sources.http import OverBudget
from shp_miner.sources.source import Unreadable


class LookUp:
    """Looks up items by id if the source can do that; otherwise there is no evidence against any item.

    An item counts as missing only if the same answer contains another item, which shows that the site works.
    """

    def __init__(self, source: Asking, state: CrawlState) -> None:
        self._source, self._state = source, state

    def misses(self, origin: Origin, known: Known) -> bool:
        """Whether a thread is missing by id too, while another thread of its community is found."""
        other = self._state.last_read(origin, besides=known.post_id) if self._source.looks_up else None
        found = None if other is None else self._again(origin, [other, known.post_id], [])
        return found is not None and found.post_states.keys() == {other}

    def answers(self, origin: Origin, known: Known, answer_ids: Sequence[str]) -> tuple[list[Answer], list[str]]:
        """Return the answers of a readable thread that are found by id, and the ids of those that are not."""
        found: list[Answer] = []
        there: set[str] = set()
        missed: list[str] = []
        size = self._source.ids_per_request - 1
        for start in range(0, len(answer_ids) if self._source.looks_up else 0, size):
            part = answer_ids[start : start + size]
            items = self._again(origin, [known.post_id], [(known.post_id, answer_id) for answer_id in part])
            if items is not None and items.post_states:
                found += items.answers
                there |= {answer_id for _, answer_id in items.answer_states}
                missed += part
        return found, [answer_id for answer_id in missed if answer_id not in there]

    def _again(self, origin: Origin, post_ids: list[str], answer_ids: list[tuple[str, str]]) -> Seen | None:
        """Items by id, None where the source could not be asked just now, or said what cannot be understood."""
        try:
            found = self._source.again(origin, post_ids, answer_ids)
        except (TryLater, BadInput, NotAllowed, Unreadable, OverBudget):
            return None
        return found if found.whole else None
