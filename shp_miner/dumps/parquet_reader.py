"""Readers of the row groups of a Parquet file: each column of text plainly or as a dictionary, whichever is bounded.

A dictionary may hold one long text that thousands of rows name, so reading it plainly may fill the memory. A column
whose pages hold their texts themselves is the other way round: the library would gather all its texts in one dictionary
and give out the whole of it with each batch. Writers begin with a dictionary and leave it when it is full, so most
columns of long texts are both. What the dictionary's part of such a column unpacks to is counted before it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shp_miner.dumps.parquet_footer import RowGroup
from shp_miner.dumps.parquet_pages import named_values
from shp_miner.paths import is_remote

#: Row groups that unpack to less are read as dictionaries: they have few batches, and a look at each page takes time.
_LARGE = 1 << 20
#: Bytes that the parts of a row group with dictionaries may unpack to, in columns that are read plainly.
_NAMED = 64 << 20


def opened(path: Path) -> Path | BinaryIO:
    """Return what pyarrow reads a file by: its path, or on an object store the opened object."""
    return path.open("rb") if is_remote(path) else path


class Reader:
    """Reads row groups of a file. Raises what the library raises where the file is damaged."""

    def __init__(self, path: Path) -> None:
        self._path, self._metadata = path, pq.read_metadata(opened(path))
        leaves = [self._metadata.schema.column(number) for number in range(self._metadata.num_columns)]
        self._texts = [leaf.path if leaf.physical_type == "BYTE_ARRAY" else None for leaf in leaves]
        self._depths = [leaf.max_repetition_level for leaf in leaves]
        self._named = self._file(frozenset())
        self._plain, self._latest = frozenset[str](), self._named

    @property
    def row_groups(self) -> int:
        """How many the library finds."""
        return int(self._metadata.num_row_groups)

    def batches(self, number: int, group: RowGroup, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a row group, at most so many at a time."""
        plain = self._bounded(number, group, rows) if group.unpacked > _LARGE else frozenset[str]()
        if plain != self._plain:
            self._plain, self._latest = plain, self._file(plain)
        yield from self._latest.iter_batches(batch_size=rows, row_groups=[number], use_threads=False)

    def _file(self, plain: frozenset[str]) -> pq.ParquetFile:
        # A reader keeps to the pool of memory that is the default when it is opened. The library's own gives back to
        # the system what a batch took, and the next has to ask for it again, page by page.
        pool = pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
        try:
            # A buffer makes pyarrow read column chunks in pieces rather than whole; page sums tell damage from data.
            return pq.ParquetFile(
                opened(self._path),
                metadata=self._metadata,
                pre_buffer=False,
                buffer_size=1 << 20,
                page_checksum_verification=True,
                read_dictionary=[text for text in self._texts if text is not None and text not in plain],
            )
        finally:
            pa.set_memory_pool(pool)

    def _bounded(self, number: int, group: RowGroup, rows: int) -> frozenset[str]:
        """The columns of text of a row group that unpack to no more than their pages say."""
        left, found = _NAMED, set()
        with self._path.open("rb") as file:
            for text, depth, chunk in zip(self._texts, self._depths, group.columns, strict=True):
                named = None if text is None or depth > 1 else named_values(file, chunk)
                if text is None or named is None:
                    continue
                left -= self._named_bytes(number, text, rows, named, left) if named else 0
                if left < 0:
                    break
                found.add(text)
        return frozenset(found)

    def _named_bytes(self, number: int, text: str, rows: int, values: int, most: int) -> int:
        """The bytes of the texts of so many values of a column and some more; it stops when they are over `most`."""
        size = 0
        for batch in self._named.iter_batches(batch_size=rows, row_groups=[number], columns=[text], use_threads=False):
            if batch.num_columns != 1:  # another column has a name that this one begins with
                return most + 1
            size += bytes_of(batch.column(0))
            values -= _places(batch.column(0))
            if values <= 0 or size > most:
                break
        return size


def bytes_of(array: Any) -> int:
    """The bytes of the texts that an array names, however often."""
    kind = array.type
    if isinstance(array, pa.DictionaryArray):
        texts: Any = array.dictionary
        sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy().astype(np.int64)
        return int(sizes[array.indices.drop_null().to_numpy()].sum())
    if pa.types.is_struct(kind):
        return sum(map(bytes_of, array.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bytes_of(array.flatten())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return int(pc.sum(pc.binary_length(array)).as_py() or 0)
    return 0


def _places(array: Any) -> int:
    """How many values of a page a column takes: an empty list takes one as well."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
        return int(np.maximum(lengths, 1).sum())
    return len(array)
