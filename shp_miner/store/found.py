"""Findings of a store's checks, and the folder for damaged files."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

#: Where damaged files are set aside, in the store. They hold ids, times and names of communities, and no text.
ASIDE = "damaged"

#: Files that nothing names are left alone for so long: somebody may be about to name them.
YOUNG_S = 3600.0


class Fault(Struct, frozen=True):
    """A fault of a store, in a sentence, with its repair; or what to do if it cannot be repaired.

    A `harmless` fault only takes up room.
    """

    fault: str
    remedy: str
    fixable: bool = True
    fixed: bool = False
    harmless: bool = False

    def sentence(self) -> str:
        """Return the fault and its repair in one line."""
        if self.fixed:
            return f"{self.fault} Repaired: {self.remedy}."
        if self.fixable:
            return f"{self.fault} With `shp-miner doctor --repair`: {self.remedy}."
        return f"{self.fault} {self.remedy}"


def is_young(path: Path) -> bool:
    """Whether a process may still be writing to a file, or may be about to name it."""
    try:
        return time.time() - path.stat().st_mtime < YOUNG_S
    except FileNotFoundError:
        return True  # gone, or in its place


def path_aside(folder: Path, path: Path, *, prefix: str = "") -> Path:
    """Return a free path for a damaged file of the store in `folder`, with the time in its name."""
    place = folder / ASIDE
    place.mkdir(exist_ok=True)
    name = f"{prefix}{path.name}-{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    target, number = place / name, 1
    while target.exists():
        number += 1
        target = place / f"{name}.{number}"
    return target
