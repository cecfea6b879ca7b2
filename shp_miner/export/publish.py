"""An export appears whole or not at all: it is built beside its place and moved there in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from shp_miner.errors import UsageError, from_os_error
from shp_miner.replacing import sync

MANIFEST = "manifest.json"

#: Folders whose files are brought to the disk at the same time.
_SYNCS = 16


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`; when the block ends well, it takes the place of `out`.

    An earlier export there is replaced; anything else is never touched (UsageError). On an exception the new folder is
    removed and `out` stays as it was.
    """
    out = out.absolute()
    new, old = _beside(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        if out.exists() and not is_export(out) and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists and is not an export.", "Choose another place, or empty that one first.")
        new.mkdir()
        yield new
        _sync_tree(new)
        if out.exists():
            out.rename(old)
        new.rename(out)
        sync(out.parent)
    except OSError as error:
        raise from_os_error(error, f"writing the export {out}") or error from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)


def leftovers(out: Path) -> list[Path]:
    """What an export that was killed left beside its place."""
    return [path for path in _beside(out) if path.exists()]


def clear_leftovers(out: Path) -> None:
    """Clear away what an export that was killed left, and put back the earlier one if that is among it."""
    new, old = _beside(out)
    if old.is_dir() and not out.exists():
        old.rename(out)  # the machine stopped between the two renames
    for stale in (new, old):
        shutil.rmtree(stale, ignore_errors=True)


def _beside(out: Path) -> tuple[Path, Path]:
    """Where an export is built, and where the earlier one is while they change places."""
    return out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")


def formats_in(folder: Path) -> dict[str, Path]:
    """The formats of an export and their folders: the folder itself for one, a folder of its name for each of several.

    Empty if the folder is no export of ours.
    """
    own = _format_of(folder)
    if own:
        return {own: folder}
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    return {path.name: path for path in parts if _format_of(path) == path.name}


def fingerprint(formats: Mapping[str, Path]) -> str:
    """Says whether an export (its formats, as `formats_in` gave them) is still the same.

    Its manifests have a hash of every file.
    """
    digest = hashlib.sha256()
    for folder in formats.values():
        digest.update((folder / MANIFEST).read_bytes())
    return digest.hexdigest()


def is_export(folder: Path) -> bool:
    """Whether the folder is an export of ours and holds nothing else."""
    found = formats_in(folder)
    return bool(found) and (folder in found.values() or {path.name for path in folder.iterdir()} == set(found))


def _format_of(folder: Path) -> str | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and {"layout", "format", "files"} <= set(manifest)
    return str(manifest["format"]) if ours else None


def _sync_tree(folder: Path) -> None:
    """Wait until all files and folders are on the disk. Many at once take little longer than one."""

    def sync_all(found: tuple[str, list[str], list[str]]) -> None:
        parent, _, names = found
        for name in (*names, ""):
            sync(Path(parent, name))

    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(sync_all, os.walk(folder)))
