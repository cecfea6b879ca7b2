"""Joins the tables of the compact layout to the rows of the joined one, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from shp_miner.export.compact import ANSWER_ROWS, ANSWERS, COMPACT, PAIRS, POST_ROW, POSTS, part_name

if TYPE_CHECKING:
    import polars as pl

File = Mapping[str, Any]


class Group(Struct, frozen=True):
    """One community and split of an export in the compact layout: its format, and its files by table."""

    folder: Path
    form: str
    files: dict[str, list[File]]

    def paths(self, part: str) -> list[str]:
        """Return the paths of one table's files, in order."""
        return [str(self.folder / file["path"]) for file in self.files[part]]


def groups_of(folder: Path, form: str, files: Sequence[File]) -> list[Group]:
    """Return the groups of a manifest's files, in their order."""
    found: dict[tuple[str, str], dict[str, list[File]]] = {}
    for file in files:
        parts = found.setdefault((file["community"], file["split"]), {PAIRS: [], POSTS: [], ANSWERS: []})
        parts[part_name(file)].append(file)
    return [Group(folder, form, parts) for parts in found.values()]


class Texts:
    """The posts and the answers of a group, of which only the needed columns are read."""

    def __init__(self, group: Group, columns: Sequence[str]) -> None:
        """Read the columns of posts and answers that the format's `columns` need."""
        of = COMPACT[group.form]
        self._columns = columns
        self._posts = self._read(group, POSTS, [name for name in columns if name in of.posts])
        self._sides = [{both[side]: name for name, both in of.answers.items()} for side in (0, 1)]
        needed = [name for name, both in of.answers.items() if set(both) & set(columns)]
        self._answers = self._read(group, ANSWERS, needed)

    def _read(self, group: Group, part: str, columns: list[str]) -> pa.Table | None:
        if not columns:
            return None
        return pa.concat_tables([pq.read_table(path, columns=columns, partitioning=None) for path in group.paths(part)])

    def joined(self, pairs: pa.Table) -> pa.Table:
        """Return the rows of some pairs with their texts, in the columns that were asked for."""
        taken: dict[str, Any] = {}
        if self._posts is not None:
            posts = self._posts.take(pairs[POST_ROW])
            taken = {name: posts[name] for name in posts.column_names}
        for side, number in zip(self._sides, ANSWER_ROWS, strict=True):
            own = [column for column in self._columns if column in side]
            if self._answers is not None and own:
                answers = self._answers.select([side[column] for column in own]).take(pairs[number])
                taken |= {column: answers[side[column]] for column in own}
        columns: dict[str, Any] = {name: taken[name] if name in taken else pairs[name] for name in self._columns}
        return pa.table(columns)


def pair_columns(form: str, columns: Sequence[str]) -> list[str]:
    """Return the columns of `pairs/` that are needed for some columns of the format."""
    of = COMPACT[form]
    needed = [POST_ROW] if set(of.posts) & set(columns) else []
    for side, number in enumerate(ANSWER_ROWS):
        needed += [number] if {both[side] for both in of.answers.values()} & set(columns) else []
    elsewhere = {*of.posts, *(name for both in of.answers.values() for name in both)}
    return [*needed, *(name for name in columns if name not in elsewhere)]


def joined_file(
    folder: Path, form: str, files: Sequence[File], pairs: File, group: int | None, columns: Sequence[str]
) -> pa.Table:
    """Return the rows of a file of `pairs/`, or of one of its row groups, with their texts."""
    of = next(own for own in groups_of(folder, form, files) if pairs["path"] in [f["path"] for f in own.files[PAIRS]])
    needed = pair_columns(form, columns)
    with pq.ParquetFile(folder / pairs["path"]) as file:
        rows = file.read(needed) if group is None else file.read_row_group(group, needed)
    return Texts(of, columns).joined(rows)


def lazily_joined(group: Group, pairs: pl.LazyFrame) -> pl.LazyFrame:
    """Return the pairs of a group with the columns of their posts and answers, in the order of the pairs."""
    import polars as pl  # noqa: PLC0415

    def read(part: str, number: str) -> pl.LazyFrame:
        frame = pl.scan_parquet(group.paths(part), glob=False, hive_partitioning=False)
        return frame.with_row_index(number).with_columns(pl.col(number).cast(pl.Int64))

    of = COMPACT[group.form]
    frame = pairs.join(read(POSTS, POST_ROW), on=POST_ROW, how="left", maintain_order="left")
    for side, number in enumerate(ANSWER_ROWS):
        renamed = read(ANSWERS, number).rename({name: both[side] for name, both in of.answers.items()})
        frame = frame.join(renamed, on=number, how="left", maintain_order="left")
    return frame


def joined_batches(group: Group, pairs: Iterator[pa.RecordBatch], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches of pairs with their texts. The texts of the group are read at the first batch, each once."""
    texts: Texts | None = None
    for batch in pairs:
        texts = texts or Texts(group, columns)
        yield from texts.joined(pa.Table.from_batches([batch])).combine_chunks().to_batches()
