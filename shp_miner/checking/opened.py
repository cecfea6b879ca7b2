"""An export that is to be checked: its formats, their manifests and their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import UNSET, Struct, ValidationError, convert

from shp_miner.errors import BadInput
from shp_miner.export.compact import PAIRS
from shp_miner.export.formats import FORMATS, Format
from shp_miner.export.joining import file_tables, groups_of
from shp_miner.export.margins import form_of, has_margin
from shp_miner.export.opening import known_formats_in, read_manifest
from shp_miner.export.owned import MANIFEST, several_in
from shp_miner.export.shards import Shard

#: Rows that are in memory at a time.
_ROWS = 5_000


class Opened(Struct, frozen=True):
    """An export of one format: its folder, its format, its manifest, and the files that the manifest names."""

    folder: Path
    form: Format
    manifest: dict[str, Any]
    files: list[Shard]

    @property
    def is_compact(self) -> bool:
        """Return whether the texts have files of their own."""
        return any(file.part for file in self.files)

    @property
    def row_files(self) -> list[Shard]:
        """Return the files that have the rows: not the texts of the compact layout."""
        return [file for file in self.files if file.part in (UNSET, PAIRS)]

    @property
    def rows(self) -> int:
        """Return the number of rows that the manifest promises."""
        return sum(file.rows for file in self.row_files)

    def texts_of(self, file: Shard) -> list[Shard]:
        """Return the files that have the texts of a file's rows; none in the joined layout."""
        same = (file.community, file.split)
        return [other for other in self.files if (other.community, other.split) == same and other not in self.row_files]


def opened(out: Path) -> list[Opened]:
    """Return the exports in a folder, in the order of the formats.

    Raises BadInput if there is no export, if a manifest is damaged or of another version, or if a format is unknown
    or missing.
    """
    found = known_formats_in(out)
    missing = [name for name in several_in(out) if name not in found]
    if missing:
        raise BadInput(f"{out} lacks the format {missing[0]!r}, which its manifest names.", "Export again.")
    unknown = [name for name in found if name not in FORMATS]
    if unknown:
        raise BadInput(
            f"{out} has the format {unknown[0]!r}, which this version does not know.", "Install the newest shp-miner."
        )
    return [_opened(found[name], name) for name in FORMATS if name in found]


def _opened(folder: Path, name: str) -> Opened:
    manifest = read_manifest(folder)
    form = form_of(name, margin=has_margin(manifest))
    try:
        files = convert(manifest["files"], list[Shard])
        convert([manifest.get("configuration"), manifest.get("counts"), manifest.get("rows")], list[dict[str, Any]])
    except ValidationError as error:
        raise BadInput(f"{folder / MANIFEST} was changed by hand: {error}.", "Export again.") from error
    if not files:
        raise BadInput(f"{folder / MANIFEST} names no files.", "Export again.")
    found = Opened(folder, form, manifest, files)
    if found.is_compact:
        groups_of(folder, form.name, manifest["files"])  # it refuses tables that the format does not have
    return found


def hashes_of_formats(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each format's manifest, as the manifest of several formats has it; empty for one format."""
    if not several_in(out):
        return {}
    formats: dict[str, str] = json.loads((out / MANIFEST).read_bytes())["formats"]
    return formats


def row_tables(export: Opened, file: Shard) -> Iterator[pa.Table]:
    """Yield the rows of one of `row_files`, some thousands in memory at a time, with their texts in both layouts.

    Raises OSError, ArrowException or BadInput for a damaged file.
    """
    files, names = export.manifest["files"], export.form.schema.names
    told = next(other for other in files if other["path"] == file.path)
    yield from file_tables(export.folder, export.form.name, files, told, names, _ROWS)
