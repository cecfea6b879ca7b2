"""Rows of an export that are read when they are needed, and only from the files and row groups that have them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
from msgspec import Struct
from pyarrow.fs import LocalFileSystem

from shp_miner import shown
from shp_miner.arguments import Names, number, one_of, several
from shp_miner.errors import TryLater, UsageError, nearest_name
from shp_miner.export.compact import PAIRS, part_of, row_files
from shp_miner.export.formats import FORMATS
from shp_miner.export.joining import Group, groups_of, joined_batches, lazily_joined, pair_columns, scan_files
from shp_miner.export.opening import export_of_format, files_of, read_manifest, require_files
from shp_miner.export.reading import open_parquet, readable
from shp_miner.export.spooled import spooled_table
from shp_miner.model import TIERS
from shp_miner.paths import expanded, is_remote
from shp_miner.rules.hashing import SPLITS

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from datasets import Dataset

    from shp_miner.export.torched import Rows

#: Rows that are unpacked at a time.
_BATCH = 1_000


def scan(
    path: str | os.PathLike[str],
    community: Names | None = None,
    *,
    split: str | None = None,
    tier: str | None = None,
    min_confidence: float | None = None,
    columns: Names | None = None,
    format: str | None = None,  # noqa: A002
) -> Scan:
    """Return the rows of an export to be read later: those of some communities and a split, or of all.

    `tier` ("strict" or "extended") and `min_confidence` (0 to 1) keep rows of formats that have these columns.
    `columns` are one or several. `format` chooses one of several formats. Only manifest and schema are read here.
    Raises BadInput if `path` is not an export or a file is missing, and UsageError for an unknown community, split,
    tier, column or format.
    """
    folder = export_of_format(expanded(path), format)
    files = files_of(folder, community, split)
    require_files(folder, files)
    rows = row_files(files)
    groups = groups_of(folder, read_manifest(folder)["format"], files) if len(rows) < len(files) else []
    schema = FORMATS[groups[0].form].schema if groups else _schema(folder / rows[0]["path"])
    tier = None if tier is None else one_of(tier, TIERS, "tier")
    _check_filters(schema, folder, tier, min_confidence)
    chosen = several(columns, "columns")
    for name in chosen:
        if name not in schema.names:
            raise UsageError(f"{folder} has no column {name!r}.", nearest_name(name, schema.names))
    return Scan(folder, rows, schema, chosen or tuple(schema.names), tier, min_confidence, groups)


class Scan(Struct, frozen=True):
    """Rows of an export, not read yet. `files` are those of the manifest that have the rows; `columns` are to be read.

    groups: the tables of the compact layout, which are joined while they are read; empty for the joined layout.

    Each `to_...` reads them once more. `lazy()` and `batches()` read piece by piece, for exports larger than memory.
    """

    folder: Path
    files: list[dict[str, Any]]
    schema: pa.Schema
    columns: tuple[str, ...]
    tier: str | None = None
    min_confidence: float | None = None
    groups: list[Group] = []

    def __len__(self) -> int:
        """Return the number of rows. Filters are counted by their own columns; without one, no file is read."""
        if self.condition is None:
            return sum(int(file["rows"]) for file in self.files)
        return self._dataset(self.paths).count_rows(filter=self.condition, use_threads=False)

    def __repr__(self) -> str:
        """Return what is meant: the export, rows in its files, and the filters."""
        splits = [split for split in SPLITS if any(file["split"] == split for file in self.files)]
        communities = len({file["community"] for file in self.files})
        parts = [f"{sum(file['rows'] for file in self.files):,} rows in {len(self.files):,} files"]
        parts += [f"{communities:,} communities" if communities != 1 else self.files[0]["community"], "+".join(splits)]
        parts += [f"tier {self.tier}"] if self.tier else []
        parts += [f"confidence from {self.min_confidence:g}"] if self.min_confidence is not None else []
        if len(self.columns) < len(self.schema):
            parts.append(f"columns {', '.join(self.columns)}")
        return f"Scan({str(self.folder)!r}: {'; '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = [(file["community"], file["split"], file["rows"]) for file in self.files[:100]]
        return shown.table(repr(self), ("community", "split", "rows"), rows)

    @property
    def paths(self) -> list[str]:
        """Return the paths of the files."""
        return [str(self.folder / file["path"]) for file in self.files]

    @property
    def condition(self) -> pads.Expression | None:
        """Return the filter on rows, None without one."""
        parts = []
        if self.tier is not None:
            parts.append(pads.field("tier") == self.tier)
        if self.min_confidence is not None:
            parts.append(pads.field("confidence") >= self.min_confidence)
        return parts[0] & parts[1] if len(parts) == 2 else (parts[0] if parts else None)

    def batches(self, rows: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the rows as Arrow batches of at most `rows` rows, in the order of the files."""
        return self.share(0, 1, rows)

    def share(self, number: int, of: int, rows: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the batches of one of several readers (from 0), each of which reads its own row groups.

        In the compact layout, each reads its own communities and splits, so that texts are read once.
        """
        for group in self.groups[number::of]:
            names = pair_columns(group.form, self.columns)
            fragments = self._row_groups(group.paths(PAIRS))
            yield from joined_batches(group, self._batches(fragments, names, rows), self.columns)
        if not self.groups:
            yield from self._batches(self._row_groups(self.paths)[number::of], self.columns, rows)

    def _dataset(self, paths: Sequence[str]) -> pads.Dataset:
        """Return files as Arrow's data set, without the filters. No file is opened."""
        schema = part_of(FORMATS[self.groups[0].form], PAIRS).schema if self.groups else self.schema
        form = pads.ParquetFileFormat()
        if is_remote(self.folder):
            return pads.FileSystemDataset([form.make_fragment(file) for file in self._opened(paths)], schema, form)
        return pads.FileSystemDataset.from_paths(list(paths), schema=schema, format=form, filesystem=LocalFileSystem())

    def _opened(self, paths: Sequence[str]) -> Iterator[IO[bytes]]:
        """Open files in an object store. Raises TryLater for one that is not the manifest's any more."""
        joined = [file for group in self.groups for part in group.files.values() for file in part]
        known = {str(self.folder / file["path"]): file.get("bytes") for file in (*self.files, *joined)}
        for path in paths:
            file = expanded(path)
            try:
                is_same = file.stat().st_size == known[path]
            except FileNotFoundError:
                is_same = False
            if not is_same:
                raise TryLater(
                    f"{self.folder} was replaced while it was read: {path} is another file.", "Read it again."
                )
            yield file.open("rb")

    def _row_groups(self, paths: Sequence[str]) -> list[pads.Fragment]:
        """Return the row groups that can have rows, in order. Only footers are read."""
        groups: list[pads.Fragment] = []
        for fragment in self._dataset(paths).get_fragments(filter=self.condition):
            with readable(_path(fragment)):
                groups += fragment.split_by_row_group(self.condition)
        return groups

    def _batches(
        self, fragments: Sequence[pads.Fragment], columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        for fragment in fragments:
            batches = fragment.to_batches(
                columns=list(columns), filter=self.condition, batch_size=rows, batch_readahead=0, use_threads=False
            )
            with readable(_path(fragment)):
                yield from (batch for batch in batches if batch.num_rows)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table; a large one lies in a temporary file without a name, not in memory."""
        return spooled_table(self.batches(), pa.schema([self.schema.field(name) for name in self.columns]))

    def to_datasets(self) -> Dataset:
        """Return the rows as a `datasets.Dataset` over `to_arrow`. It writes nothing to the cache of `datasets`."""
        from datasets import Dataset  # noqa: PLC0415

        return Dataset(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas frame in memory."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a polars frame in memory."""
        return self.lazy().collect()

    def lazy(self) -> pl.LazyFrame:
        """Return the rows as a polars LazyFrame: its own filters and columns reach the files, too."""
        import polars as pl  # noqa: PLC0415

        def read(paths: Sequence[str]) -> pl.LazyFrame:
            frame = scan_files(paths)
            if self.tier is not None:
                frame = frame.filter(pl.col("tier") == self.tier)
            if self.min_confidence is not None:
                frame = frame.filter(pl.col("confidence") >= self.min_confidence)
            return frame

        joined = [lazily_joined(group, read(group.paths(PAIRS))).select(self.columns) for group in self.groups]
        return pl.concat(joined) if joined else read(self.paths).select(self.columns)

    def to_torch(self) -> Rows:
        """Return the rows as a `torch.utils.data.IterableDataset` of dicts; several workers share the row groups.

        Raises UsageError without torch, which the extra `train` brings.
        """
        try:
            from shp_miner.export.torched import Rows  # noqa: PLC0415
        except ImportError as error:
            install = "Install the extra: pip install 'shp-miner[train]'."
            raise UsageError("to_torch() needs torch.", install) from error
        return Rows(self)


def _path(fragment: pads.Fragment) -> str:
    return str(getattr(fragment, "path", "A file"))


def _schema(path: Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _check_filters(schema: pa.Schema, folder: Path, tier: str | None, min_confidence: float | None) -> None:
    """Raise UsageError for a filter on a column that is not there, or with a value that no row can have."""
    given = {"tier": tier, "confidence": min_confidence}
    for name, value in given.items():
        if value is not None and name not in schema.names:
            raise UsageError(f"{folder} has no column {name}.", "Choose a format with it: pairs or trl.")
    if min_confidence is not None and not 0 <= number(min_confidence, "min_confidence") <= 1:
        raise UsageError(f"min_confidence is {min_confidence}, not a probability.", "Give a number from 0 to 1.")
