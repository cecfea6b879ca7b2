"""Publishes an export in an object store: it appears complete or not at all, and two drivers never mix theirs.

The export is built in a folder of this machine. Whoever has the lock of the place (a lease in OUT/.shp-miner.lock)
writes its files below OUT/.shp-miner.new, where no reader looks, under a name that follows from their content: a run
that is started again writes only what is missing. When all are there, the note OUT/.shp-miner.publishing says what is
to happen: which files of the earlier export go, and which new ones take their places. The earlier manifests are deleted
first and the new ones written last, so readers find one export, the other, or none. If the holder dies, the next
process does the rest from the note. Only the holder of the lock deletes what waits there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec

from shp_miner.engine.plan import begin_plan, end_plan, is_same_plan
from shp_miner.errors import BadInput, TryLater, UsageError
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import (
    MANIFEST,
    PIECES,
    README,
    export_fingerprint,
    formats_in,
    is_export,
    manifests_last,
    owned_files,
    replaced_folders,
    reports_in,
    several_in,
)
from shp_miner.places.lease import LEASE_S, Lease, Taken, held
from shp_miner.places.path import RemotePath
from shp_miner.places.replacing import remove_tree
from shp_miner.store.proof import require_create_only

#: The names in an export's folder that only this module uses.
JOURNAL, WAITING, LOCK = ".shp-miner.publishing", ".shp-miner.new", ".shp-miner.lock"

#: Requests at a time.
_REQUESTS = 8

_Item = TypeVar("_Item")


class Publication(msgspec.Struct, frozen=True):
    """A publication that has begun: what it puts in the place of what.

    files: the SHA-256 of each file, by its path in the export; `kept` of them are in their places already, the others
    wait in the folder `waiting`. replaced: the paths of the earlier export's files that go, manifests first.
    """

    waiting: str
    files: dict[str, str]
    kept: list[str]
    replaced: list[str]


@contextmanager
def published_objects(
    out: RemotePath, plan: str = "", *, keep: bool = False, in_bucket: bool = False
) -> Iterator[Path]:
    """Yield a folder with a folder PIECES; when the block ends without error, its files are the export at `out`.

    The folder is on this machine, or in the object store: with `keep`, for workers elsewhere, and with `in_bucket`, or
    where a run of this plan left it there. The parameters are those of `published_folder`. Raises TryLater if another
    process publishes there meanwhile, and UsageError for files that are not an export's.
    """
    check_prefix(out)
    settle(out)
    seen = _fingerprint(out)
    _require_own(out)
    require_create_only(out, WAITING)
    there = out / WAITING / (plan or uuid4().hex)
    new = there if keep or in_bucket or is_same_plan(there / PIECES, plan) else building_folder(out)
    if not is_same_plan(new / PIECES, plan):
        remove_tree(new)
    begin_plan(new / PIECES, plan)
    try:
        yield new
        end_plan(new / PIECES, written=new)
        _publish(out, new, seen)
    except BaseException as error:
        gone = isinstance(error, FileNotFoundError) and new == there and not is_same_plan(new / PIECES, plan)
        if not keep or isinstance(error, UsageError | BadInput):
            remove_tree(new)
        if gone:
            raise TryLater(
                f"Another process published the export {out} meanwhile.", "Run the same command again to replace it."
            ) from error
        raise
    remove_tree(new)


def check_prefix(out: RemotePath) -> None:
    """Raise UsageError for a whole bucket: an export needs a folder in it."""
    if not out.key:
        raise UsageError(f"An export cannot be written to {out}: it is a whole bucket.", "Name a folder in it.")


def building_folder(out: RemotePath) -> Path:
    """Return the folder of this machine where an export to `out` is built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "shp-miner" / "exports"
    return cache / hashlib.sha256(str(out).encode()).hexdigest()[:16]


def leftovers(out: RemotePath) -> list[Path]:
    """Return what a killed export left at `out` and on this machine: its note, or files that wait; the built folder."""
    found: list[Path] = [building_folder(out)] if building_folder(out).exists() else []
    if (out / JOURNAL).is_file():
        return [*found, out / JOURNAL]
    return found + [out / name for name in (WAITING, LOCK) if (out / name).is_dir()]


