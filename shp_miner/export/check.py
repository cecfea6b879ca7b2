"""What every export is held against before it appears. A failure here is a bug of ours, so nothing is published."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.errors import Error
from shp_miner.export.formats import RESERVED_COLUMNS, SEPARATOR, Format
from shp_miner.export.shards import Shard
from shp_miner.mine import SAME_TEXT, Selection, Threads
from shp_miner.rules.hashing import SPLITS, splits
from shp_miner.tally import Tally

# The sides are fair coins: beyond this many standard deviations from one half, one in 500 million exports.
_BALANCE_SIGMAS = 6.0


class CheckFailedError(Error):
    """An export did not pass its own checks; it was not published."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "Nothing was written. Please report this with the command you ran.")


class Checker:
    """Collects what must hold over a whole format: label balance, and each thread in its one split."""

    def __init__(self, form: Format, selection: Selection) -> None:
        self.form = form
        self.selection = selection
        self._first = self._rows = self._same = 0
        reserved = RESERVED_COLUMNS & set(form.schema.names)
        if reserved:
            raise CheckFailedError(f"Format {form.name} uses the reserved columns {sorted(reserved)}.")

    def threads(self, threads: Threads, split: str) -> None:
        """Each thread must lie in the split that its hash says; then no two splits can share one."""
        number = splits(threads.posts["thread_hash"].to_numpy(), self.selection.validation, self.selection.test)
        if any(SPLITS[i] != split for i in number):
            raise CheckFailedError(f"A thread of split {split} belongs to another split.")

    def table(self, table: pa.Table) -> None:
        """Schema, empty texts and equal answers of some rows."""
        form = self.form
        if table.schema != form.schema:
            raise CheckFailedError(f"Rows of format {form.name} do not have its schema.")
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        for column in form.texts:
            text = _text(frame[column])
            if text.null_count() or text.str.strip_chars().is_in(["", SEPARATOR.strip()]).any():
                raise CheckFailedError(f"Format {form.name} has an empty {column}.")
        if form.answers:
            one, two = form.answers
            self._same += int((_text(frame[one]) == _text(frame[two])).sum())
        if form.balance:
            column, first = form.balance
            self._rows += frame.height
            self._first += int((frame[column] == first).sum())

    def finish(self, folder: Path, shards: Iterable[Shard], tally: Tally) -> None:
        """Equal answers and label balance over all rows, and every file as it lies on the disk."""
        # Flattening for SHP's one-line texts can make two answers equal that were not, so there it is a lower bound.
        expected = tally.notes["pair", SAME_TEXT] if self.form.same_text else 0
        if self._same > expected and self.form.name != "shp":
            raise CheckFailedError(f"Format {self.form.name} has {self._same} rows whose two answers are equal.")
        if self._rows:
            off = abs(self._first / self._rows - 0.5)
            if off > _BALANCE_SIGMAS * math.sqrt(0.25 / self._rows):
                raise CheckFailedError(
                    f"The first side wins {self._first} of {self._rows} rows: the sides are not fair."
                )
        for shard in shards:
            metadata = pq.read_metadata(folder / shard.path)
            if metadata.num_rows != shard.rows or not shard.rows:
                raise CheckFailedError(f"{shard.path} holds {metadata.num_rows} rows instead of {shard.rows}.")
            if pq.read_schema(folder / shard.path) != self.form.schema:
                raise CheckFailedError(f"{shard.path} does not have the schema of format {self.form.name}.")


def _text(column: pl.Series) -> pl.Series:
    """The text of a column, also where it stands in the only message of a conversation."""
    if isinstance(column.dtype, pl.List):
        return column.list.first().struct.field("content")
    return column
