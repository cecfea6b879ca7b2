"""Where row groups and files of an export end: at threads that a hash chooses, whatever lies before or after.

So a thread that comes, goes or changes moves the ends of its own row group, and after the next chosen thread all is as
it was. This is content-defined chunking (Muthitacharoen, Chen and Mazieres: A Low-bandwidth Network File System, 2001),
with threads in the place of bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from shp_miner.export.columns import from_arrow
from shp_miner.export.formats import Format
from shp_miner.mining.mine import Threads
from shp_miner.rules.hashing import mix_bits

#: Rows of a row group at least, and how many follow on average until a chosen thread.
GROUP_LEAST = 2_000
GROUP_MEAN = 2_000

#: Rows of a row group, and bytes of its texts, at most. Streaming readers keep a row group in memory.
GROUP_MOST = 10_000
GROUP_BYTES = 64_000_000

#: Rows of a file at least, how many follow on average, and how many it has at most (but for one thread's rows).
FILE_LEAST = 100_000
FILE_MEAN = 50_000
FILE_MOST = 250_000

#: The chance of a row group to begin a file, once the file before has rows enough.
_FILE_CHANCE = (GROUP_LEAST + GROUP_MEAN) / FILE_MEAN

#: Makes the choice of files independent of that of row groups.
_FILE_SALT = np.uint64(1)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Rows of a format, with the first row, rows, bytes of text, chance and name of each of their threads.

    chances: two numbers in [0, 1) that follow from the thread's hash, for row groups and for files.
    """

    table: pa.Table
    starts: list[int]
    counts: list[int]
    bytes: list[int]
    chances: list[tuple[float, float]]
    names: list[str]

    @property
    def own_table(self) -> pa.Table:
        """Return the rows of these threads alone; `table` may hold those of others, too."""
        start = self.starts[0]
        return self.table.slice(start, self.starts[-1] + self.counts[-1] - start)

    def thread_of_each(self) -> npt.NDArray[np.int64]:
        """Return the number of the thread of each row of `own_table`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def of_same_threads(self, form: Format, table: pa.Table, rows: npt.NDArray[np.int64]) -> Rows:
        """Return another table of the same threads; `rows` has for each of its rows one of `own_table`, in order."""
        thread = self.thread_of_each()[rows]
        starts = np.flatnonzero(np.diff(thread, prepend=-1))
        of = thread[starts].tolist()
        return Rows(
            table,
            starts.tolist(),
            np.diff(starts, append=len(rows)).tolist(),
            np.add.reduceat(_text_bytes(form, table), starts).tolist(),
            [self.chances[number] for number in of],
            [self.names[number] for number in of],
        )


@dataclass
class RowGroup:
    """Rows to write together; `name` is that of their first thread, and `begins_file` whether a file begins here.

    spans: tables with the first row and the end of what is taken of each.
    """

    name: str
    begins_file: bool
    spans: list[tuple[pa.Table, int, int]] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    @property
    def tables(self) -> list[pa.Table]:
        """The rows, in tables."""
        return [table.slice(start, stop - start) for table, start, stop in self.spans]

    def add(self, table: pa.Table, start: int, stop: int) -> None:
        """Add rows of a table."""
        if self.spans and self.spans[-1][0] is table and self.spans[-1][2] == start:
            self.spans[-1] = (table, self.spans[-1][1], stop)
        else:
            self.spans.append((table, start, stop))
        self.rows += stop - start


def rows_by_group(
    form: Format, threads: Threads, table: pa.Table, post_row: pl.Series
) -> Iterator[tuple[tuple[str, str], Rows]]:
    """Yield each community and split with its rows of `Format.table`, and what is needed to cut them.

    `post_row` is the post of each row, in order.
    """
    place = post_row.to_numpy()
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    posts = threads.posts[pl.Series(place[starts])].select("thread_hash", "created_at", "community", "split")
    hashes = posts["thread_hash"].to_numpy().view(np.uint64)
    chances = list(zip(*(_chances(hashes ^ salt).tolist() for salt in (np.uint64(0), _FILE_SALT)), strict=True))
    names = thread_names(posts)
    counts = np.diff(starts, append=len(place)).tolist()
    sizes = np.add.reduceat(_text_bytes(form, table), starts).tolist() if len(starts) else []
    groups = posts.group_by("community", "split", maintain_order=True).len("threads")
    first = 0
    for community, split, count in groups.iter_rows():
        own = slice(first, first + count)
        rows = Rows(table, starts[own].tolist(), counts[own], sizes[own], chances[own], names[own])
        yield (community, split), rows
        first += count


def thread_names(posts: pl.DataFrame) -> list[str]:
    """Return the name of each thread, after which files are named: the time of its post, and its hash."""
    times = posts["created_at"].dt.strftime("%Y-%m-%d-%H%M%S").to_list()
    hashes = posts["thread_hash"].to_numpy().view(np.uint64).tolist()
    return [f"{time}-{digest:016x}"[:30] for time, digest in zip(times, hashes, strict=True)]


def cut_rows(parts: Iterable[Rows]) -> Iterator[RowGroup]:
    """Yield the row groups of adjacent parts. They do not depend on where the parts begin and end."""
    group: RowGroup | None = None
    file_rows = 0
    for part in parts:
        for start, count, size, (chance, of_file), name in zip(
            part.starts, part.counts, part.bytes, part.chances, part.names, strict=True
        ):
            if group is not None and _ends(group, count, size, chance):
                yield group
                file_rows += group.rows
                begins_file = file_rows >= FILE_MOST or (file_rows >= FILE_LEAST and of_file < _FILE_CHANCE)
                file_rows = 0 if begins_file else file_rows
                group = RowGroup(name, begins_file)
            group = group or RowGroup(name, begins_file=True)
            rows = _rows_at_once(count, size)
            for first in range(start, start + count, rows):
                if group.rows and rows < count:
                    yield group
                    file_rows += group.rows
                    group = RowGroup(name, begins_file=False)
                group.add(part.table, first, min(first + rows, start + count))
            group.bytes += size
    if group is not None:
        yield group


def _ends(group: RowGroup, count: int, size: int, chance: float) -> bool:
    """Return whether a row group ends before a thread of `count` rows and `size` bytes."""
    if group.rows + count > GROUP_MOST or group.bytes + size > GROUP_BYTES:
        return True
    return group.rows >= GROUP_LEAST and chance * GROUP_MEAN < count


def _rows_at_once(count: int, size: int) -> int:
    """Return how many of a thread's rows a row group takes: all, unless they or their bytes are too many."""
    parts = min(max(-(-count // GROUP_MOST), -(-size // GROUP_BYTES), 1), count)
    return -(-count // parts)


def _chances(hashes: npt.NDArray[np.uint64]) -> Floats:
    return (mix_bits(hashes) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _text_bytes(form: Format, table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the bytes of the texts of each row."""
    total = np.zeros(table.num_rows, np.int64)
    for name in table.schema.names:
        if name in form.texts or pa.types.is_nested(form.schema.field(name).type):
            column = from_arrow(table[name].combine_chunks())
            total += _lengths(column.values).gather(column.rows).fill_null(0).to_numpy()
    return total


def _lengths(values: pl.Series) -> pl.Series:
    """Return the bytes of each text, or of all texts of a list of messages or answers."""
    if values.dtype == pl.String:
        return values.str.len_bytes().cast(pl.Int64)
    inner = values.list.eval(pl.sum_horizontal(pl.element().struct.field("^(content|text)$").str.len_bytes()))
    return inner.list.sum().cast(pl.Int64)
