"""The exports made of a store, by their folders, so that what must be forgotten is taken out of them too.

Each has a small file of its own in the store, so that two exports that start at once do not disturb each other.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import msgspec

from shp_miner.errors import BadInput
from shp_miner.store.files import replace_file
from shp_miner.store.lake import Store

_FOLDER = "exports"


class KnownExport(msgspec.Struct):
    """An export: its folder, folders that got its dropped rows, and its fingerprint when it was last found clean.

    All paths are absolute. `clean` is what `forgetting` wrote there: while the export is the same, only what was
    forgotten since needs to be looked for in it.
    """

    path: str
    dropped: list[str] = []
    clean: str = ""


def remember_export(
    store: Store, out: str | os.PathLike[str], *, dropped: str | os.PathLike[str] | None = None
) -> bool:
    """Note that an export is about to be written to `out`, and its dropped rows to `dropped`.

    To be called before the first byte is written, so that what a killed export leaves behind is found as well. False
    where the store cannot be written to, so that nothing could be noted.
    """
    path = Path(os.path.abspath(out))  # noqa: PTH100  (the name as given, through links too)
    known = _read(_place(store, path)) or KnownExport(str(path))
    if dropped is not None:
        known.dropped = sorted({*known.dropped, os.path.abspath(dropped)})  # noqa: PTH100
    try:
        _write(store, known)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return False
    return True


def mark_clean(store: Store, known: KnownExport, fingerprint: str) -> None:
    """Note that nothing forgotten is in the export as it is now."""
    known.clean = fingerprint
    _write(store, known)


def known_exports(store: Store) -> list[KnownExport]:
    """Every export that was remembered, by path. Raises BadInput where a file is damaged."""
    folder = store.path / _FOLDER
    found = [_read(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    return sorted((known for known in found if known), key=lambda known: known.path)


def drop_export(store: Store, known: KnownExport) -> None:
    """Note that the export is not there any more."""
    _place(store, Path(known.path)).unlink(missing_ok=True)


def _place(store: Store, path: Path) -> Path:
    return store.path / _FOLDER / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"


def _read(file: Path) -> KnownExport | None:
    try:
        known = msgspec.json.decode(file.read_bytes(), type=KnownExport)
        if not all(path.startswith("/") for path in (known.path, *known.dropped)):
            raise msgspec.ValidationError("paths are absolute")
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(f"{file} is damaged.", "Delete it, and name its export with `forget --export`.") from error
    return known


def _write(store: Store, known: KnownExport) -> None:
    file = _place(store, Path(known.path))
    file.parent.mkdir(exist_ok=True)
    # On the disk before the export begins: what is in an export that nobody knows of stays for ever.
    replace_file(file, msgspec.json.encode(known), durable=True)
