"""Paths as people write them, and as messages name them."""

from __future__ import annotations

import os
from pathlib import Path

from shp_miner.errors import UsageError

#: The file that says that a folder is a store. Here, because a reader of exports knows it without Delta's tables.
STORE_MARK = "shp-miner-store.json"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home folder in the place of a leading ~.

    Raises UsageError for an unknown user's, and for what is not a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{path!r:.60} is not a path.", 'Write it like "data/store".')
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{os.fspath(path)!r} names a user that does not exist on this machine.", "Correct the name after the ~."
        ) from None


def whole(path: Path) -> str:
    """Return the absolute path, for a message on what is not there: the reader may be in another folder."""
    return os.path.normpath(path.absolute())
