"""Places on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self
from uuid import uuid4

from shp_miner.paths import expanded
from shp_miner.places.place import Content, Entry, Place, require_reading
from shp_miner.places.replacing import is_temporary, replace_file, sync_to_disk


class LocalPlace(Place):
    """A path of this machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = expanded(path).absolute()

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parent(self) -> Self:
        return type(self)(self.path.parent)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.path / name)

    def __str__(self) -> str:
        return str(self.path)

    def is_file(self) -> bool:
        return self.path.is_file()

    def size(self) -> int:
        return self.path.stat().st_size

    def open(self, mode: str = "rb") -> BinaryIO:
        require_reading(mode)
        return self.path.open("rb")

    def write(self, content: Content) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, _written(content), durable=True)

    def create(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f".{uuid4().hex}.tmp")
        try:
            replace_file(new, content, durable=True)
            os.link(new, self.path)  # a rename would replace
        finally:
            new.unlink(missing_ok=True)
        sync_to_disk(self.path.parent)

    def entries(self) -> list[Entry]:
        found = []
        for parent, _, names in os.walk(self.path):
            for name in names:
                path = Path(parent, name)
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if not is_temporary(name):
                        found.append(Entry(path.relative_to(self.path).as_posix(), path.stat().st_size))
        return sorted(found, key=lambda entry: entry.name)

    def is_dir(self) -> bool:
        return self.path.is_dir()

    def delete(self, names: Iterable[str] | None = None) -> None:
        for path in (self.path,) if names is None else (self.path / name for name in names):
            path.unlink(missing_ok=True)

    def copy(self, target: Self) -> None:
        target.write(self.path)


def _written(content: Content) -> bytes | Callable[[BinaryIO], object]:
    if not isinstance(content, Path):
        return content

    def copied(file: BinaryIO) -> None:
        with content.open("rb") as source:
            shutil.copyfileobj(source, file)

    return copied
