"""Reads the pairs of an export: through its manifest, column by column, a few thousand rows at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq
import xxhash
from msgspec import Struct

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.compact import part_of, row_files
from shp_miner.export.formats import FORMATS, MARGIN
from shp_miner.export.joining import file_tables, groups_of
from shp_miner.export.margins import form_of_manifest
from shp_miner.export.opening import known_formats_in, read_manifest, require_files
from shp_miner.export.owned import MANIFEST
from shp_miner.export.reading import arrow_source
from shp_miner.export.shared import COMPARED
from shp_miner.export.sides import SIDES
from shp_miner.training.linear import Numbers, Pairs
from shp_miner.training.words import Hashing, Rows, joined_rows, to_rows

#: Rows that are read at a time: their texts are in memory.
_BATCH = 5000

#: What is read of each pair (`shp_miner.export.sides`).
_READ = ("question", "first", "second", "first_wins", "thread", "seconds", "ratio")

#: What a pair is learned with, and the values that make it a plain one: it is won, and nothing explains that.
_PLAIN = {"target": 1.0, "weight": 1.0, "attention": 0.0}

#: The formats to train on, the one with the most to tell first.
TRAINABLE = tuple(form for form, sides in SIDES.items() if sides.has_both)

Advance = Callable[[int], object]


class TrainingExport(Struct, frozen=True):
    """An export to train on: its folder, format, and the data and hash of its manifest."""

    folder: Path
    form: str
    manifest: dict[str, Any]
    fingerprint: str

    def files(self, split: str) -> list[dict[str, Any]]:
        """Return the manifest's files of a split, those of texts too, sorted by path."""
        return sorted((file for file in self.manifest["files"] if file["split"] == split), key=lambda f: str(f["path"]))

    @property
    def beside(self) -> tuple[str, ...]:
        """Return the columns that say how a pair is learned: of `comparisons` with its columns, or with a margin.

        Pairs that were drawn by their weight have it in their number, so each of them counts once.
        """
        rule = self.manifest.get("configuration", {}).get("rule")
        if self.form == "pairs" and isinstance(rule, dict) and rule.get("measure") == "votes":
            return tuple(name for name in COMPARED if name != "weight" or not rule.get("sample_by_weight"))
        return (MARGIN,) if form_of_manifest(self.manifest).margin else ()

    @property
    def wanted(self) -> list[str]:
        """Return the columns of the format that are read."""
        return [*SIDES[self.form].columns(*_READ), *self.beside]

    def rows(self, split: str) -> int:
        """Return the number of rows of a split."""
        return sum(int(file["rows"]) for file in row_files(self.files(split)))


class Split(Struct, frozen=True):
    """The pairs of a split, with what is known of each.

    pairs.rows has a row for each different answer to its question, and chars that answer's length in characters.
    community is a place in communities. seconds and ratio are not-a-number where unknown. questions and answers are the
    texts of each row, empty unless they were asked for. rows is the number of pairs that the split has, of which these
    are a sample if there are more than were asked for. thread_hashes has a hash of each thread: by its number, a place.
    """

    pairs: Pairs
    chars: Numbers
    community: Numbers
    communities: list[str]
    seconds: npt.NDArray[np.float64]
    ratio: npt.NDArray[np.float64]
    questions: pl.Series
    answers: pl.Series
    rows: int
    thread_hashes: npt.NDArray[np.uint64]


def open_export(out: Path, form: str | None = None) -> TrainingExport:
    """Return the export in a folder: of several formats the named one, or the first that can be trained on.

    Raises BadInput if there is no export, a file is missing, or one was changed, and UsageError if no format has both
    answers of each pair.
    """
    formats = known_formats_in(out)
    if form is not None and form not in formats:
        raise UsageError(f"{out} has no format {form!r}.", f"It has: {', '.join(formats)}.")
    usable = [name for name in TRAINABLE if name in formats and form in (None, name)]
    if not usable:
        raise UsageError(
            f"Rows of the format {form or ', '.join(formats)} do not have both answers of a pair.",
            f"Export again with --format and one of: {', '.join(TRAINABLE)}.",
        )
    folder = formats[usable[0]]
    manifest = read_manifest(folder)
    require_files(folder, manifest["files"])
    if any("part" in file for file in manifest["files"]):
        groups_of(folder, usable[0], manifest["files"])  # it refuses tables that the format does not have
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return TrainingExport(folder, usable[0], manifest, digest)


def require_unchanged(source: TrainingExport, split: str) -> None:
    """Raise BadInput if a file of a split is not the one that the manifest names."""
    for entry in source.files(split):
        path = source.folder / entry["path"]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.get("sha256"):
            raise BadInput(
                f"{path} is not the file that the export wrote: its hash differs from {MANIFEST}.", "Export again."
            )
        form = FORMATS[source.form]
        needed = part_of(form, entry["part"]).schema.names if "part" in entry else source.wanted
        with arrow_source(path) as parquet:
            missing = set(needed) - set(pq.read_schema(parquet).names)
        if missing:
            raise BadInput(f"{path} lacks the column {min(missing)} of the format {source.form}.", "Export again.")


