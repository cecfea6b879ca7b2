"""A bench for pipelines: the tables of a file that crawls an embedded forum and exports, and runs of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shp_miner.pipeline import config
from shp_miner.pipeline.keys import Pipeline
from shp_miner.pipeline.ran import Ran
from shp_miner.pipeline.run import run
from shp_miner.sources.registry import Access

from .crawls import Bench, settled

#: Eight threads with enough votes that every platform's view of them gives pairs.
THREADS = 8
READERS = 300.0

Tables = dict[str, Any]


def community() -> Any:
    return settled(THREADS, readers=READERS)


def source(at: Bench, **changes: Any) -> Tables:
    """A [[source]] that reads the bench's forum; a key that is None is left out."""
    keys: Tables = {
        "kind": at.kind.source,
        "communities": [at.kind.community],
        "site": at.kind.site,
        "url": at.forum.url(at.view.platform),
        "allow_private": True,
    }
    return {name: value for name, value in (keys | changes).items() if value is not None}


def tables(at: Bench, **changes: Any) -> Tables:
    """A whole file: crawl the bench's forum into its store, and export that beside it."""
    usual = {"store": str(at.store.path), "source": [source(at)], "export": [{"out": str(out_of(at))}]}
    return usual | changes


def out_of(at: Bench) -> Path:
    return at.store.path.parent / "out"


def pipeline(at: Bench, **changes: Any) -> Pipeline:
    return config.parse(tables(at, **changes))


def run_on(at: Bench, whole: Pipeline | None = None, **how: Any) -> Ran:
    """Run a pipeline (the usual one unless another is given) by the bench's clock."""
    whole = pipeline(at) if whole is None else whole
    return run(whole, "test.toml", access=Access(clocks=at.clocks, clock=at.clock), **how)


def written(path: Path, data: Tables) -> Path:
    """Write tables as a TOML file: JSON's strings, numbers and lists are TOML's, and so are tables inside lists."""
    lines: list[str] = []
    plain = {name: value for name, value in data.items() if not isinstance(value, dict) and not _tables(value)}
    lines += [f"{name} = {_value(value)}" for name, value in plain.items()]
    for name, value in data.items():
        if name not in plain:
            for entry in value if isinstance(value, list) else [value]:
                lines += [f"\n[[{name}]]" if isinstance(value, list) else f"\n[{name}]"]
                lines += [f"{key} = {_value(part)}" for key, part in entry.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(part)}" for name, part in value.items()) + " }"
    return json.dumps(value)


def steps(ran: Ran) -> dict[str, list[tuple[str, int]]]:
    """How the parts of each step ended: (what was said, exit code)."""
    found: dict[str, list[tuple[str, int]]] = {}
    for step in ran.steps:
        found.setdefault(step.step, []).append((step.said, step.exit_code))
    return found


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return found
