"""Opens an export by its manifest: its formats, and the files of its communities and splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shp_miner.arguments import Names, known_name, several
from shp_miner.errors import BadInput, UsageError
from shp_miner.export.owned import LAYOUT, MANIFEST, formats_in, is_inside
from shp_miner.paths import STORE_MARK, is_remote
from shp_miner.platforms.communities import meant_communities


def files_of(folder: Path, community: Names | None, split: str | None) -> list[dict[str, Any]]:
    """Return the files of an export's manifest for some communities and a split; None is all.

    A community may be written in any letter case. Raises BadInput for a bad manifest, UsageError if no file is meant.
    """
    files: list[dict[str, Any]] = read_manifest(folder)["files"]
    asked = several(community, "community")
    names = _communities(asked, files)
    chosen = [
        file for file in files if (names is None or file["community"] in names) and split in (None, file["split"])
    ]
    if not chosen:
        known = ", ".join(sorted({f"{file['community']} ({file['split']})" for file in files})[:20])
        of = f" of {', '.join(asked)}" if asked else ""
        raise UsageError(
            f"{folder} has no rows{of}{' in the split ' + split if split else ''}.",
            f"It has: {known}.",
        )
    return chosen


def _communities(asked: tuple[str, ...], files: list[dict[str, Any]]) -> set[str] | None:
    """Return the communities of an export with a name, their own or of their configuration; None for all."""
    if not asked or "all" in asked:
        return None
    found: set[str] = set()
    for name in asked:
        exactly = {file["community"] for file in files if name in (file["community"], file.get("config"))}
        found |= exactly or set(meant_communities([name], {file["community"] for file in files})[0])
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export of one format. Raises BadInput if it is missing, damaged or newer."""
    try:
        read = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{folder} is not an export: it has no readable {MANIFEST}.", "Name the folder that `export` wrote to."
        ) from error
    if isinstance(read, dict) and read.get("layout") not in range(1, LAYOUT + 1):
        raise BadInput(
            f"{folder / MANIFEST} has the layout {read.get('layout')!r}; this version reads layout {LAYOUT}.",
            "Install the newest shp-miner, or export again.",
        )
    if not (isinstance(read, dict) and isinstance(read.get("files"), list) and all(map(_is_file, read["files"]))):
        raise BadInput(f"{folder / MANIFEST} is damaged: it does not list the export's files.", "Export again.")
    for file in read["files"]:
        if not is_inside(file["path"]):
            raise BadInput(
                f"{folder / MANIFEST} names a file outside its folder: {file['path']!r}.",
                "Do not use this export: shp-miner did not write this manifest.",
            )
    return read


def known_formats_in(path: Path) -> dict[str, Path]:
    """Return the formats of an export with their folders. Raises BadInput if there is no export, or a damaged one."""
    formats = formats_in(path)
    if not formats and (path / MANIFEST).is_file():
        raise BadInput(f"{path / MANIFEST} is damaged: it does not describe an export.", "Export again.")
    if not formats:
        if (path / STORE_MARK).is_file():
            raise BadInput(f"{path} is a store, not an export.", "Export it, and name the folder of the export.")
        why = f"it has no {MANIFEST}" if path.exists() else "it does not exist"
        raise BadInput(f"{path} is not an export: {why}.", "Name the folder that `export` wrote to.")
    return formats


def require_files(folder: Path, files: list[dict[str, Any]]) -> None:
    """Raise BadInput for a file of a manifest that its folder does not have."""
    if is_remote(folder):  # one list in the place of a request per file
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        missing = [file["path"] for file in files if file["path"] not in there]
    else:
        missing = [file["path"] for file in files if not (folder / file["path"]).is_file()]
    if missing:
        raise BadInput(f"{folder} does not have the file {missing[0]} of its manifest.", "Export again.")


def _is_file(told: Any) -> bool:
    return isinstance(told, dict) and all(isinstance(told.get(key), str) for key in ("path", "community", "split"))


def export_of_format(path: Path, name: str | None) -> Path:
    """Return the folder of one format of an export; `name` may be None if there is one only. Raises as `load`."""
    formats = known_formats_in(path)
    if name is None and len(formats) > 1:
        raise UsageError(f"{path} holds several formats.", f"Choose one with format=: {', '.join(formats)}.")
    name = known_name(name, formats) if isinstance(name, str) else name
    if name is not None and name not in formats:
        raise UsageError(f"{path} has no format {name!r}.", f"Choose one with format=: {', '.join(formats)}.")
    return formats[name] if name else next(iter(formats.values()))
