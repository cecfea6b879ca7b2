"""The store: two append-only Delta tables, posts and answers. A row is one observation; the newest wins."""

from shp_miner.store.lake import Store, StoreWriter
from shp_miner.store.snapshot import HashRange, Snapshot, Within

__all__ = ["HashRange", "Snapshot", "Store", "StoreWriter", "Within"]
