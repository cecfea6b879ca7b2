"""An export appears whole or not at all: it is built beside its place and moved there in one step."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from shp_miner.errors import UsageError, from_os_error
from shp_miner.replacing import sync

MANIFEST = "manifest.json"
README = "README.md"

#: Folders whose files are brought to the disk at the same time.
_SYNCS = 16


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`; when the block ends well, it takes the place of `out`.

    An earlier export there is replaced; anything else is never touched (UsageError). On an exception the new folder is
    removed and `out` stays as it was.
    """
    out = out.absolute()
    check_place(out)
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


def check_place(out: Path) -> None:
    """Raise UsageError where no export can be: it needs a name, and room for longer ones beside it."""
    if not out.name:
        raise UsageError(f"An export cannot be written to {out}: that folder has no name.", "Name a folder in it.")
    number = _refused(out)
    if number == errno.ENAMETOOLONG:
        raise UsageError(f"An export cannot be written to {out}: the name is too long.", "Choose a shorter one.")
    if number == errno.ENOTDIR:
        raise UsageError(f"An export cannot be written to {out}: a part of its path is a file.", "Choose another.")


def is_place(out: Path) -> bool:
    """Whether an export can ever be there."""
    return bool(out.name) and _refused(out) != errno.ENAMETOOLONG


def _refused(out: Path) -> int | None:
    for path in (*_beside(out), lock_of(out)):
        try:
            path.lstat()
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR):
                return error.errno
    return None


def lock_of(out: Path) -> Path:
    """The file that whoever writes an export holds, so that nobody else does at the same time."""
    out = out.absolute()
    return out.with_name(f".{out.name}.lock")


def leftovers(out: Path) -> list[Path]:
    """What an export that was killed left beside its place."""
    return [path for path in _beside(out) if path.exists()] if is_place(out) else []


def clear_leftovers(out: Path) -> None:
    """Clear away what an export that was killed left, and put back the earlier one if that is among it."""
    if not is_place(out):
        return
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


def manifest_hashes(formats: Mapping[str, Path]) -> set[str]:
    """A hash of each manifest of an export's formats, as `formats_in` gave them."""
    return {hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:32] for folder in formats.values()}


def remove_export(formats: Mapping[str, Path]) -> None:
    """Delete what was written as an export, and nothing that somebody else put there.

    The manifests go last, so that whatever ends this can be repeated; folders go when they are empty.
    """
    for folder in formats.values():
        named = [folder / file["path"] for file in json.loads((folder / MANIFEST).read_bytes())["files"]]
        inside = [path for path in named if ".." not in path.parts and path.is_relative_to(folder)]
        for path in inside:
            path.unlink(missing_ok=True)
        parents = {parent for path in inside for parent in path.parents if parent.is_relative_to(folder)} - {folder}
        for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):  # somebody else's files are in it
                parent.rmdir()
        for name in (README, MANIFEST):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


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
