"""Checks the installation: versions, paths, optional parts, disk, and whether credentials are set."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shp_miner.errors import Error
from shp_miner.health import repair as repairing
from shp_miner.sources.table import ROWS
from shp_miner.store import Store
from shp_miner.store.found import Fault
from shp_miner.store.lake import TABLES
from shp_miner.store.local import free_bytes
from shp_miner.store.migrate import MARK
from shp_miner.units import sized

_LIBRARIES = (
    "click", "datasets", "deltalake", "html-to-markdown", "msgspec", "numpy", "pandas", "polars", "praw", "py7zr",
    "pyarrow", "rich", "xxhash",
)  # fmt: skip

#: Extras, and the modules that an installed extra has.
_EXTRAS = {
    "lab": ("matplotlib", "sklearn"),
    "train": ("torch", "transformers", "trl"),
    "web": ("jinja2", "starlette", "uvicorn"),
}

#: Environment variables of credentials. Their values are never shown.
_CREDENTIALS = {
    row.title: tuple(credential.variable for credential in row.credentials if not credential.may_be_empty)
    for row in ROWS.values()
    if row.credentials
} | {"Hugging Face": ("HF_TOKEN",)}

#: With less free than this, an import of a month's dump is likely to fail.
_LOW_DISK_BYTES = 5_000_000_000


def examine(store_path: Path, *, repair: bool = False) -> dict[str, Any]:
    """Return plain data about everything that a run depends on.

    `problems` are sentences on what is wrong and what to do; `leftovers` are harmless files that take space. With
    `repair`, the store is repaired as far as possible, and `repaired` reports the repairs. Raises TryLater while
    somebody uses the store, and BadInput if there is no store to repair.
    """
    problems: list[str] = []
    found = _checked(store_path, repair=repair)
    problems += [fault.sentence() for fault in found if not fault.fixed and not fault.harmless]
    free = free_bytes(store_path)
    if free < _LOW_DISK_BYTES:
        problems.append(f"Only {sized(free)} free on the store's disk: free some space before importing.")
    libraries = {name: _version(name) for name in _LIBRARIES}
    problems += [f"{name} is not installed: install shp-miner again." for name, found in libraries.items() if not found]
    return {
        "versions": {
            "shp-miner": _version("shp-miner"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            **libraries,
        },
        "store": _store(store_path, problems),
        "disk": {"free_bytes": free},
        "extras": {name: all(find_spec(module) for module in modules) for name, modules in _EXTRAS.items()},
        "credentials": {name: all(os.environ.get(key) for key in keys) for name, keys in _CREDENTIALS.items()},
        "problems": problems,
        "leftovers": [fault.sentence() for fault in found if not fault.fixed and fault.harmless],
        "repaired": [fault.sentence() for fault in found if fault.fixed],
    }


def _checked(path: Path, *, repair: bool) -> list[Fault]:
    if not any((path / name).exists() for name in (MARK, *TABLES)):
        if repair:
            Store(path).snapshot()  # raises: there is no store to repair
        return []  # no store, or another folder, which is reported below
    return repairing.repair(path) if repair else repairing.look(path)


def _store(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        store = Store(path)
        state: dict[str, Any] = {"path": str(path.absolute()), "exists": store.exists}
        if store.exists:
            state |= {"version": store.snapshot().version, "files": store.file_counts()}
    except Error as error:
        if not any(problem.startswith(error.message) for problem in problems):
            problems.append(f"{error.message} {error.hint}")
        return {"path": str(path.absolute()), "exists": path.exists(), "error": error.message}
    return state


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
