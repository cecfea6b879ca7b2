"""The store: two append-only Delta tables, posts and answers. A row is one observation; the newest wins.

Modules that need no tables are imported without them: they take a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shp_miner.store.lake import Store, StoreWriter
    from shp_miner.store.snapshot import HashRange, Snapshot, Within

__all__ = ["HashRange", "Snapshot", "Store", "StoreWriter", "Within"]

_HOME = {"Store": "lake", "StoreWriter": "lake", "HashRange": "snapshot", "Snapshot": "snapshot", "Within": "snapshot"}


if not TYPE_CHECKING:  # or a name that is written wrong would be of any type

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
