"""What the parts of a run over one community work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shp_miner.crawling.ask import Asking
from shp_miner.crawling.claims import Claims
from shp_miner.crawling.gone import Doubtful
from shp_miner.crawling.lookup import LookUp
from shp_miner.crawling.progress import Telling
from shp_miner.crawling.retries import Retries
from shp_miner.crawling.state import CrawlState
from shp_miner.platforms.items import Origin
from shp_miner.store import Store


@dataclass(frozen=True)
class Context:
    """One community of one source, the store, and what this run knows of its threads.

    `now` tells the time in microseconds since 1970. `visits_s`, `limit` and `say` are as in `Crawl`.
    """

    origin: Origin
    source: Asking
    store: Store
    state: CrawlState
    now: Callable[[], int]
    visits_s: Sequence[float]
    limit: int | None
    say: Callable[[str], None]
    telling: Telling
    claims: Claims
    doubtful: Doubtful
    retries: Retries
    look_up: LookUp
