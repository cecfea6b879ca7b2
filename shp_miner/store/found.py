"""What a check of a store finds, and the folder for what is damaged."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

#: Where damaged files are set aside, in the store. They hold ids, times and names of communities, and no text.
ASIDE = "damaged"

#: Files that nothing names are left alone for so long: somebody may be about to name them.
YOUNG_S = 3600.0


class Found(Struct, frozen=True):
    """Something that is wrong: in a sentence, and what is done about it, or if it cannot be repaired, what to do.

    What is `harmless` only takes room.
    """

    fault: str
    remedy: str
    fixable: bool = True
    fixed: bool = False
    harmless: bool = False

    def sentence(self) -> str:
        """Both in one line."""
        if self.fixed:
            return f"{self.fault} Repaired: {self.remedy}."
        if self.fixable:
            return f"{self.fault} With `shp-miner doctor --repair`: {self.remedy}."
        return f"{self.fault} {self.remedy}"


def is_young(path: Path) -> bool:
    """Whether somebody may still be writing to a file, or about to name it."""
    try:
        return time.time() - path.stat().st_mtime < YOUNG_S
    except FileNotFoundError:
        return True  # gone, or in its place


def aside(folder: Path, path: Path, *, prefix: str = "") -> Path:
    """The place for a damaged file of the store in `folder`, under a name with the time that is not taken."""
    place = folder / ASIDE
    place.mkdir(exist_ok=True)
    name = f"{prefix}{path.name}-{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    target, number = place / name, 1
    while target.exists():
        number += 1
        target = place / f"{name}.{number}"
    return target
