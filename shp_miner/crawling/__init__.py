"""Crawling: reading live forums into the store, and visiting the threads again as they age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shp_miner.crawling.result import Crawled
    from shp_miner.crawling.run import crawl, recheck
    from shp_miner.sources.registry import Access

#: Scripts imported these from here when it was one module.
__all__ = ["Access", "Crawled", "crawl", "recheck"]


def __getattr__(name: str) -> Any:
    import shp_miner  # noqa: PLC0415 - it imports nothing before it is asked for

    if name in __all__:
        return getattr(shp_miner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
