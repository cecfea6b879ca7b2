"""Joins the tables of the compact layout to the rows of the joined one, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from msgspec import Struct

from shp_miner.errors import BadInput
from shp_miner.export.compact import ANSWER_ROWS, ANSWERS, COMPACT, PAIRS, PARTS, POST_ROW, POSTS, part_name
from shp_miner.export.reading import open_parquet
from shp_miner.places.path import scan_options

if TYPE_CHECKING:
    import numpy.typing as npt
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
    """Return the groups of a manifest's files, in their order. Raises BadInput for a table that the format has not."""
    found: dict[tuple[str, str], dict[str, list[File]]] = {}
    for file in files:
        if form not in COMPACT or part_name(file) not in PARTS:
            raise BadInput(f"The manifest of {folder} names a table {part_name(file)!r} of {form}.", "Export again.")
        parts = found.setdefault((file["community"], file["split"]), {PAIRS: [], POSTS: [], ANSWERS: []})
        parts[part_name(file)].append(file)
    return [Group(folder, form, parts) for parts in found.values()]


def group_of(folder: Path, form: str, files: Sequence[File], file: File) -> Group:
    """Return the group of a manifest's files that one of its files is of."""
    same = [other for other in files if all(other[name] == file[name] for name in ("community", "split"))]
    return groups_of(folder, form, same)[0]


class _Numbered:
    """A table whose rows are named by their numbers. It holds the row groups that were needed last, and no others.

    A thread's texts lie together in the order of its pairs, so pairs that follow each other need few row groups.
    """

    def __init__(self, group: Group, part: str, columns: list[str]) -> None:
        self._folder, self._part, self._files, self._columns = group.folder, part, group.files[part], columns
        self._starts = np.cumsum([0, *(int(file["rows"]) for file in self._files)])
        self._groups: dict[int, npt.NDArray[np.int64]] = {}
        self._held: dict[tuple[int, int], pa.Table] = {}

    def take(self, numbers: pa.ChunkedArray[Any]) -> pa.Table:
        """Return the rows with these numbers. Raises BadInput for a number that no row has."""
        wanted = numbers.to_numpy()
        if numbers.null_count or not ((wanted >= 0) & (wanted < self._starts[-1])).all():
            raise BadInput(f"{self._folder} has pairs of {self._part} that are not there.", "Export again.")
        needed: dict[tuple[int, int], int] = {}
        for file in np.unique(np.searchsorted(self._starts, wanted, side="right") - 1).tolist():
            starts = self._group_starts(file)
            inside = wanted[(wanted >= starts[0]) & (wanted < starts[-1])]
            for group in np.unique(np.searchsorted(starts, inside, side="right") - 1).tolist():
                needed[file, group] = int(starts[group])
        self._held = {key: self._held[key] if key in self._held else self._read(*key) for key in needed}
        starts = np.array(list(needed.values()), np.int64)
        before = np.cumsum([0, *(table.num_rows for table in self._held.values())])
        group_of = np.searchsorted(starts, wanted, side="right") - 1
        return pa.concat_tables(self._held.values()).take(pa.array(wanted - starts[group_of] + before[group_of]))

    def _group_starts(self, file: int) -> npt.NDArray[np.int64]:
        """Return the number of the first row of each row group of a file, and that of the row after the last."""
        if file not in self._groups:
            path = self._folder / self._files[file]["path"]
            with open_parquet(path) as parquet:
                metadata = parquet.metadata
                rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            if sum(rows) != int(self._files[file]["rows"]):
                raise BadInput(f"{path} has other rows than its manifest says.", "Export again.")
            self._groups[file] = self._starts[file] + np.cumsum([0, *rows])
        return self._groups[file]

    def _read(self, file: int, group: int) -> pa.Table:
        with open_parquet(self._folder / self._files[file]["path"]) as parquet:
            return parquet.read_row_group(group, self._columns)


class Texts:
    """The posts and the answers of a group, of which only the needed columns and row groups are read."""

    def __init__(self, group: Group, columns: Sequence[str]) -> None:
        """Prepare to read the columns of posts and answers that the format's `columns` need."""
        of = COMPACT[group.form]
        self._columns = columns
        self._posts = self._read(group, POSTS, [name for name in columns if name in of.posts])
        self._sides = [{both[side]: name for name, both in of.answers.items()} for side in (0, 1)]
        needed = [name for name, both in of.answers.items() if set(both) & set(columns)]
        self._answers = self._read(group, ANSWERS, needed)

    @staticmethod
    def _read(group: Group, part: str, columns: list[str]) -> _Numbered | None:
        return _Numbered(group, part, columns) if columns else None

    def joined(self, pairs: pa.Table) -> pa.Table:
        """Return the rows of some pairs with their texts, in the columns that were asked for."""
        taken: dict[str, Any] = {}
        if self._posts is not None:
            posts = self._posts.take(pairs[POST_ROW])
            taken = {name: posts[name] for name in posts.column_names}
        for side, number in zip(self._sides, ANSWER_ROWS, strict=True):
            own = [column for column in self._columns if column in side]
            if self._answers is not None and own:
                answers = self._answers.take(pairs[number])
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
    needed = pair_columns(form, columns)
    with open_parquet(folder / pairs["path"]) as file:
        rows = file.read(needed) if group is None else file.read_row_group(group, needed)
    return Texts(group_of(folder, form, files, pairs), columns).joined(rows)


def file_tables(
    folder: Path, form: str, files: Sequence[File], file: File, columns: Sequence[str], most: int
) -> Iterator[pa.Table]:
    """Yield the rows of one of an export's files, at most `most` at a time: in both layouts the same columns.

    `files` are those of the manifest; `file` is one of `row_files`.
    """
    texts = Texts(group_of(folder, form, files, file), columns) if "part" in file else None
    names = list(columns) if texts is None else pair_columns(form, columns)
    with open_parquet(folder / file["path"]) as parquet:
        for batch in parquet.iter_batches(most, columns=names):
            rows = pa.Table.from_batches([batch])
            yield rows if texts is None else texts.joined(rows)


def scan_files(paths: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of Parquet files, of a disk or of an object store, to be read by polars itself."""
    import polars as pl  # noqa: PLC0415

    options = scan_options(paths[0])
    if options is None:
        return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)
    return pl.scan_parquet(
        list(paths), glob=False, hive_partitioning=False, storage_options=options, credential_provider=None
    )


def lazily_joined(group: Group, pairs: pl.LazyFrame) -> pl.LazyFrame:
    """Return the pairs of a group with the columns of their posts and answers, in the order of the pairs."""
    import polars as pl  # noqa: PLC0415

    def read(part: str, number: str) -> pl.LazyFrame:
        return scan_files(group.paths(part)).with_row_index(number).with_columns(pl.col(number).cast(pl.Int64))

    of = COMPACT[group.form]
    frame = pairs.join(read(POSTS, POST_ROW), on=POST_ROW, how="left", maintain_order="left")
    for side, number in enumerate(ANSWER_ROWS):
        renamed = read(ANSWERS, number).rename({name: both[side] for name, both in of.answers.items()})
        frame = frame.join(renamed, on=number, how="left", maintain_order="left")
    return frame


def joined_batches(group: Group, pairs: Iterator[pa.RecordBatch], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches of pairs with their texts."""
    texts = Texts(group, columns)
    for batch in pairs:
        yield from texts.joined(pa.Table.from_batches([batch])).combine_chunks().to_batches()
