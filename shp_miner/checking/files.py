"""The files of an export against its manifest, and its card against the files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.checking.opened import Opened, hashes_of_formats
from shp_miner.export.check import CheckFailedError, check_format
from shp_miner.export.compact import form_of_file, rows_of_parts
from shp_miner.export.formats import MARGIN, RESERVED_COLUMNS
from shp_miner.export.loading import check_loads
from shp_miner.export.owned import MANIFEST, README
from shp_miner.export.reading import arrow_source
from shp_miner.export.shards import ALL, Shard, rows_of
from shp_miner.rules.hashing import SPLITS


def manifest_problems(out: Path, exports: list[Opened]) -> Iterator[str]:
    """Yield what is wrong with the common manifest of several formats."""
    hashes = hashes_of_formats(out)
    for export in exports:
        own = hashlib.sha256((export.folder / MANIFEST).read_bytes()).hexdigest()
        if hashes and hashes.get(export.form.name) != own:
            yield f"{out / MANIFEST} has another hash of the manifest of {export.form.name} than that manifest has."


def file_problem(export: Opened, file: Shard) -> str | None:
    """Return what is wrong with a file before its rows are read; None if it is as its manifest says."""
    path = export.folder / file.path
    if not path.is_file():
        return f"{file.path} is missing."
    if file.split not in SPLITS:
        return f"{file.path} is in the split {file.split!r}; the splits are {', '.join(SPLITS)}."
    if path.stat().st_size != file.bytes:
        return f"{file.path} has {path.stat().st_size:,} bytes; its manifest says {file.bytes:,}."
    with path.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
            return f"{file.path} has another SHA-256 than its manifest says."
    return _unlike(export, file)


def _unlike(export: Opened, file: Shard) -> str | None:
    """What a file of the right bytes has instead of the rows and columns that it should have; None if it has them."""
    try:
        file.check(export.folder, form_of_file(export.form, file))
    except CheckFailedError as error:
        return error.message
    except (OSError, pa.ArrowException) as error:
        return f"{file.path} is not a readable Parquet file: {error}"
    return None


def schema_problems(export: Opened) -> Iterator[str]:
    """Yield reserved columns, and row counts of the manifest that its own files contradict."""
    for file in export.files:
        path = export.folder / file.path
        try:
            with arrow_source(path) as source:
                names = pq.read_schema(source).names
        except (OSError, pa.ArrowException):
            continue  # file_problem says so
        reserved = _reserved([name for name in names if name != MARGIN or not export.form.margin])
        if reserved:
            yield f"{file.path} has the reserved column {reserved!r}: TRL gives it a meaning of its own."
            break
    try:
        check_format(export.form)
    except CheckFailedError as error:
        yield error.message
    counted: dict[str, int] = {}
    for file in export.row_files:
        counted[file.split] = counted.get(file.split, 0) + file.rows
    if export.manifest["rows"] != counted:
        yield f"{MANIFEST} says {_splits(export.manifest['rows'])}; its files have {_splits(counted)}."
    paths = [file.path for file in export.files]
    if len(set(paths)) < len(paths):
        yield f"{MANIFEST} names a file twice."


def card_problems(out: Path, exports: list[Opened]) -> Iterator[str]:
    """Yield what is wrong with the cards: their configurations do not list exactly the files of the manifests."""
    for export in exports:
        yield from _card_problems(export.folder, _by_config(export))
    if any(export.folder != out for export in exports):
        common = {name: files for export in exports for name, files in _in_common_card(out, export).items()}
        yield from _card_problems(out, common)


def loading_problem(export: Opened) -> str | None:
    """Return why `datasets` cannot load the configurations of an export; None if it can."""
    try:
        check_loads(export.folder, rows_of_parts(export.files) if export.is_compact else rows_of(export.files))
    except CheckFailedError as error:
        return error.message
    return None


def foreign_files(export: Opened) -> list[str]:
    """Return Parquet files in the folder that the manifest does not name; programs that glob read them, too."""
    known = {export.folder / file.path for file in export.files}
    found = [path for path in export.folder.rglob("*.parquet") if path not in known]
    return sorted(path.relative_to(export.folder).as_posix() for path in found)


#: The files of a configuration, by split, as paths from the card's folder.
_Files = dict[str, set[str]]


def _by_config(export: Opened) -> dict[str, _Files]:
    """The configurations that the card of one format has: all communities and each one, or each table if compact."""
    configs: dict[str, _Files] = {}
    for file in export.files:
        for name in (file.part,) if file.part else (ALL, file.config):
            configs.setdefault(name, {}).setdefault(file.split, set()).add(file.path)
    return configs


def _in_common_card(out: Path, export: Opened) -> dict[str, _Files]:
    """The configurations of a format in the common card of several formats: the format, and its tables of texts."""
    below, name = export.folder.relative_to(out).as_posix(), export.form.name
    configs: dict[str, _Files] = {}
    for file in export.files:
        config = name if file in export.row_files else f"{name}-{file.part}"
        configs.setdefault(config, {}).setdefault(file.split, set()).add(f"{below}/{file.path}")
    return configs


def _card_problems(folder: Path, expected: Mapping[str, _Files]) -> Iterator[str]:
    card = folder / README
    if not card.is_file():
        yield f"{folder} has no {README}."
        return
    try:
        listed = _listed(card.read_text(encoding="utf-8"))
    except Exception as error:  # noqa: BLE001 - YAML of others
        yield f"{card} does not list its configurations as an export does: {' '.join(str(error).split())}"
        return
    for name in expected:
        if listed.get(name) != expected[name]:
            yield f"{card} lists other files of the configuration {name!r} than the manifest."
            return
    for name in listed:
        if name not in expected:
            yield f"{card} has the configuration {name!r}, which no file of the manifest has."
            return


def _listed(text: str) -> dict[str, _Files]:
    """The files of each configuration in a card's YAML. `datasets` is not asked: a card may name files elsewhere."""
    front = text.split("---\n")[1]
    configs: dict[str, _Files] = {}
    # The library that `datasets` itself reads cards with.
    for config in import_module("yaml").safe_load(front)["configs"]:
        files = configs.setdefault(config["config_name"], {})
        for part in config["data_files"]:
            paths = [part["path"]] if isinstance(part["path"], str) else part["path"]
            files.setdefault(part["split"], set()).update(paths)
    return configs


def _reserved(names: list[str]) -> str | None:
    return next((name for name in names if name in RESERVED_COLUMNS), None)


def _splits(rows: Mapping[str, object]) -> str:
    return ", ".join(f"{rows[split]} rows of {split}" for split in sorted(rows)) or "no rows"
