"""Which paths lead to an object store."""

from __future__ import annotations

#: The object stores, by the beginning of their URLs.
SCHEMES = ("s3", "gs", "az")


def is_remote(path: object) -> bool:
    """Return whether a path, or a text that names one, leads to an object store."""
    return str(path).startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def scheme_of(path: object) -> str:
    """Return the scheme of a URL, of whatever kind; "" for a path."""
    scheme, found, _ = str(path).partition("://")
    return scheme if found and scheme.isalnum() else ""
