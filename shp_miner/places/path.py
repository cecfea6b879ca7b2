"""A path on an object store (s3://, gs://, az://) that is used like a path on a disk.

`RemotePath` is a `pathlib` path whose methods ask the object store, so that rooms take a path without asking where it
leads. What an object store cannot do is refused: a library that opens files of the system by name raises UsageError
instead of making a folder called "s3:".
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import PosixPath, PurePath, PurePosixPath
from typing import IO, Any, NamedTuple, Self

from shp_miner.errors import UsageError
from shp_miner.places.access import client, library, refusals
from shp_miner.places.access import scan_options as scan_options_of
from shp_miner.places.access import storage_options as options_of
from shp_miner.places.objects import ObjectPlace
from shp_miner.places.schemes import is_remote

#: Bytes of a written object that are held in memory; more lie in a temporary file.
_HELD = 64 << 20


def storage_options(path: str | os.PathLike[str]) -> dict[str, str] | None:
    """Return what delta-rs is told of the object store of a path; None for a disk."""
    return options_of(str(path).partition(":")[0]) if is_remote(path) else None


def scan_options(path: str | os.PathLike[str]) -> dict[str, str | int] | None:
    """Return what polars is told of the object store of a path; None for a disk."""
    return scan_options_of(str(path).partition(":")[0]) if is_remote(path) else None


class _Known(NamedTuple):
    """What a list or a request told of an object: its bytes, and when it was written (seconds since 1970)."""

    size: int
    at_s: float


class RemotePath(PosixPath):
    """An object, or a prefix of objects, by its address. There are no folders: making one does nothing.

    Objects appear whole or not at all, and what is written is safe when the call returns. Methods raise what those of
    `Path` raise (FileNotFoundError, FileExistsError); for refused credentials, a missing bucket or a store that does
    not answer they raise the errors of `shp_miner.errors`.
    """

    #: What the list said in which this path was found, so that looking at it costs no request.
    _listed: _Known | None = None

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the path of a URL. Raises UsageError without a bucket, or with credentials or a query in it."""
        return cls(str(ObjectPlace.of_url(url)))

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        raise UsageError(
            f"{self} is on an object store, and this works with files of this machine only.",
            "Name a file or folder of this machine.",
        )

    @property
    def key(self) -> str:
        """The object's name within its bucket."""
        return "/".join(self.parts[2:])

    @property
    def object(self) -> ObjectPlace:
        """The object, to be read and written whole."""
        return ObjectPlace(self.parts[0].rstrip(":"), self.parts[1], self.key)

    # -- looking ------------------------------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        """Return size, time and kind. A prefix with objects counts as a folder."""
        known = self._listed or self._head()
        if known is not None:
            return _status(stat.S_IFREG | 0o644, known)
        if self._has_below():
            return _status(stat.S_IFDIR | 0o755, _Known(0, 0.0))
        raise FileNotFoundError(2, "There is no such object", str(self))

    lstat = stat

    def exists(self, **_: Any) -> bool:
        """Whether there is an object of this name, or any below it."""
        return self.is_file() or self._has_below()

    def is_file(self, **_: Any) -> bool:
        """Whether there is an object of this name."""
        return (self._listed or self._head()) is not None

    def is_dir(self, **_: Any) -> bool:
        """Whether there are objects below it."""
        return self._listed is None and self._has_below()

    def is_symlink(self) -> bool:
        """Object stores have no links."""
        return False

    def iterdir(self) -> Generator[Self, None, None]:
        """Yield what lies directly below, in the order of the names; nothing if there is nothing."""
        bucket = self._client()
        obstore = library()

        with refusals(str(self)):
            found = obstore.list_with_delimiter(bucket, self._prefix or None)
        folders = [self / name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"]]
        yield from sorted([*folders, *(self._at(meta) for meta in found["objects"] if meta["path"] != self._prefix)])

    def glob(self, pattern: str, **_: Any) -> Generator[Self, None, None]:
        """Yield what lies directly below and has a name of the pattern."""
        yield from (path for path in self.iterdir() if fnmatchcase(path.name, pattern))

    def rglob(self, pattern: str, **_: Any) -> Generator[Self, None, None]:
        """Yield every object below, at any depth, whose own name has the pattern."""
        yield from sorted(path for path in self._below() if fnmatchcase(path.name, pattern))

    def absolute(self) -> Self:
        """Return the path itself: an address is absolute."""
        return self

    def resolve(self, strict: bool = False) -> Self:  # noqa: ARG002
        """Return the path itself: object stores have no links."""
        return self

    def expanduser(self) -> Self:
        """Return the path itself."""
        return self

    def relative_to(self, other: str | os.PathLike[str], *more: Any, **how: Any) -> PosixPath:  # type: ignore[override]
        """Return the rest of the path below another, without a scheme. Raises ValueError if it is not below."""
        inner = PurePosixPath(*other.parts) if isinstance(other, PurePath) else other
        return PosixPath(PurePosixPath(*self.parts).relative_to(inner, *more, **how))

    def samefile(self, other_path: str | os.PathLike[str]) -> bool:
        """Whether both have one address."""
        return str(self) == str(other_path)

    # -- reading ------------------------------------------------------------------------------------------------------

    def open(self, mode: str = "r", *_: Any, **__: Any) -> IO[Any]:  # type: ignore[override]
        """Open the object to be read ("rb"), or to be written whole when it is closed ("wb"; "xb" if there is none)."""
        if mode == "rb":
            return self.object.open()
        if mode not in ("wb", "xb"):
            raise ValueError(f"objects are opened with 'rb', 'wb' or 'xb', not {mode!r}")
        return _Written(self, create=mode == "xb")

    def read_bytes(self) -> bytes:
        """Return the whole object."""
        return self.object.read_bytes()

    def read_text(self, encoding: str | None = None, errors: str | None = None, *_: Any) -> str:
        """Return the whole object as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    # -- writing ------------------------------------------------------------------------------------------------------

    def write_bytes(self, data: Any) -> int:
        """Write the object whole, over what is there."""
        self.object.write(bytes(data))
        return len(data)

    def write_text(self, data: str, encoding: str | None = None, *_: Any, **__: Any) -> int:
        """Write the object whole, over what is there."""
        return self.write_bytes(data.encode(encoding or "utf-8"))

    def create(self, data: bytes) -> None:
        """Write the object if there is none: of two that try it at once, one does. Raises FileExistsError."""
        self.object.create(data)

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:  # noqa: ARG002
        """Write an empty object if there is none."""
        try:
            self.create(b"")
        except FileExistsError:
            if not exist_ok:
                raise

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Do nothing: there are no folders."""

    def rmdir(self) -> None:
        """Do nothing: there are no folders."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(2, "There is no such object", str(self))
        self.object.delete()

    def rename(self, target: Any) -> Any:
        """Copy the object over what is at `target`, then delete it: who is ended in between leaves both."""
        self.object.copy(target.object)
        self.object.delete()
        return target

    replace = rename

    def delete_tree(self) -> None:
        """Delete every object below."""
        self.object.delete(path.key[len(self._prefix) :] for path in self._below())

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    def _client(self) -> Any:
        return client(self.parts[0].rstrip(":"), self.parts[1])

    def _at(self, meta: Any) -> Self:
        path = self / str(meta["path"])[len(self._prefix) :]
        path._listed = _Known(int(meta["size"]), meta["last_modified"].timestamp())
        return path

    def _below(self) -> Iterator[Self]:
        bucket = self._client()
        obstore = library()

        with refusals(str(self)):
            found = [meta for batch in obstore.list(bucket, self.key or None, chunk_size=1000) for meta in batch]
        return (self._at(meta) for meta in found if str(meta["path"]).startswith(self._prefix))

    def _has_below(self) -> bool:
        return self.object.is_dir()

    def _head(self) -> _Known | None:
        if not self.key:
            return None
        try:
            meta = self.object.head()
        except FileNotFoundError:
            return None
        return _Known(int(meta["size"]), meta["last_modified"].timestamp())


class _Written(tempfile.SpooledTemporaryFile[bytes]):
    """Bytes that become an object when the `with` statement ends without an error."""

    def __init__(self, path: RemotePath, *, create: bool) -> None:
        super().__init__(_HELD)
        self._path, self._create = path, create

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        try:
            if kind is None:
                self.seek(0, io.SEEK_SET)
                if self._create:
                    self._path.create(self.read())
                else:
                    self._path.object.write(lambda file: shutil.copyfileobj(self, file))
        finally:
            self.close()


def _status(mode: int, known: _Known) -> os.stat_result:
    at_s, at_ns = known.at_s, int(known.at_s * 1e9)
    times = (at_s, at_s, at_s, at_ns, at_ns, at_ns)
    return os.stat_result((mode, 0, 0, 1, 0, 0, known.size, int(at_s), int(at_s), int(at_s), *times))
