"""Which kind of place a path or URL is."""

from __future__ import annotations

import os

from shp_miner.errors import UsageError
from shp_miner.places.local import LocalPlace
from shp_miner.places.place import Place

#: The object stores, by the beginning of their URLs.
SCHEMES = ("s3", "gs", "az")


def is_url(path: object) -> bool:
    """Return whether a text names a place by a URL, of whatever kind."""
    return isinstance(path, str) and "://" in path


def place(path: str | os.PathLike[str] | Place) -> Place:
    """Return the place of a path or URL. Nothing is asked of an object store yet.

    Raises UsageError for a kind of URL that is not known, for one without a bucket, and for one with credentials or a
    query in it; BadInput where the extra `objects` is missing.
    """
    if isinstance(path, Place):
        return path
    if not isinstance(path, str) or not is_url(path):
        return LocalPlace(path)
    scheme = path.partition("://")[0]
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(
            f"{scheme}:// is not a kind of place that shp-miner knows.",
            f"Name a path of this machine, or begin with {known}.",
        )
    from shp_miner.places.objects import ObjectPlace  # noqa: PLC0415  (a library that local paths do without)

    return ObjectPlace.of_url(path)
