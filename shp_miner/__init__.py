"""Mine preference data for reward models from forum threads.

The commands of `shp-miner` call these same names:

    import_dump(kind, paths, store)     dump files into a store
    crawl(source, names, store, access) threads of a living forum into a store; `recheck` visits them again
    forget(store, authors=, ids=)       content out of a store and its exports
    export_dataset(store, out, rule=)   a store through a rule into Parquet shards
    load(out)                           an export as a datasets.Dataset
    preset(name, **parameters)          a rule
    make_pairs(posts, answers, rule)    the pairs of one rule, without a store
    Store(path)                         the store itself
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from shp_miner.crawling.run import Access, Crawled, crawl, recheck
    from shp_miner.dumps.importing import Imported, import_dump
    from shp_miner.errors import BadInput, Error, Incomplete, NotAllowed, TryLater, UsageError
    from shp_miner.export.dataset import Exported, export_dataset
    from shp_miner.export.formats import FORMATS
    from shp_miner.export.load import load
    from shp_miner.forgetting.forget import Forgot, forget
    from shp_miner.rules.pairs import make_pairs
    from shp_miner.rules.presets import PRESETS, Rule, preset
    from shp_miner.store import Store

# Nothing is imported before it is used: `shp-miner --help` must not wait for Arrow.
_HOME = {
    "Access": "sources.registry",
    "BadInput": "errors",
    "crawl": "crawling.run",
    "Crawled": "crawling.result",
    "Error": "errors",
    "export_dataset": "export.dataset",
    "Exported": "export.dataset",
    "forget": "forgetting.forget",
    "Forgot": "forgetting.forget",
    "FORMATS": "export.formats",
    "import_dump": "dumps.importing",
    "Imported": "dumps.importing",
    "Incomplete": "errors",
    "load": "export.load",
    "make_pairs": "rules.pairs",
    "NotAllowed": "errors",
    "preset": "rules.presets",
    "PRESETS": "rules.presets",
    "recheck": "crawling.run",
    "Rule": "rules.presets",
    "Store": "store",
    "TryLater": "errors",
    "UsageError": "errors",
}

__all__ = [
    "FORMATS",
    "PRESETS",
    "Access",
    "BadInput",
    "Crawled",
    "Error",
    "Exported",
    "Forgot",
    "Imported",
    "Incomplete",
    "NotAllowed",
    "Rule",
    "Store",
    "TryLater",
    "UsageError",
    "__version__",
    "crawl",
    "export_dataset",
    "forget",
    "import_dump",
    "load",
    "make_pairs",
    "preset",
    "recheck",
]


if not TYPE_CHECKING:  # or a name that is written wrong would be of any type

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return import_module("importlib.metadata").version("shp-miner")
        if name not in _HOME:
            raise AttributeError(f"module 'shp_miner' has no attribute {name!r}")
        value = getattr(import_module(f"shp_miner.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