def clear(out: RemotePath) -> None:
    """Delete the leftovers of a killed export, or complete it if it was about to appear. Raises as `settle`."""
    if (out / WAITING).is_dir() or (out / LOCK).is_dir() or _read(out) is not None:
        with _locked(out) as lease:
            _complete_noted(out, lease)
            (out / WAITING).delete_tree()
    shutil.rmtree(building_folder(out), ignore_errors=True)


def settle(out: RemotePath) -> None:
    """Complete a publication whose process died. Raises TryLater if it is alive, or was two minutes ago."""
    if _read(out) is not None:
        with _locked(out) as lease:
            _complete_noted(out, lease)


@contextmanager
def _locked(out: RemotePath) -> Iterator[Lease]:
    """Hold the lock of the place. Raises TryLater while another process has it."""
    with ExitStack() as stack:
        try:
            lease = stack.enter_context(held(out / LOCK, "publishing", alone=True, wait_s=0, traceless=True))
        except Taken as taken:
            raise TryLater(
                f"Another process publishes the export {out}{taken.message}.",
                f"Run the same command again, {LEASE_S:.0f} s later if that process died on another machine.",
            ) from None
        yield lease


# -- publishing -------------------------------------------------------------------------------------------------------


def _publish(out: RemotePath, new: Path, seen: str) -> None:
    with _locked(out) as lease:
        _complete_noted(out, lease)
        if _fingerprint(out) != seen:
            raise TryLater(
                f"Another process wrote the export {out} meanwhile.", "Run the same command again to replace it."
            )
        files = {path.relative_to(new).as_posix(): path for path in sorted(new.rglob("*")) if path.is_file()}
        publication = _planned(out, new, files)
        moved = {name: path for name, path in files.items() if name not in publication.kept}
        _write_missing(out / publication.waiting, moved, lease)
        lease.confirm()
        _create(out / JOURNAL, msgspec.json.encode(publication))
        if not _complete(out, publication, lease):
            raise TryLater(f"Files of the export {out} were deleted meanwhile.", "Run the same command again.")


def _planned(out: RemotePath, new: Path, files: Mapping[str, Path]) -> Publication:
    """Return what is to happen. Raises UsageError for files in the way."""
    hashes = _hashes(new, files)
    digest = hashlib.sha256(msgspec.json.encode(sorted(hashes.items()))).hexdigest()[:32]
    waiting = f"{WAITING}/{new.name if isinstance(new, RemotePath) else digest}"
    sizes = _sizes(out)
    earlier = _earlier(out, formats_in(new))
    for name in files:
        if (name in sizes and name not in earlier) or any(other.startswith(f"{name}/") for other in sizes):
            raise UsageError(
                f"{out / name} is in the way, and it is not part of the earlier export.",
                "Move it, or choose another folder.",
            )
    kept = [
        name for name, path in files.items() if earlier.get(name) == hashes[name] == _known(sizes, name, path, hashes)
    ]
    replaced = sorted(
        (name for name in earlier if name not in kept and name in sizes), key=manifests_last, reverse=True
    )
    return Publication(waiting, hashes, kept, replaced)


def _known(sizes: Mapping[str, int], name: str, path: Path, hashes: Mapping[str, str]) -> str:
    """Return the hash of a new file if a file of its size is in its place."""
    return hashes[name] if sizes.get(name) == path.stat().st_size else ""


def _complete_noted(out: RemotePath, lease: Lease) -> None:
    """Complete the publication of a process that died, if there is one."""
    publication = _read(out)
    if publication is not None:
        _complete(out, publication, lease)


def _complete(out: RemotePath, publication: Publication, lease: Lease) -> bool:
    """Do what a publication noted, or the rest of it; return whether its files were there."""
    manifests = sorted((name for name in publication.files if _is_manifest(name)), key=manifests_last)
    waiting = out / publication.waiting
    moved = [name for name in publication.files if name not in publication.kept and name not in manifests]
    if not all(_is_there(out / name, publication.files[name]) for name in manifests):
        if not {*moved, *manifests} <= set(_sizes(waiting)):
            _give_up(out, publication)
            return False
        replaced = publication.replaced
        _each(replaced[: _manifests_of(replaced)], lambda name: (out / name).object.delete(), lease)
        _each(replaced, lambda name: (out / name).object.delete(), lease)
        _each(sorted(moved, key=manifests_last), lambda name: (waiting / name).object.copy((out / name).object), lease)
        for name in manifests:
            lease.confirm()
            _create(out / name, (waiting / name).read_bytes())
    lease.confirm()
    (out / WAITING).delete_tree()
    (out / JOURNAL).unlink(missing_ok=True)
    return True


