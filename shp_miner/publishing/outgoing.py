"""The files of an export that a push sends, checked against the manifests before anything leaves the machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.opening import known_formats_in, read_manifest
from shp_miner.export.owned import MANIFEST, README, manifest_hashes, owned_files, require_no_link, several_in

#: Bytes that are read at a time.
_BLOCK_BYTES = 1 << 20

_AGAIN = "Export again, then push."


class Outgoing(Struct):
    """A file of an export: its path in the data set, its place on the disk or its content, its size and SHA-256."""

    path: str
    file: Path | None
    size: int
    sha256: str
    content: bytes | None = None

    def blob_id(self) -> str:
        """Return git's id of the file's content (SHA-1 of a header and the content)."""
        digest = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        if self.content is not None:
            digest.update(self.content)
        elif self.file is not None:
            _read_into(self.file, digest.update)
        return digest.hexdigest()

    def with_content(self, content: bytes) -> Outgoing:
        """Return the file with other content, which stands in memory."""
        return Outgoing(self.path, None, len(content), hashlib.sha256(content).hexdigest(), content)


class Export(Struct):
    """A checked export: its files by their paths in the data set, and the hashes of its manifests."""

    files: dict[str, Outgoing]
    manifests: set[str]

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files.values())


def checked_export(out: Path, advance: Callable[[int, int], None] | None = None) -> Export:
    """Return the files of an export after comparing each with its manifest.

    `advance(done, total)` reports bytes. Raises BadInput if `out` is not an export, lacks a file, or has a file that is
    not the one that its manifest names.
    """
    formats = known_formats_in(out)
    several = several_in(out)
    if lacking := [name for name in several if name not in formats]:
        raise BadInput(f"{out} lacks the format {lacking[0]}, which its {MANIFEST} names.", _AGAIN)
    if out not in formats.values() and not several:
        raise UsageError(f"{out} is not one export: it contains {', '.join(formats)}.", "Push each of them by itself.")
    known: dict[Path, dict[str, Any]] = {}
    for folder in formats.values():
        files = {folder / file["path"]: file for file in read_manifest(folder)["files"]}
        known |= {path: files.get(path, {}) for path in owned_files(folder)}
    if out not in formats.values():
        known |= {path: {} for path in (out / README, out / MANIFEST)}
    for path in known:
        require_no_link(out, path)
        if path.is_symlink() or not path.is_file():
            raise BadInput(f"{out} does not have the file {path.relative_to(out)} of its {MANIFEST}.", _AGAIN)
    total, done = sum(path.stat().st_size for path in known), 0
    found: dict[str, Outgoing] = {}
    for path, told in known.items():
        outgoing = _hashed(path, path.relative_to(out).as_posix())
        if told.get("sha256", outgoing.sha256) != outgoing.sha256:
            raise BadInput(f"{path} is not the file that its {MANIFEST} names: its SHA-256 differs.", _AGAIN)
        found[outgoing.path] = outgoing
        done += outgoing.size
        if advance is not None:
            advance(done, total)
    _check_several(out, found, several)
    return Export(found, manifest_hashes(formats))


def _check_several(out: Path, found: dict[str, Outgoing], several: list[str]) -> None:
    """Raise BadInput if the manifest of a format is not the one that the common manifest names."""
    if not several:
        return
    told = json.loads((out / MANIFEST).read_bytes())["formats"]
    for name in several:
        if told[name] != found[f"{name}/{MANIFEST}"].sha256:
            raise BadInput(f"{out / name / MANIFEST} is not the one that {out / MANIFEST} names.", _AGAIN)


def _hashed(path: Path, name: str) -> Outgoing:
    digest, size = hashlib.sha256(), 0

    def update(block: bytes) -> None:
        nonlocal size
        digest.update(block)
        size += len(block)

    _read_into(path, update)
    return Outgoing(name, path, size, digest.hexdigest())


def _read_into(path: Path, update: Callable[[bytes], object]) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            update(block)
