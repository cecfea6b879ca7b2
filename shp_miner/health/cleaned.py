"""What cleaning left out of the exports of a store, read from their manifests."""

from __future__ import annotations

from typing import Any, TypedDict

from shp_miner.errors import BadInput
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import formats_in
from shp_miner.export.registered import all_exports
from shp_miner.paths import expanded
from shp_miner.places.schemes import is_remote
from shp_miner.rules.reasons import CLEANED, EDITED
from shp_miner.store import Store


class CleanedExport(TypedDict):
    """An export: its folder and cleaning, its pairs, and by kind and reason what cleaning left out and changed."""

    path: str
    clean: str
    pairs: int
    left_out: dict[str, dict[str, int]]
    changed: dict[str, dict[str, int]]


def cleaned_exports(store: Store) -> list[CleanedExport]:
    """Return the exports of a store on this machine's disks that were cleaned or screened, by path.

    One that is not there or whose manifest cannot be read is left out.
    """
    found = []
    for known in all_exports(store)[0]:
        try:
            folders = {} if is_remote(known.path) else formats_in(expanded(known.path))
            manifest = read_manifest(next(iter(folders.values()))) if folders else {}
        except (BadInput, OSError):
            continue
        about = manifest.get("configuration", {})
        clean = (about.get("clean") or {}).get("name", "none")
        if clean == "none" and not about.get("decontaminate"):
            continue
        counts = manifest.get("counts", {})
        left_out, changed = _of(counts.get("dropped", {}), CLEANED), _of(counts.get("changed", {}), EDITED)
        pairs = counts.get("kept", {}).get("pair", 0)
        found.append(CleanedExport(path=known.path, clean=clean, pairs=pairs, left_out=left_out, changed=changed))
    return found


def _of(counts: dict[str, dict[str, int]], reasons: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return the counts with one of the reasons."""
    chosen = {kind: {key: n for key, n in by.items() if key in reasons} for kind, by in counts.items()}
    return {kind: by for kind, by in chosen.items() if by}
