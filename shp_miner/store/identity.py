"""The identity of a store: the original, wherever it was moved, or a copy that becomes a store of its own.

A copy has every byte of the original, its list of exports too, and the copy must not change those exports. So each
store has an id, and notes the path of its folder and which folder it is. On the first opening for writing at another
path, the noted path is checked. If it still holds the same id in another folder, this store is a copy: it takes a new
id and drops the list. If it does not, and this is the very folder that was noted, the store was moved. Otherwise it is
unknown: the store may have been moved to another disk, or be a copy of a store whose disk is away. Then it keeps the
list, and every export on it stays unchanged until a user says whose it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from shp_miner.errors import BadInput, NotAllowed
from shp_miner.paths import expanded, is_remote
from shp_miner.store.files import replace_file, sync_to_disk
from shp_miner.store.local import IDENTITY as FILE
from shp_miner.store.lock import LOCKS, FileLock, exclusive_lock

#: The folder in a store with a file for each export made of it.
EXPORTS = "exports"


class Identity(msgspec.Struct):
    """A store's `id`, the `path` of its folder and which `folder` that is, as of the last opening for writing.

    For a copy: the path of its original, and the original's exports that no user was told about yet.
    """

    id: str
    path: str
    copy_of: str | None = None
    theirs: list[str] = []
    folder: str = ""
    #: The server that was found to create each name once; see `local.settle_proof`.
    proven: str = ""


class _Path(msgspec.Struct):
    path: str


def is_copy(folder: Path) -> bool:
    """Whether a store is a copy that was not opened for writing yet. Changes nothing."""
    known = _read(folder)
    return known is not None and known.path != _address(folder) and _holds_another(folder, known)


def may_be_copy_of(folder: Path) -> str:
    """Return the path of the store that this one is, or is a copy of, if it is unknown which; else empty.

    For a store that was not opened for writing at its path yet. Changes nothing.
    """
    known = _read(folder)
    if known is None or known.path == _address(folder) or _holds_another(folder, known):
        return ""
    return "" if known.folder in ("", _which(folder)) else known.path


def settle_identity(folder: Path) -> None:
    """Give the store in `folder` an id if it has none, and note its path. Raises OSError.

    A copy becomes a store of its own. An interrupted call is repeated.
    """
    here, which = _address(folder), _which(folder)
    known = _read(folder)
    if known is not None and (known.path, known.folder) == (here, which):
        return
    with _alone(folder):
        known = _read(folder)
        if known is None:
            _write(folder, Identity(uuid4().hex, here, folder=which))
        elif known.path != here and _is_same_folder(folder, known):
            return
        elif known.path != here and _holds_another(folder, known):
            _become_own(folder, known, here)
        else:
            if known.path != here and known.folder not in ("", which):
                _hold_back_exports(folder, known.path)
                known.id = uuid4().hex
            known.path, known.folder = here, which
            _write(folder, known)


def damage(folder: Path) -> BadInput | None:
    """Return the fault of a store's identity file, and what to do; None without a fault."""
    try:
        _read(folder)
    except BadInput as error:
        return error
    return None


def take_theirs(folder: Path, *, look_only: bool = False) -> tuple[str, list[str]]:
    """Return the original of this copy and the exports left to it; they are reported once."""
    known = _read(folder)
    if known is None or not known.theirs:
        return "", []
    theirs = known.theirs
    if not look_only:
        known.theirs = []
        _write(folder, known)
    return known.copy_of or "", theirs


def _become_own(folder: Path, known: Identity, here: str) -> None:
    files = sorted((folder / EXPORTS).glob("*.json"))
    theirs = set(known.theirs)
    for file in files:
        with suppress(OSError, msgspec.DecodeError):
            theirs.add(msgspec.json.decode(file.read_bytes(), type=_Path).path)
    # First what must be told, then the list, then the new id: if this is killed, it is still a copy.
    first = known.path
    known.copy_of, known.theirs = first, sorted(theirs)
    _write(folder, known)
    for file in files:
        file.unlink(missing_ok=True)
    if files:
        sync_to_disk(folder / EXPORTS)
    _write(folder, Identity(uuid4().hex, here, first, sorted(theirs), _which(folder), known.proven))


def _hold_back_exports(folder: Path, first: str) -> None:
    """Note in the list that its exports may be those of the store at `first`. It may be ended and done again."""
    for file in sorted((folder / EXPORTS).glob("*.json")):
        with suppress(msgspec.DecodeError):  # damaged: said where it is read
            told = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
            told["of"] = told.get("of") or first
            replace_file(file, msgspec.json.encode(told), durable=True)


def _address(folder: Path) -> str:
    """The path of a folder without links, or its address."""
    return str(folder) if is_remote(folder) else os.path.realpath(folder)


def _which(folder: Path) -> str:
    """Which folder it is, on whichever path: its file system and its number there. An address has one folder."""
    if is_remote(folder):
        return str(folder)
    return f"{os.statvfs(folder).f_fsid:x}:{folder.stat().st_ino:x}"


def _holds_another(folder: Path, known: Identity) -> bool:
    """Whether the noted place still has a store of this id in another folder."""
    there = expanded(known.path)
    try:
        if there.samefile(folder):
            return False
        theirs = msgspec.json.decode((there / FILE).read_bytes(), type=Identity)
    except (PermissionError, NotAllowed, msgspec.DecodeError):
        return True  # nobody can tell; the exports of somebody else are left alone
    except (OSError, BadInput):  # the folder, or its bucket, is not there
        return False
    return theirs.id == known.id


def _is_same_folder(folder: Path, known: Identity) -> bool:
    """Whether the noted place shows this very folder, as mounts of it do: a file made here is there as well."""
    probe = Path(LOCKS, f".{uuid4().hex}")
    (folder / probe).touch()
    try:
        return (expanded(known.path) / probe).exists()
    except (OSError, BadInput, NotAllowed):
        return False
    finally:
        (folder / probe).unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    if is_remote(folder):
        with exclusive_lock(folder, "noting the path of the store"):
            yield
        return
    place = folder / LOCKS
    place.mkdir(exist_ok=True)
    with FileLock(place / "identity") as lock:
        lock.wait()
        yield


def _read(folder: Path) -> Identity | None:
    """None where there is none, as in a store of an earlier version. Raises BadInput where it is damaged."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Identity)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(
            f"{folder / FILE} is damaged: the identity of this store is unknown.",
            "Restore it from a backup. Without one, delete it: the store then counts as an original, not as a copy. "
            f"If it is a copy, delete {folder / EXPORTS} first, or commands change the original's exports.",
        ) from error


def _write(folder: Path, identity: Identity) -> None:
    replace_file(folder / FILE, msgspec.json.encode(identity), durable=True)
