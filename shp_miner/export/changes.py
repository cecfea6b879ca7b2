"""What is different in an export that replaces another: rows that came, changed and went, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.errors import BadInput
from shp_miner.export.compact import PAIRS, part_name, row_files
from shp_miner.export.formats import Format
from shp_miner.export.joining import file_tables
from shp_miner.export.margins import form_of_manifest, has_margin
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import formats_in
from shp_miner.export.sides import SIDES

#: What may change in a row, by the beginnings of its columns' names; the texts of a format are a kind of their own.
_KINDS = {
    "votes": (
        "score", "post_score", "preferred", "labels", "upvote_ratio", "target", "weight",
        "reads", "upvotes", "downvotes", "views",
    ),
    "confidence": ("confidence", "tier", "attention"),
}  # fmt: skip


#: Rows that are in memory at a time.
_ROWS = 5_000


class Changes(Struct):
    """Rows that differ between two exports of one format, by what happened.

    added: rows of threads that had none, and of threads that had some. removed: rows of threads that have none any
    more, and of threads that still have some. changed: rows whose texts changed; of the others, those whose votes did;
    of the others, those whose confidence did; and the rest.
    """

    new_thread: int = 0
    new_pair: int = 0
    thread_gone: int = 0
    pair_gone: int = 0
    texts: int = 0
    votes: int = 0
    confidence: int = 0
    other: int = 0
    unchanged: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {
            "added": {"new_thread": self.new_thread, "known_thread": self.new_pair},
            "changed": {name: getattr(self, name) for name in ("texts", "votes", "confidence", "other")},
            "removed": {"thread_gone": self.thread_gone, "known_thread": self.pair_gone},
            "unchanged": self.unchanged,
        }

    def sentences(self) -> list[tuple[str, str, int]]:
        """Return (what, why, rows) of each kind that occurs."""
        told = [
            ("added", "of threads that had no row", self.new_thread),
            ("added", "of threads that had some", self.new_pair),
            ("changed", "a text was edited", self.texts),
            ("changed", "votes were read again", self.votes),
            ("changed", "the fit or the rule's parameters", self.confidence),
            ("changed", "other columns", self.other),
            ("removed", "their thread has no row any more", self.thread_gone),
            ("removed", "their thread still has some", self.pair_gone),
            ("unchanged", "", self.unchanged),
        ]
        return [line for line in told if line[2]]


def changes_of_formats(out: Path, folder: Path) -> dict[str, Changes]:
    """Return what changed in each format that the export in `out` has, too."""
    earlier = formats_in(out)
    found = {
        name: changes_between(earlier[name], place) for name, place in formats_in(folder).items() if name in earlier
    }
    return {name: changes for name, changes in found.items() if changes is not None}


def changes_between(earlier: Path, new: Path) -> Changes | None:
    """Return what changed between two exports of the same format; None if they are not, or cannot be read.

    Files of equal bytes are not read. Takes 56 bytes of memory for each row of the others.
    """
    try:
        manifests = [read_manifest(folder) for folder in (earlier, new)]
        form = form_of_manifest(manifests[1])
        if (manifests[0].get("format"), has_margin(manifests[0])) != (form.name, form.margin):
            return None
        files = [_by_content(told["files"]) for told in manifests]
        same = files[0].keys() & files[1].keys()
        old_rows, new_rows = (
            _hashed(form, _tables(folder, form, told["files"], [of[digest] for digest in of.keys() - same]))
            for folder, told, of in zip((earlier, new), manifests, files, strict=True)
        )
    except (BadInput, KeyError, TypeError, OSError, pa.ArrowException, pl.exceptions.PolarsError):
        return None
    changes = _compared(old_rows, new_rows)
    changes.unchanged += sum(files[1][digest]["rows"] for digest in same)
    return changes


def _compared(old: pl.DataFrame, new: pl.DataFrame) -> Changes:
    added, removed = new.join(old, on="key", how="anti"), old.join(new, on="key", how="anti")
    in_both = new.join(old, on="key", suffix="_old")
    differs = {name: in_both[name] != in_both[f"{name}_old"] for name in ("texts", *_KINDS, "other")}
    changes, seen = Changes(), pl.repeat(value=False, n=in_both.height, dtype=pl.Boolean, eager=True)
    for name, different in differs.items():
        setattr(changes, name, int((different & ~seen).sum()))
        seen = seen | different
    changes.unchanged = int((~seen).sum())
    changes.new_thread = added.join(old, on="thread", how="anti").height
    changes.new_pair = added.height - changes.new_thread
    changes.thread_gone = removed.join(new, on="thread", how="anti").height
    changes.pair_gone = removed.height - changes.thread_gone
    return changes


def _by_content(files: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the files that have the rows, by their hashes and those of the files that have their texts."""
    texts: dict[tuple[str, str], tuple[str, ...]] = {}
    for file in files:
        if part_name(file) != PAIRS:
            group = file["community"], file["split"]
            texts[group] = (*texts.get(group, ()), file["sha256"])
    return {(file["sha256"], *texts.get((file["community"], file["split"]), ())): file for file in row_files(files)}


def _hashed(form: Format, tables: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Return hashes (UInt64) of each row's `key` and `thread`, and of each kind of columns."""
    key = list(SIDES[form.name].key or form.schema.names)
    kinds: dict[str, list[str]] = {"texts": list(form.texts)}
    for kind, beginnings in _KINDS.items():
        kinds[kind] = [name for name in form.schema.names if name.startswith(beginnings)]
    told = {name for columns in kinds.values() for name in columns}
    kinds["other"] = [name for name in form.schema.names if name not in told]
    frames = [pl.DataFrame(schema=dict.fromkeys(("key", "thread", *kinds), pl.UInt64))]
    for rows in tables:
        flat = rows.with_columns(_as_text(rows.schema))
        thread = rows.select(SIDES[form.name].thread).to_series()
        frames.append(
            pl.DataFrame(
                {
                    "key": flat.select(key).hash_rows(),
                    "thread": thread.hash(),
                    **{kind: _hash_of(flat, columns) for kind, columns in kinds.items()},
                }
            )
        )
    # Formats without ids may have equal rows: the first, the second and so on of them are told apart.
    return pl.concat(frames).with_columns(pl.struct("key", pl.int_range(pl.len()).over("key")).hash().alias("key"))


def _hash_of(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    """Return a hash of some columns of each row; the same for all rows where there is no column."""
    return rows.select(columns).hash_rows() if columns else pl.zeros(rows.height, pl.UInt64, eager=True)


def _tables(
    folder: Path, form: Format, files: list[dict[str, Any]], chosen: list[dict[str, Any]]
) -> Iterator[pl.DataFrame]:
    for file in chosen:
        for table in file_tables(folder, form.name, files, file, form.schema.names, _ROWS):
            yield pl.DataFrame(table)


def _as_text(schema: pl.Schema) -> list[pl.Expr]:
    """Return lists of messages and answers as texts, which have a hash."""
    return [
        pl.col(name).list.eval(pl.element().struct.json_encode()).list.join("\n")
        for name, kind in schema.items()
        if isinstance(kind, pl.List)
    ]
