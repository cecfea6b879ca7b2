"""The manifest: an export's files, input, settings and counts.

It has no clock time and no path, so the same input and configuration give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from shp_miner.export.compact import PAIRS
from shp_miner.export.formats import Format
from shp_miner.export.owned import LAYOUT
from shp_miner.export.shards import Shard
from shp_miner.mining.kept_fits import DRIFT
from shp_miner.mining.mine import Selection
from shp_miner.tally import Tally

#: Raised when the meaning of fitted values changes: exports keep no fit of another layout.
FIT_LAYOUT = 2

_LIBRARIES = ("shp-miner", "polars", "pyarrow")


class SourceCount(Struct, frozen=True):
    """The input of an export.

    digest: the sum of the content hashes of all live posts and answers; it identifies the input in any order of import.
    newest_us: the time of the newest observation, in microseconds since 1970. fits: the fitted values of each community
    (`fits_to_builtins`), from which confidences are computed, and which the next export keeps. arrival: votes by the
    order of arrival, and what the fits expect of them (`Arrival.data`).
    """

    digest: int
    newest_us: int | None
    fits: list[dict[str, Any]]
    arrival: list[dict[str, Any]]


def manifest_data(
    form: Format, selection: Selection, tally: Tally, source: SourceCount, shards: Sequence[Shard]
) -> dict[str, Any]:
    """Return the manifest of one format as plain data."""
    rows: Counter[str] = Counter()
    for shard in shards:
        if shard.part in (UNSET, PAIRS):
            rows[shard.split] += shard.rows
    return {
        "layout": LAYOUT,
        "format": form.name,
        "configuration": msgspec.to_builtins(selection),
        "input": {
            "digest": f"{source.digest:016x}",
            "newest_observation": None
            if source.newest_us is None
            else datetime.fromtimestamp(source.newest_us // 1_000_000, UTC).isoformat(),
        },
        "fit": {"layout": FIT_LAYOUT, "kept_until_drift": DRIFT},
        "calibration": source.fits,
        "arrival": source.arrival,
        "counts": {key: value for key, value in tally.to_dict().items() if key in ("kept", "dropped", "changed")},
        "rows": dict(sorted(rows.items())),
        "files": [msgspec.to_builtins(shard) for shard in shards],
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def to_json(data: dict[str, Any]) -> str:
    """Return the manifest's text."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"
