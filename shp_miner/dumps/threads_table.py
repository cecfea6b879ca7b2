"""The threads of a batch of Parquet rows at once: its columns become rows without Python objects for the values.

Columns of a type that the layout does not have, or that only some programs write, take the careful way of
dumps.threads, row by row. Both give the same rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from shp_miner.dumps.threads_at_once import AtOnce, of_values
from shp_miner.dumps.threads_layout import GONE_AUTHORS
from shp_miner.dumps.threads_values import UnusualError, never, none_of, seconds_as_us, whole_numbers, words_us

#: A time of more milliseconds than this has no date.
_MS_MAX = 1 << 53


#: The columns of threads, those of their answers, and how many answers each thread has.
Parts = tuple[dict[str, Any], dict[str, Any], npt.NDArray[np.int64]]


def of_batch(batch: pa.RecordBatch, latest_us: int) -> AtOnce:
    """The rows of a batch whose texts are sound, and the numbers of the threads that are to be read with care."""
    try:
        return of_columns(batch, latest_us)
    except UnusualError:
        return AtOnce(pl.DataFrame(), pl.DataFrame(), list(range(batch.num_rows)))


def of_columns(batch: pa.RecordBatch, latest_us: int) -> AtOnce:
    """As `of_batch`. Raises UnusualError where all threads need care."""
    return of_parts(taken_apart(batch), latest_us)


def of_parts(parts: Parts, latest_us: int, odd: npt.NDArray[np.bool_] | None = None) -> AtOnce:
    """The rows of a batch that was taken apart; `odd` threads need care in any case. Raises UnusualError."""
    columns, of_answers, counts = parts
    try:
        posts, answers = (
            Table({name: _series(name, column) for name, column in part.items()}, size)
            for part, size in ((columns, len(counts)), (of_answers, int(counts.sum())))
        )
        return of_values(posts, answers, counts, latest_us, odd)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UnusualError from error


def taken_apart(batch: pa.RecordBatch) -> Parts:
    """The columns of the threads of a batch, those of their answers, and how many answers each has.

    Raises UnusualError where a thread has no list of answers, or a list holds something else.
    """
    columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
    lists = columns.pop("answers", None)
    if lists is None or lists.null_count:
        raise UnusualError
    counts = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    if not counts.any():
        return columns, {}, counts
    items = lists.flatten()
    if not pa.types.is_struct(items.type) or items.null_count or len(items) != counts.sum():
        raise UnusualError
    return columns, dict(zip([field.name for field in items.type], items.flatten(), strict=True)), counts


def _series(name: str, array: Any) -> pl.Series:
    if isinstance(array, pa.DictionaryArray):
        # Only the places are copied: a text that many rows name is kept once.
        texts, places = pl.Series(values=array.dictionary), pl.Series(values=array.indices)
        return texts.gather(places).alias(name)
    return pl.Series(name, array)


class Table:
    """The columns of a table as `threads_values.Values`. Raises UnusualError for types that need care."""

    def __init__(self, columns: dict[str, pl.Series], size: int) -> None:
        self._columns, self._size = columns, size

    def _of(self, name: str, kind: type[pl.DataType]) -> pl.Series:
        """The column of a name. One that is missing or has no values is of the kind asked for."""
        column = self._columns.get(name)
        return none_of(name, self._size, kind) if column is None or column.dtype == pl.Null else column

    def texts(self, name: str) -> pl.Series:
        """Texts."""
        column = self._of(name, pl.String)
        if column.dtype != pl.String:
            raise UnusualError
        return column

    def flags(self, name: str) -> pl.Series:
        """True or false."""
        column = self._of(name, pl.Boolean)
        if column.dtype != pl.Boolean:
            raise UnusualError
        return column

    def ids(self, name: str) -> pl.Series:
        """Ids, of which whole numbers become texts."""
        column = self._of(name, pl.String)
        if column.dtype.is_integer():
            return column.cast(pl.String)
        return self.texts(name)

    def ratios(self, name: str) -> pl.Series:
        """Numbers with fractions."""
        column = self._of(name, pl.Float64)
        if not column.dtype.is_numeric() or column.dtype.is_decimal():
            raise UnusualError
        return column.cast(pl.Float64)

    def authors(self) -> list[pl.Series]:
        """The names of authors, and `author_gone`: whether the account is gone."""
        names = self.texts("author")
        gone = (
            (names.is_null() | names.is_in(GONE_AUTHORS))
            if "author" in self._columns
            else pl.Series(names.is_null() & False)
        )
        return [names, gone.alias("author_gone")]

    def times(self, name: str) -> list[pl.Series]:
        """Microseconds since 1970, null where they are unknown or odd, and `<name>_odd`."""
        column = self._of(name, pl.String)
        if column.null_count() == self._size:
            return [none_of(name, self._size, pl.Int64), never(name, self._size)]
        if column.dtype == pl.String:
            return words_us(column)
        if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
            return _moments(column, column.dtype.time_unit)
        if not column.dtype.is_numeric() or column.dtype.is_decimal():
            raise UnusualError
        return seconds_as_us(column.cast(pl.Float64))

    def counts(self, name: str) -> list[pl.Series]:
        """Whole numbers, null where there is none or where they are odd, and `<name>_odd`."""
        column = self._of(name, pl.Int64)
        if column.dtype.is_integer():
            numbers = column.cast(pl.Int64, strict=False)
            return [numbers, (numbers.is_null() & column.is_not_null()).alias(f"{name}_odd")]
        if not column.dtype.is_float():
            raise UnusualError
        return whole_numbers(column.cast(pl.Float64))


def _moments(column: pl.Series, unit: str) -> list[pl.Series]:
    numbers = column.to_physical()
    if unit == "ms":
        fine = numbers.is_between(-_MS_MAX, _MS_MAX)
        found = numbers.set(~fine, None) * 1000
    else:
        of_us = 1000 if unit == "ns" else 1
        fine = numbers % of_us == 0
        found = (numbers // of_us).set(~fine, None)
    return [found.alias(column.name), (~fine).fill_null(value=False).alias(f"{column.name}_odd")]
