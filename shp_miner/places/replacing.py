"""Replacing a file in one step: it is written whole beside its place and renamed into it.

Every file that replaces another, or must never be seen half-written, is written here. `store/` passes these
functions on. They have a module of their own because they need no library that is slow to import.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from shp_miner.places.schemes import is_remote

if TYPE_CHECKING:
    from shp_miner.places.path import RemotePath

#: Temporary files, by their names. The length does not depend on the file's own name, which may be as long as allowed.
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


def replace_file(path: Path, content: bytes | Callable[[BinaryIO], object], *, durable: bool) -> None:
    """Put `content` (bytes, or a function that writes to an open file) in the place of `path`, whole or not at all.

    With `durable` the file and its name are on the disk when this returns, and a loss of power leaves the file before
    or the new one. Without it that holds for a killed process only. Raises OSError, and what the function raises; the
    file before is then untouched and nothing is left beside it.
    """
    if is_remote(path):
        with path.open("wb") as remote:  # seen by nobody before it is whole
            remote.write(content) if isinstance(content, bytes) else content(remote)
        return
    with replacing(path) as temporary, temporary.open("xb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    if durable:
        sync_to_disk(path.parent)


def create_file(path: Path, content: bytes) -> None:
    """Write a file whole if no file has its name, else raise FileExistsError. Of several processes one succeeds.

    It is safe from a power cut when this returns. An object store must know create-only writes (`store/proof.py`).
    """
    if is_remote(path):
        _remote(path).create(content)
        return
    new = path.with_name(f".{uuid4().hex}.tmp")
    try:
        replace_file(new, content, durable=True)
        os.link(new, path)  # a rename would replace
    finally:
        new.unlink(missing_ok=True)
    sync_to_disk(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path for a new file, beside `path`; when the block ends without error, the file takes its place.

    For an object store the new file is in a temporary folder (TMPDIR) until then.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="shp-miner-") as folder:
            new = Path(folder, path.name)
            yield new
            _remote(path).object.write(new)
        return
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder."""
    if is_remote(folder):
        return True  # who may not write is told so by the object store
    with suppress(OSError):
        return os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY
    return False


def sync_to_disk(*paths: Path) -> None:
    """Wait until files and folders are on the disk."""
    for path in paths:
        if is_remote(path):
            continue  # it was safe when it was written
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_tree(folder: Path) -> None:
    """Delete a folder with all that is in it, as far as that can be done; a missing one is no error."""
    if is_remote(folder):
        _remote(folder).delete_tree()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _remote(path: Path) -> RemotePath:
    from shp_miner.places.path import RemotePath  # noqa: PLC0415  (paths of a disk do without)

    return RemotePath.of(str(path))


def is_temporary(name: str) -> bool:
    """Whether a file of this name is a temporary one that was to replace another."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_files(folder: Path) -> Iterator[Path]:
    """Return the temporary files in a folder, left by killed processes or being written now; none if it is missing."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if is_temporary(path.name))
