"""A place is a file or a folder: of this machine (`LocalPlace`), or of an object store (`ObjectPlace`).

Both read with the words of `pathlib.Path`, and write whole files only: bytes that a reader finds under a name are all
there. A missing file raises FileNotFoundError and a create-only write FileExistsError, as they do on a disk. Every
other refusal of an object store is one of `shp_miner.errors`, so code that expects a missing file never mistakes a
store that is down for one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Self

from msgspec import Struct

#: What a file is written from: bytes, a file of this machine, or a function that writes to an open file.
Content = bytes | Path | Callable[[BinaryIO], object]


class Entry(Struct, frozen=True):
    """A file in a folder: its name from there, with "/" between folders, and its size in bytes."""

    name: str
    size: int


class Place(ABC):
    """A file or folder. It holds no connection and no secret, so it may be pickled, compared and shown."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the last part of the path or key."""

    @property
    @abstractmethod
    def parent(self) -> Self:
        """Return the folder that this is in; of the top one, itself."""

    @abstractmethod
    def __truediv__(self, name: str) -> Self:
        """Return the place `name` (with "/" between folders) below this one."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the absolute path, or the URL without anything secret."""

    @abstractmethod
    def is_file(self) -> bool:
        """Return whether a file has this name."""

    @abstractmethod
    def size(self) -> int:
        """Return the file's bytes. Raises FileNotFoundError."""

    @abstractmethod
    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file to be read, from anywhere in it. Raises FileNotFoundError."""

    @abstractmethod
    def write(self, content: Content) -> None:
        """Write the file whole, in the place of any before. It is safe from a power cut when this returns."""

    @abstractmethod
    def create(self, content: bytes) -> None:
        """Write the file whole if no file has this name; else raise FileExistsError. Of several writers one succeeds.

        An object store must know create-only puts; `store/` tries that before it relies on one.
        """

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Return all files below this folder, by name; none if it is missing. Unfinished writes are left out."""

    @abstractmethod
    def delete(self, names: Iterable[str] | None = None) -> None:
        """Delete this file, or the files of these names below this folder. Missing ones are no error."""

    @abstractmethod
    def copy(self, target: Self) -> None:
        """Copy the file to another place of the same kind, whole, without reading it here where that can be."""

    def read_bytes(self) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the file's text. Raises FileNotFoundError."""
        return self.read_bytes().decode(encoding)

    def is_dir(self) -> bool:
        """Return whether files lie below this name."""
        return bool(self.entries())

    def exists(self) -> bool:
        """Return whether a file has this name, or files lie below it."""
        return self.is_file() or self.is_dir()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def require_reading(mode: Any) -> None:
    """Raise ValueError for a mode other than reading bytes."""
    if mode != "rb":
        raise ValueError(f"places are opened with 'rb', not {mode!r}; write with write()")
