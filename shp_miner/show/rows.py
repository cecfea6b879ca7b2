"""Some rows of an export: a stable sample, those of the highest confidence, or those of one thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import xxhash
from msgspec import Struct

from shp_miner.errors import UsageError
from shp_miner.export.compact import row_files
from shp_miner.export.formats import FORMATS
from shp_miner.export.joining import joined_file
from shp_miner.export.opening import known_formats_in, read_manifest, require_files
from shp_miner.export.reading import open_parquet
from shp_miner.export.sides import SIDES
from shp_miner.platforms.communities import known_communities
from shp_miner.show.parts import Shown, shown


class Export(Struct, frozen=True):
    """An export of one format: its folder, the format's name, and the files with the rows that are meant.

    In the compact layout, `tables` are all files of the manifest.
    """

    folder: Path
    form: str
    files: list[dict[str, Any]]
    tables: list[dict[str, Any]] = []

    @property
    def rows(self) -> int:
        """Return the number of rows in the files."""
        return sum(file["rows"] for file in self.files)


class Place(Struct, frozen=True):
    """A row's file (its number among the export's files) and its number there."""

    file: int
    row: int


def export_at(out: Path, form: str | None = None, communities: Sequence[str] = ()) -> Export:
    """Return the export in a folder; of several formats the named one, or the first.

    Raises BadInput if there is no export or a file is missing, and UsageError for an unknown format.
    """
    formats = known_formats_in(out)
    if form is not None and form not in formats:
        raise UsageError(f"{out} has no format {form!r}.", f"It has: {', '.join(formats)}.")
    name = form or next((name for name in FORMATS if name in formats), next(iter(formats)))
    if name not in FORMATS:
        newer = "Install the newest shp-miner."
        raise UsageError(f"{out} has the format {name!r}, which this version cannot read.", newer)
    files = everything = read_manifest(formats[name])["files"]
    if communities:
        found = known_communities(communities, {file["community"] for file in files}, f"{out} has")
        files = [file for file in files if file["community"] in found]
    require_files(formats[name], files)
    rows = row_files(files)
    texts = everything if len(rows) < len(files) else []
    return Export(formats[name], name, sorted(rows, key=lambda file: str(file["path"])), texts)


def sampled(export: Export, count: int) -> list[Shown]:
    """Return `count` rows that a hash chooses, in turn of each community and split. Only their row groups are read."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, file in enumerate(export.files):
        groups[file["community"], file["split"]].append(number)
    turns = sorted(groups, key=lambda group: _number("group", *group))
    sizes = {group: sum(export.files[number]["rows"] for number in groups[group]) for group in turns}
    taken: dict[tuple[str, str], set[int]] = {group: set() for group in turns}
    chosen: list[Place] = []
    wanted = min(count, export.rows)
    while len(chosen) < wanted:
        for group in turns:
            if len(taken[group]) < sizes[group] and len(chosen) < wanted:
                row = _number("row", *group, str(len(taken[group]))) % sizes[group]
                while row in taken[group]:
                    row = (row + 1) % sizes[group]
                taken[group].add(row)
                chosen.append(_place_of(export, groups[group], row))
    return read_rows(export, chosen)


def _place_of(export: Export, files: Sequence[int], row: int) -> Place:
    """The place of a row that is counted through several files."""
    for number in files:
        if row < export.files[number]["rows"]:
            break
        row -= export.files[number]["rows"]
    return Place(number, row)


def surest(export: Export, count: int) -> list[Shown]:
    """Return the `count` rows of the highest confidence. Row groups that cannot have one of them are not read."""
    if "confidence" not in FORMATS[export.form].schema.names:
        raise UsageError(
            f"The format {export.form} has no confidence.",
            "Sort an export of the format pairs or trl, or leave out --sort.",
        )
    best: list[tuple[float, int, int]] = []  # (-confidence, file, row)
    for most, number, group, start in sorted(_row_groups(export), key=lambda known: (-known[0], *known[1:])):
        if len(best) == count and -best[-1][0] > most:
            break
        column = _table(export, number, group, ["confidence"])["confidence"].to_pylist()
        found = [(-value, number, start + row) for row, value in enumerate(column) if value is not None]
        best = sorted([*best, *found])[:count]
    return read_rows(export, [Place(number, row) for _, number, row in best])


def of_thread(export: Export, post_id: str) -> list[Shown]:
    """Return the rows of a thread by its post's id. Raises UsageError if the format has no ids, or none is this."""
    sides = SIDES[export.form]
    if not sides.by_ids:
        with_ids = [name for name, other in SIDES.items() if other.by_ids]
        raise UsageError(
            f"Rows of the format {export.form} do not name their thread.",
            f"Show an export of one of these formats, or the thread in its store: {', '.join(with_ids)}.",
        )
    found = []
    for number in range(len(export.files)):
        rows = pl.DataFrame(_table(export, number, None, sides.columns("thread")))
        threads = rows.select(sides.thread.str.split("/").list.last()).to_series()
        found += [Place(number, row) for row, value in enumerate(threads) if value == post_id]
    if not found:
        raise UsageError(
            f"{export.folder} has no row of the thread {post_id!r}.",
            "Name the store instead of the export, to see why the thread has no pairs.",
        )
    return read_rows(export, found)


def _row_groups(export: Export) -> Iterator[tuple[float, int, int, int]]:
    """(the highest confidence that it can have, file, row group, its first row) of every row group."""
    for number, file in enumerate(export.files):
        with open_parquet(export.folder / file["path"]) as parquet:
            metadata = parquet.metadata
        names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
        place, start = names.index("confidence"), 0
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(place).statistics
            most: Any = statistics.max if statistics is not None and statistics.has_min_max else 1.0
            yield float(most), number, group, start
            start += metadata.row_group(group).num_rows


def read_rows(export: Export, places: Sequence[Place]) -> list[Shown]:
    """Return the rows at some places, in their order. Each row group is read once."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for place in places:
        wanted[place.file].append(place.row)
    rows: dict[Place, Shown] = {}
    for number, numbers in wanted.items():
        file = export.files[number]
        with open_parquet(export.folder / file["path"]) as parquet:
            metadata = parquet.metadata
        start = 0
        for group in range(metadata.num_row_groups):
            stop = start + metadata.row_group(group).num_rows
            inside = [row for row in numbers if start <= row < stop]
            if inside:
                table = _table(export, number, group, None).take(pa.array([row - start for row in inside]))
                for row, values in zip(inside, table.to_pylist(), strict=True):
                    rows[Place(number, row)] = shown(export.form, values, file["community"], file["split"])
            start = stop
    return [rows[place] for place in places if place in rows]


def column_table(export: Export, number: int, columns: list[str]) -> pa.Table:
    """Return columns of all rows of one of the export's files, by its number."""
    return _table(export, number, None, columns)


def _table(export: Export, number: int, group: int | None, columns: list[str] | None) -> pa.Table:
    if export.tables:
        names = columns or FORMATS[export.form].schema.names
        return joined_file(export.folder, export.form, export.tables, export.files[number], group, names)
    path = export.folder / export.files[number]["path"]
    with open_parquet(path) as file:
        return file.read(columns) if group is None else file.read_row_group(group, columns)


def _number(*parts: str) -> int:
    return xxhash.xxh3_64_intdigest("\0".join(parts).encode())
