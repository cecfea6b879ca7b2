"""The manifest: what an export holds, what it was made of and how, and what was left out.

No clock and no path is in it, so the same input and configuration give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from shp_miner.export.formats import Format
from shp_miner.export.shards import Shard
from shp_miner.mining.mine import Selection
from shp_miner.tally import Tally

#: Raised when the manifest's own layout changes.
LAYOUT = 1

_LIBRARIES = ("shp-miner", "polars", "pyarrow")


class Source(Struct, frozen=True):
    """What an export was made of.

    digest: the sum of the content hashes of every post and answer read, which identifies the input whatever the order
    in which it was imported. newest_us: when the newest observation was made, in microseconds since 1970.
    fits: the fitted values of each community (`Calibration.fits`), on which confidences rest.
    """

    digest: int
    newest_us: int | None
    fits: list[dict[str, Any]]


def manifest(
    form: Format, selection: Selection, tally: Tally, source: Source, shards: Sequence[Shard]
) -> dict[str, Any]:
    """The manifest of one format as plain data."""
    rows: Counter[str] = Counter()
    for shard in shards:
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
        "calibration": source.fits,
        "counts": {key: value for key, value in tally.to_dict().items() if key in ("kept", "dropped", "changed")},
        "rows": dict(sorted(rows.items())),
        "files": [msgspec.to_builtins(shard) for shard in shards],
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def to_json(data: dict[str, Any]) -> str:
    """The manifest's text."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"
