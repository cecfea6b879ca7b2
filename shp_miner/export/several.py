"""Exports of several formats load as one dataset: their common card has one configuration per format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shp_miner.export.card import glance, is_compact, loading_line, marked, terms
from shp_miner.export.card_making import sites
from shp_miner.export.card_worth import worth
from shp_miner.export.compact import PAIRS, part_name
from shp_miner.export.formats import FORMATS
from shp_miner.export.front import front_matter, languages_for_hub, licensing, tasks_of, title_of
from shp_miner.export.manifest import to_json
from shp_miner.export.markdown import plain, table
from shp_miner.export.owned import (
    LAYOUT,
    MANIFEST,
    README,
    formats_in,
    remove_reports,
    remove_several,
    several_in,
)
from shp_miner.rules.hashing import SPLITS
from shp_miner.rules.written import rule_of_manifest
from shp_miner.store.replacing import replace_file


def write_several(folder: Path, formats: Mapping[str, Path]) -> None:
    """Write the common card and manifest of the formats in `folder`, made of their own."""
    names = [name for name in FORMATS if name in formats]
    manifests = {name: (formats[name] / MANIFEST).read_bytes() for name in names}
    read = {name: json.loads(data) for name, data in manifests.items()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in manifests.items()}
    text = _card(read)
    replace_file(folder / README, text.encode(), durable=True)
    replace_file(folder / MANIFEST, to_json({"layout": LAYOUT, "formats": hashes}).encode(), durable=True)


def refresh_several(folder: Path) -> None:
    """Update the common card and manifest of several formats after one format was written or deleted alone.

    Otherwise `datasets` would keep returning cached rows of the earlier files.
    """
    known = several_in(folder)
    found = formats_in(folder) if known else {}
    left = {name: found[name] for name in known if name in found}
    if known:
        remove_reports(folder)
    if known and left:
        write_several(folder, left)
    else:
        remove_several(folder)


def _card(manifests: Mapping[str, Any]) -> str:
    configs: dict[str, dict[str, list[str]]] = {}
    of_community: dict[str, int] = {}
    for name, data in manifests.items():
        for file in data["files"]:
            config = name if part_name(file) == PAIRS else f"{name}-{file['part']}"
            configs.setdefault(config, {}).setdefault(file["split"], []).append(f"{name}/{file['path']}")
            of_community[file["community"]] = of_community.get(file["community"], 0) + file["rows"]
    first = next(iter(manifests))
    data, form = manifests[first], FORMATS[first]
    facts = data.get("facts", {})
    rows = {name: sum(data["rows"].values()) for name, data in manifests.items()}
    content = "".join(file["sha256"] for data in manifests.values() for file in data["files"])
    largest = sorted(of_community, key=lambda name: (-of_community[name], name))
    tasks = list(dict.fromkeys(task for name in manifests for task in tasks_of(FORMATS[name])))
    title = title_of(largest, rule_of_manifest(data).name, list(manifests))
    about = title, tasks, licensing(facts), languages_for_hub(facts)
    of_formats = [
        (f"`{name}`", f"{rows[name]:,}", plain(FORMATS[name].purpose), f"[card]({name}/README.md)") for name in rows
    ]
    parts = [
        "# Preferences mined from forums, in several formats",
        loading_line([split for split in SPLITS if split in data["rows"]], first, compact=is_compact(data)),
        table(("configuration", "rows", "for", "columns"), of_formats, numbers=(1,)),
        "The card of each format has one of its rows, how it was made, and a snippet for each trainer.",
        "## At a glance\n\nOf the first format:\n\n" + glance(data, form),
        "## Where it comes from\n\n" + sites(facts),
        "## What a label is worth\n\n" + worth(rule_of_manifest(data), facts),
        "## Attribution, terms and removal\n\nOf the first format:\n\n" + terms(form, data),
    ]
    return front_matter(configs, first, sum(rows.values()), about, content) + "\n\n" + marked(parts)
