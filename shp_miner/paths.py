"""Paths as people write them, and as messages name them."""

from __future__ import annotations

import os
from pathlib import Path

from shp_miner.errors import UsageError
from shp_miner.places.schemes import SCHEMES, is_remote, scheme_of

__all__ = ["DEFAULT_STORE", "STORE_MARK", "expanded", "is_remote", "on_disk", "whole"]

#: The store of commands that are given none.
DEFAULT_STORE = Path("data/store")

#: The file that says that a folder is a store. Here, because a reader of exports knows it without Delta's tables.
STORE_MARK = "shp-miner-store.json"

#: The folder in a store with the results of an import that is going on.
IMPORTING = "importing"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home folder in the place of a leading ~; for a URL of an object store, a path there.

    Raises UsageError for an unknown user's, for another kind of URL, and for what is not a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{path!r:.60} is not a path.", 'Write it like "data/store".')
    if is_remote(path):
        from shp_miner.places.path import RemotePath  # noqa: PLC0415  (paths of a disk do without)

        return path if isinstance(path, RemotePath) else RemotePath.of(str(path))
    if scheme := scheme_of(path):
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(
            f"{scheme}:// is not a kind of path that shp-miner knows.",
            f"Name a path of this machine, or begin with {known}.",
        )
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{os.fspath(path)!r} names a user that does not exist on this machine.", "Correct the name after the ~."
        ) from None


def on_disk(path: str | os.PathLike[str], what: str) -> Path:
    """Return `expanded` of a path of this machine. Raises UsageError for a URL; `what` says in words what it is for."""
    if is_remote(path):
        raise UsageError(f"{path} is on an object store, but {what} to a disk only.", "Name a folder of this machine.")
    return expanded(path)


def whole(path: Path) -> str:
    """Return the absolute path, for a message on what is not there: the reader may be in another folder."""
    return str(path) if is_remote(path) else os.path.normpath(path.absolute())
