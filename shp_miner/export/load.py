"""Reads an export back into memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.owned import MANIFEST, formats_in, is_inside
from shp_miner.paths import expanded
from shp_miner.platforms.communities import meant_communities

if TYPE_CHECKING:
    from datasets import Dataset


def load(
    path: str | os.PathLike[str],
    community: str | None = None,
    *,
    split: str | None = None,
    format: str | None = None,  # noqa: A002
) -> Dataset:
    """Return the rows of an export as a `datasets.Dataset`: those of `split`, or of all splits.

    The rows are Arrow in memory: `.to_polars()` shares it, `.to_pandas()` copies what pandas must own. For exports
    larger than memory, use `datasets.load_dataset(path, streaming=True)`. `format` chooses one of several formats. A
    community may be written in any letter case. Raises BadInput if `path` is not an export or a file is missing, and
    UsageError for an unknown community, split or format.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415
    from datasets import Dataset  # noqa: PLC0415

    folder = _folder(expanded(path), format)
    files = read_manifest(folder)["files"]
    names = _communities(community, files)
    chosen = [
        file for file in files if (names is None or file["community"] in names) and split in (None, file["split"])
    ]
    if not chosen:
        known = ", ".join(sorted({f"{file['community']} ({file['split']})" for file in files})[:20])
        raise UsageError(
            f"{folder} has no rows of {community or 'any community'}, {split or 'any split'}.", f"It has: {known}."
        )
    require_files(folder, chosen)
    return Dataset(pa.concat_tables([pq.read_table(folder / file["path"], partitioning=None) for file in chosen]))


def _communities(asked: str | None, files: list[dict[str, Any]]) -> set[str] | None:
    """Return the communities of an export with a name, their own or of their configuration; None for all."""
    if asked in (None, "all"):
        return None
    exactly = {file["community"] for file in files if asked in (file["community"], file.get("config"))}
    return exactly or set(meant_communities([asked], {file["community"] for file in files})[0])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export of one format. Raises BadInput if it is missing or damaged."""
    try:
        read = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{folder} is not an export: it has no readable {MANIFEST}.", "Name the folder that `export` wrote to."
        ) from error
    if not (isinstance(read, dict) and isinstance(read.get("files"), list) and all(map(_is_file, read["files"]))):
        raise BadInput(f"{folder / MANIFEST} is damaged: it does not list the export's files.", "Export again.")
    for file in read["files"]:
        if not is_inside(file["path"]):
            raise BadInput(
                f"{folder / MANIFEST} names a file outside its folder: {file['path']!r}.",
                "Do not use this export: shp-miner did not write this manifest.",
            )
    return read


def known_formats_in(path: Path) -> dict[str, Path]:
    """Return the formats of an export with their folders. Raises BadInput if there is no export."""
    formats = formats_in(path)
    if not formats:
        raise BadInput(f"{path} is not an export: it has no {MANIFEST}.", "Name the folder that `export` wrote to.")
    return formats


def require_files(folder: Path, files: list[dict[str, Any]]) -> None:
    """Raise BadInput for a file of a manifest that its folder does not have."""
    missing = [file["path"] for file in files if not (folder / file["path"]).is_file()]
    if missing:
        raise BadInput(f"{folder} does not have the file {missing[0]} of its manifest.", "Export again.")


def _is_file(told: Any) -> bool:
    return isinstance(told, dict) and all(isinstance(told.get(key), str) for key in ("path", "community", "split"))


def _folder(path: Path, name: str | None) -> Path:
    formats = known_formats_in(path)
    if name is None and len(formats) > 1:
        raise UsageError(f"{path} holds several formats.", f"Choose one with format=: {', '.join(formats)}.")
    if name is not None and name not in formats:
        raise UsageError(f"{path} has no format {name!r}.", f"Choose one with format=: {', '.join(formats)}.")
    return formats[name] if name else next(iter(formats.values()))
