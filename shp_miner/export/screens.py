"""Reads evaluation sets, and keeps in the store what is needed of them to make an export again without their files.

A store keeps hashes of words, not the texts. They stay there: an export has only names, hashes of files and counts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct, UnsetType

from shp_miner.arguments import Names, one_of, several
from shp_miner.clean.evaluation import Decontamination, EvaluationFile
from shp_miner.clean.grams import Grams, Rows
from shp_miner.clean.overlap import WORDS_IN_A_ROW, Preset, Screen, item_words
from shp_miner.errors import BadInput, UsageError, nearest_name
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import formats_in
from shp_miner.export.registered import all_exports
from shp_miner.paths import expanded
from shp_miner.places.lease import confirm
from shp_miner.store import Store
from shp_miner.store.lock import exclusive_lock
from shp_miner.store.replacing import is_writable, replace_file
from shp_miner.store.vacuum import Ended

#: Where a store keeps the items of evaluation sets, and the file of an export's work folder that has them.
KEPT_IN, _WORKING = "screens", "screen.npz"

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_LINES, _TABLES = (".jsonl", ".ndjson", ".json"), (".parquet",)
#: Files whose first line names columns, with what parts their cells.
_CELLS = {".csv": ",", ".tsv": "\t"}


#: The first bytes of what is not read as it lies.
_PACKED = {
    b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip",
}  # fmt: skip


class Items(Struct):
    """The items of some files: the hashes of their words, and of each the number of its file and its line or row."""

    words: Grams
    file: Rows
    line: Rows

    def screen(self, decontamination: Decontamination) -> Screen:
        """Return the screen for all items, which names each as "file:line"."""
        names = pl.Series([file.name for file in decontamination.files], dtype=pl.String)
        labels = names.gather(self.file) + ":" + pl.Series(self.line).cast(pl.String)
        return Screen(self.words, decontamination.preset, labels)


class EvaluationSets(Struct):
    """Evaluation sets as they were read: what to write into manifests, their items, and the texts of the items."""

    about: Decontamination
    items: Items
    texts: pl.Series

    def screen(self) -> Screen:
        """Return the screen for all items."""
        return self.items.screen(self.about)

    def unseen(self) -> list[str]:
        """Return two sentences for each file with items that are too short to be seen: how many, and what to do."""
        words = WORDS_IN_A_ROW[self.about.preset]
        told = "so texts are not screened for them. Name columns of longer texts with --decontaminate-columns"
        return [
            f"{file.name}: {file.too_short:,} of {file.items:,} items have fewer than {words} words, {told}."
            for file in self.about.files
            if file.too_short
        ]


#: Evaluation sets as callers give them: what `evaluation_sets` returns, or files.
Sets = EvaluationSets | Paths | None


def evaluation_sets(paths: Paths, *, columns: Names | None = None, preset: str = "default") -> EvaluationSets:
    """Return the items of one or several files, to screen an export for.

    Files are JSONL, JSON, Parquet, CSV or TSV (whose first line names the columns), or text with an item a line; none
    is compressed. Each
    text of a record is an item, also in lists and records in it; `columns` are the fields to take. Raises BadInput
    for a file that is not of that kind, or without items, and UsageError for a column that no record has, for an
    unknown preset, and without a file.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    names = several(columns, "columns")
    how = cast("Preset", one_of(preset, WORDS_IN_A_ROW, "preset"))
    if not given:
        raise UsageError("There is no evaluation set to screen for.", "Name its file with --decontaminate.")
    texts: list[str] = []
    lines: list[int] = []
    sized: list[tuple[str, str, int]] = []
    for file_given in given:
        path = expanded(file_given)
        data = path.read_bytes()
        found = list(_items(path, data, names))
        if not found:
            raise BadInput(f"{path} has no text to screen for.", "Give a file with a text on each line or in a column.")
        sized.append((path.name, hashlib.sha256(data).hexdigest(), len(found)))
        lines += [line for line, _ in found]
        texts += [text for _, text in found]
    column = pl.Series(texts, dtype=pl.String)
    file = np.repeat(np.arange(len(sized)), [count for *_, count in sized])
    items = Items(item_words(column), file, np.array(lines, np.int64))
    unseen = Screen(items.words, how).is_unseen
    files = tuple(EvaluationFile(*told, int(unseen[file == number].sum())) for number, told in enumerate(sized))
    about = Decontamination(files=files, columns=tuple(names), preset=how)
    return EvaluationSets(about, items, column)


def as_sets(given: Sets) -> EvaluationSets | None:
    """Return the evaluation sets that are given, or read from the files that are; None without any."""
    if given is None or isinstance(given, EvaluationSets):
        return given
    return evaluation_sets(given)


