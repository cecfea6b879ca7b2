"""The files of an export: those that its manifests name, its cards and its manifests. Other files are never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from shp_miner.errors import UsageError

MANIFEST = "manifest.json"
README = "README.md"

#: A report of an export, or of a store, is in its folder. The mark at the beginning of both files says whose they are.
REPORT, REPORT_NUMBERS = "report.html", "report.json"
REPORT_MARK = "shp-miner report"
_MARK_WITHIN = 1_000

#: The folder of the pieces in an export that is being built; it is deleted last.
PIECES = ".pieces"

#: The layout of the manifest, which it names itself. Raised when it changes.
LAYOUT = 1


def formats_in(folder: Path) -> dict[str, Path]:
    """Return the formats of an export and their folders: the folder itself for one format, else one folder per format.

    Empty if the folder is not an export of shp-miner.
    """
    own = _format_of(folder)
    if own:
        return {own: folder}
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    return {path.name: path for path in parts if _format_of(path) == path.name}


def several_in(folder: Path) -> list[str]:
    """Return the formats that the manifest of an export of several formats names; empty if there is none."""
    manifest = _manifest(folder)
    formats = manifest.get("formats") if "format" not in manifest else None
    return sorted(map(str, formats)) if isinstance(formats, dict) and "layout" in manifest else []


def is_export(folder: Path) -> bool:
    """Return whether the folder is an export of one or several formats, and not one that only contains exports."""
    if _format_of(folder) or several_in(folder):
        return True
    # In earlier versions, exports of several formats had no manifest of their own.
    found = formats_in(folder)
    return bool(found) and {path.name for path in folder.iterdir()} == set(found)


def export_fingerprint(formats: Mapping[str, Path]) -> str:
    """Return a hash of an export (its formats from `formats_in`); it changes when the export does.

    The manifests have a hash of every file, so only they are read.
    """
    digest = hashlib.sha256()
    for folder in formats.values():
        digest.update((folder / MANIFEST).read_bytes())
    return digest.hexdigest()


def manifest_hashes(formats: Mapping[str, Path]) -> set[str]:
    """Return a hash of each manifest of an export's formats (from `formats_in`)."""
    return {hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:32] for folder in formats.values()}


def is_inside(name: str) -> bool:
    """Return whether a file name in a manifest is valid: below the manifest's own folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def replaced_folders(out: Path, formats: Iterable[str] = ()) -> list[Path]:
    """Return the folders with our manifests that an export of `formats` to `out` replaces."""
    found = [*formats_in(out).values(), *(out / name for name in formats if _format_of(out / name) == name)]
    return [folder for folder in dict.fromkeys(found) if folder == out or not folder.is_symlink()]


def manifests_last(name: str) -> tuple[int, int, str]:
    """Return the order in which an export's files appear: cards, the top one first; rows; manifests, the top one last.

    `name` is the path of a file in the export.
    """
    parts = PurePosixPath(name).parts
    if parts[-1] == README:
        return 0, len(parts), name
    if parts[-1] == MANIFEST:
        return 2, -len(parts), name
    return 1, 0, name


def owned_files(folder: Path) -> Iterator[Path]:
    """Yield the files that the manifest in a folder names, then its card, then itself. Some may not exist."""
    for name in _named(folder):
        if is_inside(name):
            yield folder / name
    yield from (folder / README, folder / MANIFEST)


def reports_in(folder: Path) -> list[Path]:
    """Return the files of a report in the folder of an export or a store; other files of these names are not ours."""
    return [path for name in (REPORT, REPORT_NUMBERS) if is_report(path := folder / name)]


def is_report(path: Path) -> bool:
    """Return whether a file is a report or its numbers."""
    try:
        with path.open("rb") as file:
            return REPORT_MARK.encode() in file.read(_MARK_WITHIN)
    except OSError:
        return False


def remove_reports(folder: Path) -> None:
    """Delete the report of an export or a store, if there is one."""
    for path in reports_in(folder):
        path.unlink(missing_ok=True)


def require_no_link(folder: Path, path: Path) -> None:
    """Raise UsageError if a folder between `folder` and `path` below it is a symbolic link.

    Files behind a link are not the export's.
    """
    for parent in path.parents:
        if parent == folder or not parent.is_relative_to(folder):
            break
        if parent.is_symlink():
            raise UsageError(
                f"{parent} is a symbolic link inside an export: files behind it are not changed.",
                "Remove the link, or move the folder itself there.",
            )


def remove_export(formats: Mapping[str, Path]) -> None:
    """Delete the files of an export and its report, and no others.

    Manifests are deleted last, so that an interrupted deletion can be repeated; empty folders are deleted too.
    """
    for folder in formats.values():
        files = list(owned_files(folder))
        for path in files:
            require_no_link(folder, path)
        remove_reports(folder)
        parents = {parent for path in files[:-2] for parent in path.parents if parent.is_relative_to(folder)}
        for path in files[:-2]:
            _remove_file(path)
        _remove_empty(parents - {folder})
        for path in files[-2:]:
            _remove_file(path)
        _remove_empty([folder])


def remove_several(folder: Path) -> None:
    """Delete the report, the card and the manifest of an export of several formats, if they exist."""
    if several_in(folder):
        remove_reports(folder)
        for name in (README, MANIFEST):
            (folder / name).unlink(missing_ok=True)


def _remove_file(path: Path) -> None:
    """Delete a file if it exists. A folder of the same name is not the export's, and stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # not there, or somebody else's files are in it
            folder.rmdir()


def _format_of(folder: Path) -> str | None:
    manifest = _manifest(folder)
    return str(manifest["format"]) if {"layout", "format", "files"} <= set(manifest) else None


def _named(folder: Path) -> list[str]:
    files = _manifest(folder).get("files")
    named = [file.get("path") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return [name for name in named if isinstance(name, str)]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
