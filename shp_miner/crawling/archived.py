"""Times for items that an archive shows again after they were hidden or purged.

An archive's observation has the time at which the archive read the item, which may be long ago. A crawl may have noted
the item as gone since then. The older observation would lose, and the item would stay hidden. So it gets the time of
that note plus one microsecond. Score ages stay true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import structs

from shp_miner.crawling.state import CrawlState, Known
from shp_miner.platforms.items import Answer, Origin, Post
from shp_miner.store import Store
from shp_miner.store.forget import noted_away
from shp_miner.store.forgotten_list import ForgottenItem

#: The time of a hiding or a tombstone that follows at once upon what was last observed of an item.
AT_ONCE = 0

Shown = TypeVar("Shown", Post, Answer)


def after_what_is_known(
    store: Store, state: CrawlState, origin: Origin, threads: Iterable[Known], items: Sequence[Shown]
) -> list[Shown]:
    """Return the items. An item that was noted as gone and is shown again gets a time just after that note."""
    doubtful = {known.post_id for known in threads if _was_away(state, origin, known)}
    wanted = [item for item in items if item.post_id in doubtful and item.state == "live"]
    away = noted_away(store, [_item(origin, item) for item in wanted])
    return [_later(item, away.get(_item(origin, item))) for item in items]


def _was_away(state: CrawlState, origin: Origin, known: Known) -> bool:
    gone = known.gone_at is not None or known.post_gone or bool(known.gone_answers)
    return gone or state.doubts.about(origin, known.post_id)


def _item(origin: Origin, item: Post | Answer) -> ForgottenItem:
    return ForgottenItem(origin.site, item.post_id, item.answer_id if isinstance(item, Answer) else None)


def _later(item: Shown, away_at: int | None) -> Shown:
    if away_at is None or item.observed_at is None or item.observed_at > away_at:
        return item
    return structs.replace(item, observed_at=away_at + 1)
