"""The key under which a store writes people's names as hashes. It stays in the store: no export has it.

With it somebody could try names until a hash fits. Without it, later exports get other hashes for the same people.
"""

from __future__ import annotations

from pathlib import Path

from shp_miner.errors import BadInput
from shp_miner.store.salt import FILES, first_salt, heal_salt

_FOLDER = "people"


def people_key(store: Path) -> bytes:
    """Return the store's key, 16 bytes, made if there is none. Raises BadInput if it is damaged."""
    folder = store / _FOLDER
    key = heal_salt(folder)
    if key is None and not any((folder / name).exists() for name in FILES):
        key = first_salt(folder)
    if key is None:
        raise BadInput(
            f"The key of people's names {folder} is damaged.",
            "Restore the folder from a backup, or delete it: exports then get other hashes for the same people.",
        )
    return key