def _items(path: Path, data: bytes, columns: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the items of a file with their line or row, from 1."""
    packed = next((what for magic, what in _PACKED.items() if data.startswith(magic)), "")
    if packed:
        raise BadInput(f"{path} is compressed ({packed}).", "Decompress it, and name the file that comes of it.")
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        yield from _of_records(path, _rows(path), columns)
    elif suffix in _CELLS:
        yield from _of_records(path, _cells(path, data, _CELLS[suffix]), columns)
    elif suffix in _LINES:
        yield from _of_records(path, _records(path, data), columns)
    else:
        if columns:
            raise UsageError(
                f"{path} is a text without columns.", "Leave out the columns, or give JSONL, Parquet, CSV or TSV."
            )
        for number, line in enumerate(_decoded(path, data).splitlines(), 1):
            if line.strip():
                yield number, line


def _of_records(path: Path, records: Iterator[tuple[int, Any]], columns: Sequence[str]) -> Iterator[tuple[int, str]]:
    names: set[str] = set()
    for number, record in records:
        if columns:
            if not isinstance(record, dict):
                raise BadInput(f"{path}, record {number}: not an object with columns.", "Give one object a line.")
            names |= record.keys()
            record = [record[name] for name in columns if name in record]  # noqa: PLW2901
        yield from ((number, text) for text in _texts(record))
    missing = [name for name in columns if name not in names]
    if missing:
        raise UsageError(f"{path} has no column {missing[0]!r}.", nearest_name(missing[0], sorted(names)))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(pl.read_parquet(path, glob=False).iter_rows(named=True), 1)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path} is not a readable Parquet file: {error}.", "Check the file.") from error


def _cells(path: Path, data: bytes, separator: str) -> Iterator[tuple[int, Any]]:
    text = _decoded(path, data)
    header = text.partition("\n")[0]
    if separator == "," not in header and ";" in header:  # as Excel writes CSV where the decimal mark is a comma
        separator = ";"
    try:
        frame = pl.read_csv(BytesIO(text.encode()), separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, ValueError) as error:
        name = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
        raise BadInput(
            f"{path} is not a table with a {name} between cells: a line has more cells than the first, or quotes do "
            "not end.",
            "Correct the line, or name a file with an item a line .txt.",
        ) from error
    yield from enumerate(frame.iter_rows(named=True), 1)


def _records(path: Path, data: bytes) -> Iterator[tuple[int, Any]]:
    text = _decoded(path, data)
    if text.lstrip().startswith("["):
        yield from enumerate(_parsed(path, 1, text), 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _parsed(path, number, line)


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{path}, line {number}: not valid JSON.", "Give one JSON object a line.") from error


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8.", "Convert it, for example with iconv.") from error


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value, in its order."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


# -- kept for later --------------------------------------------------------------------------------------------------


def keep_items(store: Path, sets: EvaluationSets) -> None:
    """Keep the items in the store, so that the export can be made again without the files.

    A store that cannot be written to keeps nothing: it does not know its exports either.
    """
    path = _kept(store, sets.about)
    if is_writable(store):
        path.parent.mkdir(exist_ok=True)
        replace_file(path, lambda file: _write(file, sets.items), durable=True)


def kept_items(store: Path, about: Decontamination) -> Items:
    """Return the items that a store keeps. Raises BadInput if it does not have them."""
    try:
        return _read(_kept(store, about))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        names = ", ".join(file.name for file in about.files)
        raise BadInput(
            f"The store does not have the evaluation sets that the export was screened for: {names}.",
            "Export it again with --decontaminate and these files.",
        ) from error


def unused_items(store: Store) -> list[Path]:
    """Return the kept items that no registered export is screened for; none where an export cannot be read."""
    folder = store.path / KEPT_IN
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    exports, damaged = all_exports(store) if files else ([], [])
    used: set[Path] = set()
    for known in exports:
        if known.stage == "gone":
            continue
        if not known.is_there():  # killed, or away: what it needs is not known
            return []
        for manifest in map(read_manifest, formats_in(expanded(known.path)).values()):
            if about := manifest["configuration"].get("decontaminate"):
                used.add(_kept(store.path, msgspec.convert(about, Decontamination)))
    return [] if damaged else [file for file in files if file not in used]


def delete_unused_items(store: Store, *, wait_s: float = 10.0) -> Ended:
    """Delete the kept items that no registered export needs. Raises TryLater if the store is in use after `wait_s`."""
    done = Ended()
    if not unused_items(store):
        return done
    with exclusive_lock(store.path, "deleting unused evaluation sets", wait_s=wait_s):
        for file in unused_items(store):  # an export may have begun meanwhile
            done.files, done.size_bytes = done.files + 1, done.size_bytes + file.stat().st_size
            confirm()
            file.unlink()
    return done


def work_with(work: Path, items: Items) -> None:
    """Let `load_screen` find the items in a work folder."""
    replace_file(work / _WORKING, lambda file: _write(file, items), durable=False)


def load_screen(work: Path, about: Decontamination | UnsetType) -> Screen | None:
    """Return the screen of an export's work folder; None if nothing is screened."""
    return _loaded(work / _WORKING, about) if about else None


@lru_cache(maxsize=1)
def _loaded(path: Path, about: Decontamination) -> Screen:
    return _read(path).screen(about)


def _kept(store: Path, about: Decontamination) -> Path:
    key = msgspec.json.encode(([(file.name, file.sha256) for file in about.files], about.columns))
    return store / KEPT_IN / f"{hashlib.sha256(key).hexdigest()}.npz"


def _write(file: Any, items: Items) -> None:
    np.savez(file, hashes=items.words.hashes, offsets=items.words.offsets, set=items.file, line=items.line)


def _read(path: Path) -> Items:
    with np.load(BytesIO(path.read_bytes())) as arrays:
        return Items(Grams(arrays["hashes"], arrays["offsets"]), arrays["set"], arrays["line"])
