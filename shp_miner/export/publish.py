"""Publishes an export: it appears complete or not at all, and replaces only files of an earlier export.

If the folder does not exist, the export is built beside it and renamed. In an existing folder, the export is built
inside, under a temporary name, and then replaces the earlier export's files one by one. So the folder itself stays: a
link's target, a mount point, a shell's current folder, with its owner, its permissions and its other files. Once the
new export is complete, an interrupted replacement is completed by the next process. Until then no reader takes a part
for the whole, because files that the card and the manifest name are missing.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from shp_miner.engine.plan import begin_plan, end_plan, is_same_plan
from shp_miner.errors import BadInput, UsageError, refused_by_os
from shp_miner.export.earlier import keep_equal_files
from shp_miner.export.owned import (
    MANIFEST,
    PIECES,
    README,
    formats_in,
    is_export,
    manifests_last,
    owned_files,
    remove_export,
    remove_several,
    replaced_folders,
    require_no_link,
    several_in,
)
from shp_miner.export.publish_remote import building_folder, check_prefix, clear, leftovers, published_objects
from shp_miner.places.path import RemotePath
from shp_miner.store.replacing import is_writable, replace_file, sync_to_disk

#: Folders that are synced to the disk at the same time.
_SYNCS = 16

#: Names inside an export's folder while it changes: being built; complete, before the earlier export is deleted; after
#: the earlier export is deleted.
_INSIDE = ".shp-miner."
_NEW, _WHOLE, _MOVING = "new", "whole", "moving"

#: Names that a file system has in its top folder.
_OF_THE_SYSTEM = {"lost+found"}


def published_folder(
    out: Path, plan: str = "", *, keep: bool = False, in_bucket: bool = False
) -> AbstractContextManager[Path]:
    """Yield a folder with a folder PIECES; when the block ends without error, its files replace an export in `out`.

    Files that the earlier export's manifests do not name stay; replacing one raises UsageError. PIECES is deleted. The
    folder is empty, unless a run of the same `plan` was killed: then it has what that run left, and files under other
    names than this run's do not occur. On an exception the new folder is deleted and `out` is unchanged; with `keep`
    the folder stays for the next run, unless the input or the call is wrong. With `keep` or `in_bucket`, the folder of
    an export to an object store is there, else on this machine.
    """
    if isinstance(out, RemotePath):
        return published_objects(out, plan, keep=keep, in_bucket=in_bucket)
    return _published_here(out, plan, keep=keep)


@contextmanager
def _published_here(out: Path, plan: str, *, keep: bool) -> Iterator[Path]:
    check_place(out)
    shown, out = out, place_of(out)
    with placing_export(shown):
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out, plan)
        if out.exists():
            _require_own(out, shown)
        new = _place_of_new(out)
        if os.path.lexists(new) and not is_same_plan(new / PIECES, plan):
            raise UsageError(f"{new} is in the way, and it is not part of an export.", "Move it to another folder.")
        begin_plan(new / PIECES, plan)
        try:
            yield new
            end_plan(new / PIECES, written=new)
            if new.parent == out:
                keep_equal_files(new, out)
            _sync_tree(new)
            if new.parent == out:
                _require_free(new, out)  # before it counts as complete: an export that cannot appear changes nothing
                new.rename(out / (_INSIDE + _WHOLE))
                sync_to_disk(out)
                _complete(out)
            else:
                new.rename(out)
                sync_to_disk(out.parent)
        except BaseException as error:
            if not keep or isinstance(error, UsageError | BadInput):
                _discard(new)
            raise


@contextmanager
def placing_export(out: Path) -> Iterator[None]:
    """Turn errors of the operating system into Errors while an export is written to `out`."""
    try:
        yield
    except OSError as error:
        raise refused_by_os(error, f"writing the export {out}") or error from error


def place_of(out: Path) -> Path:
    """Return the real path of an export to `out`, with links followed."""
    return out if isinstance(out, RemotePath) else Path(os.path.realpath(out))


def check_place(out: Path) -> None:
    """Raise UsageError for a path that cannot be an export: it needs a name, with space for longer names beside it."""
    if isinstance(out, RemotePath):
        check_prefix(out)
        return
    shown, out = out, place_of(out)
    cannot = f"An export cannot be written to {shown}:"
    if not out.name:
        raise UsageError(f"{cannot} it is the top folder.", "Name a folder in it.")
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{cannot} its path is not valid UTF-8.", "Choose another name.") from None
    number = _refused(out)
    if number == errno.ENAMETOOLONG:
        raise UsageError(f"{cannot} the name is too long.", "Choose a shorter name.")
    if number == errno.ENOTDIR:
        file = next((str(part) for part in out.parents if part.is_file()), "a part of its path")
        raise UsageError(f"{cannot} {file} is a file, not a folder.", "Choose another path, or move that file.")
    if out.is_symlink():
        raise UsageError(f"{cannot} it is a symbolic link to itself.", "Choose another path.")


def is_place(out: Path) -> bool:
    """Return whether a path can be an export."""
    if isinstance(out, RemotePath):
        return bool(out.key)
    out = place_of(out)
    return bool(out.name) and _refused(out) != errno.ENAMETOOLONG


def _refused(out: Path) -> int | None:
    for path in (*_beside(out), out.with_name(f".{out.name}.lock")):
        try:
            path.lstat()
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR):
                return error.errno
    return None


def lock_of(out: Path) -> Path:
    """Return the lock file of an export, so that only one process writes it at a time.

    It is inside the export's folder if the parent is not writable. For an object store it is of this machine only:
    other machines are kept out by the claim in `publish_remote`.
    """
    if isinstance(out, RemotePath):
        return building_folder(out).with_suffix(".lock")
    out = place_of(out)
    if out.is_dir() and not is_writable(out.parent):
        return out / f"{_INSIDE}lock"
    return out.with_name(f".{out.name}.lock")


# -- what a killed export left ----------------------------------------------------------------------------------------


def export_leftovers(out: Path) -> list[Path]:
    """Return the leftovers of a killed export, beside its folder and in it."""
    if isinstance(out, RemotePath):
        return leftovers(out)
    if not is_place(out):
        return []
    out = place_of(out)
    inside = [out / (_INSIDE + name) for name in (_NEW, _WHOLE, _MOVING)]
    return [path for path in (*_beside(out), *inside) if _is_ours(path)]


def clear_leftovers(out: Path, plan: str = "") -> None:
    """Delete the leftovers of a killed export, or complete it if it was about to appear; keep those of a `plan`."""
    if isinstance(out, RemotePath):
        clear(out)
        return
    if not is_place(out):
        return
    out = place_of(out)
    new, old = _beside(out)
    if old in export_leftovers(out):
        if out.exists():
            _give_back(old, out)
        else:
            old.rename(out)  # an earlier version was stopped between its two renames
    _complete(out)
    place = _place_of_new(out)
    for stale in (new, out / (_INSIDE + _NEW)):
        if _is_ours(stale) and not (stale == place and is_same_plan(stale / PIECES, plan)):
            _discard(stale)


def _place_of_new(out: Path) -> Path:
    """Return the folder where a new export is built: in the export's folder if it exists."""
    return out / (_INSIDE + _NEW) if out.is_dir() else _beside(out)[0]


