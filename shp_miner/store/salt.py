"""The salt of a store's hashes of people. Without it, nobody on the list of the forgotten is recognised.

There are two copies, each with a checksum. A damaged or missing copy is written again from the other.
"""

from __future__ import annotations

import errno
import hashlib
import secrets
from contextlib import suppress
from pathlib import Path

from shp_miner.errors import BadInput
from shp_miner.places.replacing import create_file
from shp_miner.store.files import replace_file

SALT = "salt"
COPY = "salt.copy"
FILES = (SALT, COPY)

_BYTES = 16
_CHECK_BYTES = 16


def heal_salt(folder: Path) -> bytes | None:
    """Return the salt of the list in `folder`, 16 bytes; None if no copy of it is sound.

    A damaged or missing copy is written again from the other, if the store is writable. Raises BadInput if both are
    sound and differ: it is unknown which is right.
    """
    copies = _copies(folder)
    if _differing(copies):
        raise BadInput(
            f"The two copies of the salt {folder / SALT} differ, and both are sound: one belongs to another store.",
            f"Restore the right one from a backup, or delete the wrong one ({SALT} or {COPY}). "
            "`shp-miner doctor --repair` finds the right one if somebody on the list is in the store.",
        )
    salt, unsound = _judged(copies)
    if salt is not None:
        for name in unsound:
            try:
                _write(folder / name, salt)
            except OSError as error:
                # The other copy is sound, so this may wait for a better day.
                if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                    raise
    return salt


def differing_salts(folder: Path) -> list[bytes]:
    """Return both salts if both copies are sound and differ; else none."""
    return _differing(_copies(folder))


def _differing(copies: dict[str, bytes | None]) -> list[bytes]:
    salts = [salt for name in FILES if (salt := _checked(copies[name])) is not None]
    return salts if len(set(salts)) > 1 else []


def keep_salt(folder: Path, salt: bytes) -> None:
    """Write both copies of a salt."""
    for name in FILES:
        _write(folder / name, salt)


def unsound_copies(folder: Path) -> list[str]:
    """Return the names of copies that are cut off, changed or missing; none if the list has no salt at all."""
    return _look(folder)[1]


def has_salt(folder: Path) -> bool:
    """Whether any copy is sound."""
    return _look(folder)[0] is not None


def lost_salt(folder: Path) -> BadInput:
    """Return the error for a list that names people when no copy of its salt is sound."""
    there = any((folder / name).exists() for name in FILES)
    return BadInput(
        f"{folder / SALT} is {'damaged, and so is its copy' if there else 'missing'}.",
        "Restore it from a backup. Without one, run `shp-miner doctor --repair`, then repeat "
        "`shp-miner forget --author NAME` for everybody who was forgotten before.",
    )


def _look(folder: Path) -> tuple[bytes | None, list[str]]:
    """The salt, and the names of copies that are not sound."""
    return _judged(_copies(folder))


def _copies(folder: Path) -> dict[str, bytes | None]:
    return {name: _bytes(folder / name) for name in FILES}


def _judged(copies: dict[str, bytes | None]) -> tuple[bytes | None, list[str]]:
    if all(data is None for data in copies.values()):
        return None, []
    checked = {name: _checked(data) for name, data in copies.items()}
    old = _as_before(copies[SALT])
    salt = checked[SALT] or checked[COPY] or old
    sound = {name for name in FILES if salt is not None and salt == checked[name]}
    if old is not None and old == salt:
        sound.add(SALT)
    return salt, [name for name in FILES if name not in sound]


def new_salt(folder: Path) -> None:
    """Create a salt for the list in `folder`. Only for a list that has none and names nobody."""
    folder.mkdir(exist_ok=True)
    keep_salt(folder, secrets.token_bytes(_BYTES))


def first_salt(folder: Path) -> bytes | None:
    """Return the salt in `folder`, created if there is none: of several processes at once, the first creates it."""
    folder.mkdir(exist_ok=True)
    salt = secrets.token_bytes(_BYTES)
    with suppress(FileExistsError):
        create_file(folder / SALT, salt + _checksum(salt))
    return heal_salt(folder)


def _write(path: Path, salt: bytes) -> None:
    replace_file(path, salt + _checksum(salt), durable=True)


def _checksum(salt: bytes) -> bytes:
    return hashlib.blake2b(salt, digest_size=_CHECK_BYTES).digest()


def _checked(data: bytes | None) -> bytes | None:
    """The salt in a copy, if its checksum is right."""
    if data is None or len(data) != _BYTES + _CHECK_BYTES:
        return None
    salt = data[:_BYTES]
    return salt if data[_BYTES:] == _checksum(salt) else None


def _as_before(data: bytes | None) -> bytes | None:
    """A salt as earlier versions wrote it, which had no checksum. Zeros are what a crash makes of a file."""
    return data if data is not None and len(data) == _BYTES and any(data) else None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()[:1024]
    except FileNotFoundError:
        return None
