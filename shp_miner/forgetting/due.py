"""Purges a store after an import. What rewrites content is imported only where there is something to purge."""

from __future__ import annotations

from shp_miner.forgetting.told_gone import DOING, look_for_deletions
from shp_miner.store import Store
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.identity import EXPORTS, settle_identity
from shp_miner.store.lock import exclusive_lock


def purge_if_due(store: Store) -> None:
    """Do what `forget.purge` does. Raises TryLater while somebody uses the store."""
    # Copies that wait to be purged are noted with the exports.
    if not (store.path / EXPORTS).is_dir():
        if not has_pending(store.path):
            return
        with exclusive_lock(store.path, DOING):
            settle_identity(store.path)
            look_for_deletions(store)
            if not has_pending(store.path):
                return
    from shp_miner.forgetting.forget import purge  # noqa: PLC0415  (it imports all that exports need)

    purge(store)