def _each(items: Sequence[_Item], do: Callable[[_Item], object], lease: Lease) -> None:
    """Do something for each item, some at a time, as long as the lock holds."""

    def one(item: _Item) -> None:
        lease.confirm()
        do(item)

    with ThreadPoolExecutor(_REQUESTS) as pool:
        list(pool.map(one, items))


def _create(path: RemotePath, content: bytes) -> None:
    try:
        path.create(content)
    except FileExistsError:
        if path.read_bytes() != content:  # else a process before this one did it, and died
            raise TryLater(f"Another process wrote {path} meanwhile.", "Run the same command again.") from None


def _give_up(out: RemotePath, publication: Publication) -> None:
    """Delete what a publication was going to publish: somebody deleted files of it, so it cannot be completed."""
    for name in sorted({*publication.files, *publication.replaced}, key=manifests_last, reverse=True):
        (out / name).unlink(missing_ok=True)
    (out / WAITING).delete_tree()
    (out / JOURNAL).unlink(missing_ok=True)


# -- what is there ----------------------------------------------------------------------------------------------------


def _require_own(out: RemotePath) -> None:
    """Raise UsageError unless `out` is an export, or empty."""
    if is_export(out):
        return
    others = sorted({path.name for path in out.iterdir()} - {JOURNAL, WAITING, LOCK})
    if others:
        holds = f" It contains {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}."
        raise UsageError(
            f"{out} exists and is not an export.{holds}", "Choose another folder, or empty this one first."
        )


def _fingerprint(out: RemotePath) -> str:
    """Return a hash that changes when the export does."""
    with suppress(FileNotFoundError):
        return export_fingerprint(formats_in(out))
    return ""  # it is being replaced, which the lock says, too


def _earlier(out: RemotePath, formats: Iterable[str]) -> dict[str, str]:
    """Return the files of the earlier export that a new one of `formats` replaces, with their hashes if known."""
    found: dict[str, str] = {}
    for folder in replaced_folders(out, formats):
        below = "" if folder == out else f"{folder.relative_to(out).as_posix()}/"
        known = {file["path"]: str(file.get("sha256", "")) for file in read_manifest(folder)["files"]}
        for path in (*owned_files(folder), *reports_in(folder)):
            name = path.relative_to(folder).as_posix()
            found[below + name] = known.get(name, "")
    if several_in(out):
        found |= dict.fromkeys((README, MANIFEST, *(path.name for path in reports_in(out))), "")
    return found


def _sizes(folder: RemotePath) -> dict[str, int]:
    return {entry.name: entry.size for entry in folder.object.entries()}


def _write_missing(folder: RemotePath, files: Mapping[str, Path], lease: Lease) -> None:
    """Write the files that are not there yet. The folder's name follows from their content, so their size is enough."""
    there = _sizes(folder)
    missing = [name for name, path in files.items() if there.get(name) != path.stat().st_size]
    _each(missing, lambda name: (folder / name).object.write(files[name]), lease)


def _is_manifest(name: str) -> bool:
    return name.rpartition("/")[2] == MANIFEST


def _manifests_of(names: Sequence[str]) -> int:
    """Return how many manifests the list begins with."""
    return next((number for number, name in enumerate(names) if not _is_manifest(name)), len(names))


def _is_there(path: RemotePath, sha256: str) -> bool:
    with suppress(FileNotFoundError):
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    return False


def _hashes(new: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of the new files. The manifests know those of the rows already."""
    known: dict[str, str] = {}
    for folder in formats_in(new).values():
        below = "" if folder == new else f"{folder.name}/"
        known |= {f"{below}{file['path']}": file["sha256"] for file in read_manifest(folder)["files"]}
    return {name: known.get(name) or _sha256(path) for name, path in files.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(out: RemotePath) -> Publication | None:
    try:
        return msgspec.json.decode((out / JOURNAL).read_bytes(), type=Publication)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(f"{out / JOURNAL} is damaged.", "Delete it, and export again.") from error
