"""What belongs to one machine and not to the store: the memory of crawls, the log of runs, locks among processes.

On a disk it lies in the store's own folder. For a store on an object store it lies in a folder of this machine that is
named after the store's id, below SHP_MINER_STATE, or below `shp-miner/stores` in XDG_STATE_HOME (`~/.local/state`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from shp_miner.errors import BadInput
from shp_miner.paths import expanded
from shp_miner.places.path import RemotePath
from shp_miner.store.proof import endpoint, require_create_only

#: The file of a store that has its id; see `identity`.
IDENTITY = "identity.json"

#: The variable that names the folder.
STATE = "SHP_MINER_STATE"

#: Ids by addresses and their servers, so that a process asks once.
_ids: dict[tuple[str, str], str] = {}

#: Stores by address and server that this process knows to create each name once.
_proven: set[tuple[str, str]] = set()


class _Told(msgspec.Struct):
    """A part of a store's identity: its id, its address, and the server that was found to create each name once."""

    id: str
    path: str
    proven: str = ""


def state_folder(store: Path, *, look_only: bool = False) -> Path:
    """Return the folder of this machine's own files about a store, made if it is missing unless `look_only`.

    A store on an object store that has no id gets one. Raises BadInput where its identity is damaged.
    """
    if not isinstance(store, RemotePath):
        return store
    known = _id_of(store, make=not look_only)
    folder = _base() / (known or "none")
    if known and not look_only:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_bytes(store: Path) -> int:
    """Return the free bytes of the disk of a store, or of this machine's own files about it."""
    folder = state_folder(store, look_only=True).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def settle_proof(store: Path) -> None:
    """Refuse an object store that would lose commits; ask it once, and remember the answer in the store's identity.

    Raises BadInput. A disk needs no proof.
    """
    if not isinstance(store, RemotePath) or _here(store) in _proven:
        return
    told = _read(store)
    if told is None:
        _make_identity(store)
    elif told.proven != endpoint():
        require_create_only(store)
        known = msgspec.json.decode((store / IDENTITY).read_bytes(), type=dict)
        (store / IDENTITY).write_bytes(msgspec.json.encode({**known, "proven": endpoint()}))
    _proven.add(_here(store))


def _base() -> Path:
    named = os.environ.get(STATE)
    if named:
        return expanded(named)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else expanded("~/.local/state")) / "shp-miner" / "stores"


def _here(store: RemotePath) -> tuple[str, str]:
    return str(store), endpoint()


def _id_of(store: RemotePath, *, make: bool) -> str:
    """A store's id; empty if it has none and none is made."""
    known = _ids.get(_here(store))
    if known is not None:
        return known
    told = _read(store)
    if told is None:
        if not make:
            return ""
        _make_identity(store)
        told = _read(store)
        assert told is not None
    if told.path != str(store):  # moved or a copy, and not opened for writing here yet
        return f"{told.id}-{hashlib.sha256(str(store).encode()).hexdigest()[:16]}"
    _ids[_here(store)] = told.id
    return told.id


def _read(store: RemotePath) -> _Told | None:
    try:
        return msgspec.json.decode((store / IDENTITY).read_bytes(), type=_Told)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(f"{store / IDENTITY} is damaged.", "Run `shp-miner doctor`.") from error


def _make_identity(store: RemotePath) -> None:
    require_create_only(store)
    here = {"path": str(store), "folder": str(store), "proven": endpoint()}
    with suppress(FileExistsError):  # by another process just now
        (store / IDENTITY).create(msgspec.json.encode({"id": uuid4().hex, **here}))