def read_split(
    source: TrainingExport,
    split: str,
    hashing: Hashing | None,
    *,
    most: int,
    seed: int,
    texts: bool = False,
    advance: Advance = lambda _: None,
) -> Split:
    """Return the pairs of a split; if it has more than `most`, a sample of them.

    The texts of one batch are in memory at a time, unless `texts` asks for all. Without `hashing` the rows are empty.
    `advance` gets the number of rows of each batch.
    """
    require_unchanged(source, split)
    total = source.rows(split)
    chosen = np.ones(total, np.bool_)
    if total > most:
        chosen[np.random.default_rng(seed).permutation(total)[most:]] = False
    reader = _Reader(hashing, texts=texts)
    start = 0
    for community, batch in _batches(source, split):
        kept = batch.filter(pl.Series(chosen[start : start + batch.height]))
        start += batch.height
        if kept.height:
            reader.add(community, kept)
        advance(batch.height)
    return reader.split(total)


def _batches(source: TrainingExport, split: str) -> Iterator[tuple[str, pl.DataFrame]]:
    files = source.files(split)
    known = {name: pl.lit(None, pl.Float64) for name in ("seconds", "ratio")} | SIDES[source.form].select(*_READ)
    known |= _beside(source)
    for entry in row_files(files):
        for table in file_tables(source.folder, source.form, files, entry, source.wanted, _BATCH):
            yield str(entry["community"]), pl.DataFrame(table).select(**known)


def _beside(source: TrainingExport) -> dict[str, pl.Expr]:
    """`target`, `weight` and `attention` of an export that has them; a pair without them is a plain one."""
    if source.beside == (MARGIN,):
        return {"attention": -pl.col(MARGIN)}
    return {name: pl.col(name).fill_null(_PLAIN[name]) for name in source.beside}


class _Reader:
    """Collects the pairs of batches: each different answer to its question becomes one row."""

    def __init__(self, hashing: Hashing | None, *, texts: bool) -> None:
        self._hashing, self._texts = hashing, texts
        self._places: dict[bytes, int] = {}
        self._threads: dict[int, int] = {}
        self._communities: dict[str, int] = {}
        self._rows: list[Rows] = []
        self._kept: list[pl.DataFrame] = []
        self._columns: list[dict[str, npt.NDArray[Any]]] = []

    def add(self, community: str, batch: pl.DataFrame) -> None:
        """Add pairs (the columns of _READ) of a community."""
        winner = pl.when("first_wins").then("first").otherwise("second")
        loser = pl.when("first_wins").then("second").otherwise("first")
        sides = [batch.select("question", answer=side) for side in (winner, loser)]
        distinct = pl.concat(sides).unique(maintain_order=True)
        keys = [_key(*row) for row in distinct.iter_rows()]
        new = [number for number, key in enumerate(keys) if key not in self._places]
        for number in new:
            self._places[keys[number]] = len(self._places)
        added = distinct[new]
        if self._hashing is not None:
            self._rows.append(to_rows(added["question"], added["answer"], self._hashing))
        chars = added["answer"].str.len_chars().alias("chars")
        self._kept.append(added.with_columns(chars) if self._texts else chars.to_frame())
        placed = distinct.with_columns(pl.Series("place", [self._places[key] for key in keys], pl.Int64))
        found = [
            side.join(placed, on=("question", "answer"), how="left", maintain_order="left")["place"].to_numpy()
            for side in sides
        ]
        hashes = [xxhash.xxh3_64_intdigest(name.encode()) for name in batch["thread"].to_list()]
        number_of = self._communities.setdefault(community, len(self._communities))
        self._columns.append(
            {
                "winner": found[0],
                "loser": found[1],
                "thread": np.array([self._threads.setdefault(h, len(self._threads)) for h in hashes], np.int64),
                "community": np.full(batch.height, number_of, np.int64),
                "seconds": batch["seconds"].fill_null(np.nan).to_numpy(),
                "ratio": batch["ratio"].fill_null(np.nan).to_numpy(),
                **{name: batch[name].to_numpy() for name in _PLAIN if name in batch.columns},
            }
        )

    def split(self, total: int) -> Split:
        """Return what was collected; `total` is the number of rows that the split has."""
        empty: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(0, np.int64) for name in ("winner", "loser", "thread", "community")
        }
        empty |= {name: np.zeros(0) for name in ("seconds", "ratio")}
        column = {
            name: np.concatenate([first, *(part[name] for part in self._columns)]) for name, first in empty.items()
        }
        beside = {
            name: np.concatenate([part[name] for part in self._columns])
            for name in _PLAIN
            if self._columns and name in self._columns[0]
        }
        kept = pl.concat([pl.DataFrame(schema={"chars": pl.UInt32}), *self._kept], how="diagonal")
        texts = [
            kept[name] if name in kept.columns else pl.Series([], dtype=pl.String) for name in ("question", "answer")
        ]
        return Split(
            Pairs(joined_rows(self._rows), column["winner"], column["loser"], column["thread"], **beside),
            kept["chars"].to_numpy().astype(np.int64),
            column["community"],
            list(self._communities),
            column["seconds"],
            column["ratio"],
            texts[0],
            texts[1],
            total,
            np.array(list(self._threads), np.uint64),
        )


def _key(question: str, answer: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{len(question)} {question}{answer}".encode())