def _beside(out: Path) -> tuple[Path, Path]:
    """Return the folder where an export is built, and the one where earlier versions put the replaced export."""
    return out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")


def _is_ours(folder: Path) -> bool:
    """Return whether a folder with one of our temporary names is an export or a part of one."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if (folder / PIECES).is_dir() or formats_in(folder) or several_in(folder):
        return True
    return not any(names for _, _, names in os.walk(folder))


def _discard(new: Path) -> None:
    """Delete an export that was being built. The folder that marks it as ours is deleted last."""
    if not new.is_dir():
        return
    with suppress(OSError):
        (new / PIECES).mkdir(exist_ok=True)
        for path in new.iterdir():
            if path.name != PIECES:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    shutil.rmtree(new, ignore_errors=True)


def _give_back(old: Path, out: Path) -> None:
    """Delete an export that an earlier version replaced; other files in its folder are moved to the new export."""
    remove_export(formats_in(old))
    if not old.exists():
        return
    for path in sorted(old.iterdir()):
        if not os.path.lexists(out / path.name):
            path.rename(out / path.name)
    with suppress(OSError):  # a file has the same name as one of the new export's folder
        old.rmdir()


# -- changing an export in its folder ---------------------------------------------------------------------------------


def _require_own(out: Path, shown: Path) -> None:
    """Raise UsageError unless `out` is an export, or empty."""
    if out.is_dir():
        if is_export(out):
            return
        own = {path.name for path in export_leftovers(out)} | {lock_of(out).name}
        others = sorted({path.name for path in out.iterdir()} - own - _OF_THE_SYSTEM)
        if not others:
            return
        holds = f" It contains {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}."
    else:
        holds = ""
    raise UsageError(f"{shown} exists and is not an export.{holds}", "Choose another folder, or empty this one first.")


def _require_free(new: Path, out: Path) -> None:
    """Raise UsageError if the new export would replace a file that is not the earlier export's."""
    replaced = replaced_folders(out, formats_in(new))
    own = {path for folder in replaced for path in owned_files(folder)}
    if several_in(out):
        own |= {out / README, out / MANIFEST}
    for path in own:
        require_no_link(out, path)
    for file in _files(new):
        place = out / file.relative_to(new)
        for path in (place, *place.parents):
            if path == out:
                break
            require_no_link(out, path)
            if not os.path.lexists(path) or (path in own and not path.is_dir()):
                continue
            if path == place or path.is_symlink() or not path.is_dir():
                raise _in_the_way(path)


