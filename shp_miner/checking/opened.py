"""An export that is to be checked: its formats, their manifests and their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, ValidationError, convert

from shp_miner.errors import BadInput
from shp_miner.export.formats import FORMATS, Format
from shp_miner.export.load import known_formats_in, read_manifest
from shp_miner.export.manifest import LAYOUT
from shp_miner.export.owned import MANIFEST, several_in
from shp_miner.export.shards import Shard


class Opened(Struct, frozen=True):
    """An export of one format: its folder, its format, its manifest, and the files that the manifest names."""

    folder: Path
    form: Format
    manifest: dict[str, Any]
    files: list[Shard]

    @property
    def rows(self) -> int:
        """Return the number of rows that the manifest promises."""
        return sum(file.rows for file in self.files)


def opened(out: Path) -> list[Opened]:
    """Return the exports in a folder, in the order of the formats.

    Raises BadInput if there is no export, if a manifest is damaged or of another version, or if a format is unknown
    or missing.
    """
    found = known_formats_in(out)
    missing = [name for name in several_in(out) if name not in found]
    if missing:
        raise BadInput(f"{out} does not have the format {missing[0]!r} of its manifest.", "Export again.")
    unknown = [name for name in found if name not in FORMATS]
    if unknown:
        raise BadInput(
            f"{out} has the format {unknown[0]!r}, which this version does not know.", "Install the newest shp-miner."
        )
    return [_opened(found[name], FORMATS[name]) for name in FORMATS if name in found]


def _opened(folder: Path, form: Format) -> Opened:
    manifest = read_manifest(folder)
    if manifest.get("layout") != LAYOUT:
        raise BadInput(
            f"{folder / MANIFEST} has the layout {manifest.get('layout')!r}; this version reads layout {LAYOUT}.",
            "Check it with the version of shp-miner that wrote it, or export again.",
        )
    try:
        files = convert(manifest["files"], list[Shard])
        convert([manifest.get("configuration"), manifest.get("counts"), manifest.get("rows")], list[dict[str, Any]])
    except ValidationError as error:
        raise BadInput(f"{folder / MANIFEST} was changed by hand: {error}.", "Export again.") from error
    if not files:
        raise BadInput(f"{folder / MANIFEST} names no files.", "Export again.")
    return Opened(folder, form, manifest, files)


def hashes_of_formats(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each format's manifest, as the manifest of several formats has it; empty for one format."""
    if not several_in(out):
        return {}
    formats: dict[str, str] = json.loads((out / MANIFEST).read_bytes())["formats"]
    return formats


def row_groups(opened_export: Opened, file: Shard) -> Iterator[pa.Table]:
    """Yield the row groups of a file, one in memory at a time.

    Raises OSError or ArrowException for a damaged file.
    """
    with pq.ParquetFile(opened_export.folder / file.path) as parquet:
        for number in range(parquet.metadata.num_row_groups):
            yield parquet.read_row_group(number)
