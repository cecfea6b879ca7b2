"""Columns of exports on their way into a file. Repeated values are kept once, from the format's rows to the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import polars as pl
import pyarrow as pa


@dataclass(frozen=True)
class Repeated:
    """A column that is `values[rows]`: values that repeat from pair to pair are kept, checked and written once."""

    values: pl.Series
    rows: pl.Series

    def laid_out(self) -> pl.Series:
        """Return the column as a plain series."""
        return self.values.gather(self.rows)


Array: TypeAlias = "pa.Array[pa.Scalar[pa.DataType]]"
Columns = dict[str, pl.Series | Repeated]


def to_arrow(column: pl.Series | Repeated, kind: pa.DataType) -> Array:
    """Return the column as an array of type `kind`, or as a dictionary of `kind` (perhaps with unused values)."""
    return all_to_arrow([column], [kind])[0]


def all_to_arrow(columns: Sequence[pl.Series | Repeated], kinds: Sequence[pa.DataType]) -> list[Array]:
    """Return `to_arrow` of each column and its type. Columns that repeat the same series share one dictionary."""
    values: dict[tuple[int, pa.DataType], Array] = {}
    arrays: list[Array] = []
    for column, kind in zip(columns, kinds, strict=True):
        if isinstance(column, Repeated):
            key = id(column.values), kind
            if key not in values:
                values[key] = _to_array(column.values, kind)
            rows = column.rows.cast(pl.Int32).to_arrow()
            arrays.append(pa.DictionaryArray.from_arrays(rows, values[key]))
        else:
            arrays.append(_to_array(column, kind))
    return arrays


def _to_array(column: pl.Series, kind: pa.DataType) -> Array:
    if pa.types.is_timestamp(kind):
        column = column.dt.cast_time_unit(kind.unit)  # clocks have more digits than an export
    return column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(kind)


def from_arrow(array: Array) -> Repeated:
    """Return the column of an array that `to_arrow` made; a plain array has the rows 0, 1, 2 ..."""
    if isinstance(array, pa.DictionaryArray):
        return Repeated(_series(array.dictionary), _series(array.indices))
    return Repeated(_series(array), pl.int_range(len(array), eager=True))


def _series(array: Array) -> pl.Series:
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type itself, or the type of a dictionary's values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def merged_table(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of some tables of `to_arrow`'s columns as one table, in one chunk.

    A dictionary has exactly the values that occur, once each, in their order of occurrence. So it depends on the rows
    alone, not on the tables that they came in.
    """
    columns = [_merged(parts) for parts in zip(*(table.columns for table in tables), strict=True)]
    return pa.Table.from_arrays(columns, names=tables[0].column_names)


def _merged(parts: Sequence[pa.ChunkedArray[pa.Scalar[pa.DataType]]]) -> Array:
    plain = [chunk for part in parts for chunk in part.chunks]
    if not isinstance(plain[0], pa.DictionaryArray):
        return pa.concat_arrays(plain) if len(plain) > 1 else plain[0]
    chunks = cast("list[pa.DictionaryArray[Any, Any]]", plain)  # a column has one type
    if pa.types.is_nested(chunks[0].type.value_type):  # Parquet has dictionaries of plain values only
        return pa.concat_arrays([chunk.dictionary.take(chunk.indices) for chunk in chunks])
    used = [chunk.indices.dictionary_encode() for chunk in chunks]
    values = [chunk.dictionary.take(use.dictionary) for chunk, use in zip(chunks, used, strict=True)]
    # Different rows of threads may hold the same text.
    numbered = (pa.concat_arrays(values) if len(values) > 1 else values[0]).dictionary_encode()
    start, rows = 0, []
    for use in used:
        own = numbered.indices.slice(start, len(use.dictionary))
        rows.append(own.take(use.indices))
        start += len(own)
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(rows), numbered.dictionary)