def _in_the_way(path: Path) -> UsageError:
    return UsageError(
        f"{path} is in the way, and it is not part of the earlier export.", "Move it, or choose another folder."
    )


def _complete(out: Path) -> None:
    """Let a complete export appear in `out`: delete the earlier export, then move each file of the new one.

    Cards are moved first and manifests last: until the last file is moved, files that they name are missing.
    """
    whole, moving = out / (_INSIDE + _WHOLE), out / (_INSIDE + _MOVING)
    if not whole.is_symlink() and formats_in(whole):
        _require_free(whole, out)
        replaced = replaced_folders(out, formats_in(whole))
        remove_export({str(folder): folder for folder in replaced})
        remove_several(out)
        _sync_folders(out, replaced)
        whole.rename(moving)
        sync_to_disk(out)
    if not _is_ours(moving):
        return
    files = sorted(_files(moving), key=lambda path: manifests_last(path.relative_to(moving).as_posix()))
    for file in files:
        place = out / file.relative_to(moving)
        place.parent.mkdir(parents=True, exist_ok=True)
        _move(file, place)
    _sync_folders(out, [out / file.relative_to(moving).parent for file in files])
    for parent, _, _ in os.walk(moving, topdown=False):
        Path(parent).rmdir()


def _move(file: Path, place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        raise _in_the_way(place)
    try:
        file.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder in an export can be another file system.
        with file.open("rb") as source:
            replace_file(place, lambda target: shutil.copyfileobj(source, target), durable=True)
        file.unlink()


def _files(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def _sync_folders(out: Path, folders: list[Path]) -> None:
    sync_to_disk(*(folder for folder in sorted({out, *folders}) if folder.is_dir()))


def _sync_tree(folder: Path) -> None:
    """Wait until all files and folders are on the disk. Many at a time take little longer than one."""

    def sync_all(found: tuple[str, list[str], list[str]]) -> None:
        parent, _, names = found
        for name in (*names, ""):
            sync_to_disk(Path(parent, name))

    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(sync_all, os.walk(folder)))
