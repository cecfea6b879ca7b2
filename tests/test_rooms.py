"""The floor plan: which room may import which, what lies in the package's root, and how long a file is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .conftest import ROOT

PACKAGE = ROOT / "shp_miner"

#: The files of the package's root: what every room may use.
GROUND = {"__init__", "arguments", "errors", "frames", "model", "paths", "shown", "tally", "transaction", "units"}

#: The door of `python -m shp_miner`: it alone looks up, to the command line.
DOOR = "__main__"

#: What each room imports besides the ground.
PLAN = {
    "text": set(),
    "pages": set(),
    "places": set(),
    "engine": {"places"},
    "rules": set(),
    "clean": {"rules", "text"},
    "platforms": {"text"},
    "store": {"places", "platforms"},
    "sources": {"platforms", "text"},
    "mining": {"store", "clean", "rules", "engine", "text"},
    "export": {"places", "mining", "store", "clean", "rules", "engine", "platforms", "text"},
    "checking": {"export", "clean", "mining", "rules"},
    "publishing": {"export", "sources", "store"},
    "show": {"export", "mining", "store", "clean", "rules", "engine", "platforms"},
    "training": {"export", "store", "rules", "engine"},
    "forgetting": {"export", "mining", "store", "rules", "platforms"},
    "dumps": {"forgetting", "places", "store", "engine", "platforms", "text"},
    "crawling": {"forgetting", "sources", "store", "platforms"},
    "health": {"crawling", "places", "forgetting", "export", "sources", "store", "rules"},
    "report": {"show", "checking", "export", "store", "rules", "pages"},
    "web": {"show", "export", "store", "clean", "rules", "pages"},
    "forum": {"crawling", "forgetting", "export", "sources", "store", "rules", "platforms"},
    "lab": {"forum", "mining", "store", "clean", "rules", "engine", "platforms", "text"},
    "pipeline": {"crawling", "dumps", "forgetting", "report", "export", "sources", "store", "clean", "rules",
                 "platforms"},
    "schedule": {"pipeline", "export", "sources", "store"},
    "manual": {"pipeline", "export", "sources", "clean", "rules"},
    "cli": {"schedule", "manual", "pipeline", "lab", "forum", "health", "crawling", "forgetting", "report", "show",
            "web", "publishing",
            "checking", "training", "export", "dumps", "sources", "store", "clean", "rules", "engine", "places"},
}  # fmt: skip

MOST_LINES = 400


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str | None:
    """The room of a file, None for the ground."""
    inside = path.relative_to(PACKAGE).parts
    return inside[0] if len(inside) > 1 else None


def imported(path: Path) -> Iterator[str]:
    """The rooms whose files it imports, wherever in the file that is written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("shp_miner"):
            parts = node.module.split(".")[1:]
            for first in parts[:1] or [alias.name for alias in node.names]:
                if (PACKAGE / first).is_dir():
                    yield first


def module(path: Path) -> str:
    """The name of a file in imports; empty for a package's face, which hands on names of the files behind it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "" if parts[-1] == "__init__" else ".".join(parts)


def modules_of(path: Path) -> Iterator[str]:
    """The files that a file imports, wherever in it that is written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_arrow_is_in_the_plan() -> None:
    against = {
        (str(path.relative_to(PACKAGE)), target)
        for path in files()
        if (source := room(path)) is not None
        for target in imported(path)
        if target != source and target not in PLAN[source]
    }
    assert against == set()


def test_every_arrow_of_the_plan_is_there() -> None:
    there = {(room(path), target) for path in files() for target in imported(path)}
    assert {(source, target) for source, targets in PLAN.items() for target in targets} <= there


def test_nothing_runs_back_up() -> None:
    """The plan has an order: each room stands above all that it imports."""
    for number, targets in enumerate(PLAN.values()):
        assert targets <= set(list(PLAN)[:number])


def test_no_files_import_each_other_in_a_circle() -> None:
    """Also not for types alone, and not inside functions: whoever reads one of them would have to read all."""
    imports = {name: set(modules_of(path)) - {name} for path in files() if (name := module(path))}
    while imports:
        used = set().union(*imports.values())
        outside = {name for name, targets in imports.items() if name not in used or not targets & imports.keys()}
        if not outside:
            break
        imports = {name: targets & imports.keys() for name, targets in imports.items() if name not in outside}
    assert imports == {}


def test_every_room_is_in_the_plan() -> None:
    assert {room(path) for path in files()} - {None} == PLAN.keys()


def test_the_root_holds_the_ground_alone() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*GROUND, DOOR}
    inside = [path for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", DOOR)]
    # The one room below the ground: what a path is.
    assert {target for path in inside for target in imported(path)} == {"places"}


def test_no_file_is_too_long() -> None:
    assert [str(path) for path in files() if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES] == []
