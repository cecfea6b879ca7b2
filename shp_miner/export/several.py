"""Exports of several formats load as one dataset: their common card has one configuration per format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shp_miner.export.card import front_matter
from shp_miner.export.formats import FORMATS
from shp_miner.export.manifest import LAYOUT, to_json
from shp_miner.export.owned import MANIFEST, README, formats_in, remove_several, several_in
from shp_miner.store.replacing import replace_file


def write_several(folder: Path, formats: Mapping[str, Path]) -> None:
    """Write the common card and manifest of the formats in `folder`, made of their own."""
    names = [name for name in FORMATS if name in formats]
    manifests = {name: (formats[name] / MANIFEST).read_bytes() for name in names}
    read = {name: json.loads(data) for name, data in manifests.items()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in manifests.items()}
    text = _card(read, _license(formats[names[0]]))
    replace_file(folder / README, text.encode(), durable=True)
    replace_file(folder / MANIFEST, to_json({"layout": LAYOUT, "formats": hashes}).encode(), durable=True)


def refresh_several(folder: Path) -> None:
    """Update the common card and manifest of several formats after one format was written or deleted alone.

    Otherwise `datasets` would keep returning cached rows of the earlier files.
    """
    known = several_in(folder)
    found = formats_in(folder)
    left = {name: found[name] for name in known if name in found}
    if known and left:
        write_several(folder, left)
    else:
        remove_several(folder)


def _card(manifests: Mapping[str, Any], license_name: str) -> str:
    configs: dict[str, dict[str, list[str]]] = {}
    for name, data in manifests.items():
        for file in data["files"]:
            configs.setdefault(name, {}).setdefault(file["split"], []).append(f"{name}/{file['path']}")
    first = next(iter(manifests))
    rows = {name: sum(data["rows"].values()) for name, data in manifests.items()}
    content = "".join(file["sha256"] for data in manifests.values() for file in data["files"])
    lines = ["| configuration | rows | for | columns |", "|---|---:|---|---|"]
    lines += [f"| `{name}` | {rows[name]:,} | {FORMATS[name].purpose} | [card]({name}/README.md) |" for name in rows]
    parts = [
        front_matter(configs, first, sum(rows.values()), license_name, content),
        "# Preferences mined from forums, in several formats",
        "\n".join(lines),
        "The card of each format says how it was made, what a label is worth, and under which terms.",
        "```python\nfrom datasets import load_dataset\n\n"
        + "\n".join(f'dataset = load_dataset("PATH", "{name}")' for name in manifests)
        + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _license(folder: Path) -> str:
    """Return the licence in the card of one format; all formats have the same texts."""
    lines = (folder / README).read_text(encoding="utf-8").splitlines() if (folder / README).exists() else []
    named = [line.partition(": ")[2] for line in lines if line.startswith("license: ")]
    return named[0] if named else "other"
