"""Pieces: the mined threads of one range, kept on disk until every range is done. Memory does not grow with the input.

A range's piece is three Arrow files (posts, answers, pairs), sorted by community, split and time, and a fourth, written
last, with the end of each day of each group. A piece that is written twice is the same piece. Windows of days of all
pieces together have the rows of an export in their order, a part at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.export.reading import arrow_source
from shp_miner.export.shared import COUNTED
from shp_miner.mining.mine import Threads, joined_threads, part_bounds
from shp_miner.paths import is_remote
from shp_miner.store.replacing import replace_file

_POST_COLUMNS = (
    "thread_hash", "source", "site", "community", "post_id", "title", "body", "score", "upvote_ratio", "url", "license",
    "author", "author_url", "created_at", "split", "views",
)  # fmt: skip
_ANSWER_COLUMNS = (
    "platform", "answer_id", "text", "score", "created_at", "observed_at", "author", "author_url", "license", "wins",
    "losses", "post_row", *COUNTED,
)  # fmt: skip
_FRAMES = ("posts", "answers", "pairs")
_INDEX = "index"

#: Rows of a batch of a piece in an object store, where a reader fetches whole batches.
_BATCH = 8_192

# No name has a NUL, so joined keys sort like the keys. Days are counted from 0001-01-01, in as many digits.
_DAY = pl.col("day").cast(pl.Int32) + 719_162
_KEY = pl.concat_str("community", pl.lit("\0"), "split", pl.lit("\0"), _DAY.cast(pl.String).str.zfill(7)).alias("key")


class Window(Struct, frozen=True):
    """Threads to read together: the first and the last key (community, split and day) among those of all pieces."""

    first: str
    last: str


def write_piece(folder: Path, number: int, threads: Threads) -> None:
    """Write the threads of range `number` under `folder`."""
    if threads.posts.is_empty():
        return
    size = 0
    frames = (threads.posts.select(_POST_COLUMNS), threads.answers.select(_ANSWER_COLUMNS), threads.pairs)
    for name, frame in zip(_FRAMES, frames, strict=True):
        path = _path(folder, number, name)
        written = partial(frame.write_ipc, compat_level=pl.CompatLevel.oldest())
        if is_remote(path):
            written = partial(frame.rechunk().write_ipc, compat_level=pl.CompatLevel.oldest(), record_batch_size=_BATCH)
        replace_file(path, written, durable=False)
        size += path.stat().st_size
    share = pl.col("pairs").diff().fill_null(pl.col("pairs")) / len(threads.pairs)
    index = part_bounds(threads, by_day=True).with_columns(bytes=(share * size).cast(pl.Int64) + 1)
    replace_file(_path(folder, number, _INDEX), index.write_ipc, durable=False)


def piece_windows(folder: Path, count: int, size: int) -> list[list[Window]]:
    """Return lists of adjacent windows that cover the pieces of `count` ranges; a list is the work of one task.

    A window is of about `size` bytes, and at most that unless it is one day. A list has one window of whole groups
    (communities and splits), or all windows of one large group. The largest list comes first, so that the last tasks
    are small and workers finish at about the same time.
    """
    indexes = [index.select("community", "split", _KEY, "bytes") for _, index in _indexes(folder, count)]
    if not indexes:
        return []
    days = pl.concat(indexes).group_by("community", "split", "key").agg(pl.col("bytes").sum()).sort("key")
    groups = days.group_by("community", "split", maintain_order=True).agg("key", "bytes")
    found: list[tuple[int, list[Window]]] = []
    open_until = 0  # bytes in the last window, which takes more groups while it is small
    for keys, sizes in groups.select("key", "bytes").iter_rows():
        whole = sum(sizes)
        if open_until and open_until + whole <= size:
            open_until += whole
            found[-1] = (open_until, [Window(found[-1][1][0].first, keys[-1])])
        else:
            found.append((whole, _cut(keys, sizes, size)))
            open_until = whole if whole <= size else 0
    return [windows for _, windows in sorted(found, key=lambda item: -item[0])]


def _cut(keys: Sequence[str], sizes: Sequence[int], size: int) -> list[Window]:
    """Return the windows of one group, of at most `size` bytes each."""
    windows: list[Window] = []
    filled = 0
    for key, weight in zip(keys, sizes, strict=True):
        if windows and filled + weight <= size:
            windows[-1] = Window(windows[-1].first, key)
            filled += weight
        else:
            windows.append(Window(key, key))
            filled = weight
    return windows


def read_windows(folder: Path, count: int, windows: Sequence[Window]) -> Iterator[Threads]:
    """Yield the threads of each window, of all pieces, in the order of an export."""
    first, last = windows[0].first, windows[-1].last
    own = []
    for number, index in _indexes(folder, count):
        places = index.select(_KEY, *_FRAMES)
        start, stop = places["key"].search_sorted(first), places["key"].search_sorted(last, "right")
        if start < stop:
            before = max(start - 1, 0)  # whose ends are where this begins
            own.append((number, places[before:stop]))
    for window in windows:
        parts = [part for number, places in own if (part := _part(folder, number, places, window)) is not None]
        yield joined_threads(parts)


def _part(folder: Path, number: int, places: pl.DataFrame, window: Window) -> Threads | None:
    """Return the threads of a window in one piece; None if it has none there."""
    first, stop = places["key"].search_sorted(window.first), places["key"].search_sorted(window.last, "right")
    if first >= stop:
        return None
    after = places.row(first - 1, named=True) if first else dict.fromkeys(_FRAMES, 0)
    to = places.row(stop - 1, named=True)
    posts, answers, pairs = (_rows(_path(folder, number, name), after[name], to[name]) for name in _FRAMES)
    # Row numbers fit the smaller frames.
    return Threads(
        posts,
        answers.with_columns(pl.col("post_row") - after["posts"]),
        pairs.with_columns(pl.col("winner", "loser") - after["answers"]),
    )


def _indexes(folder: Path, count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the ranges that have a piece, in order, with the ends of their groups' days."""
    for number in range(count):
        with suppress(FileNotFoundError):  # a range without threads has none
            # Not an open file, which polars panics about where reading fails.
            index = pl.read_ipc(_path(folder, number, _INDEX).read_bytes())
            yield number, index


def _rows(path: Path, start: int, stop: int) -> pl.DataFrame:
    if is_remote(path):
        return _remote_rows(path, start, stop)
    with pa.memory_map(str(path)) as source:
        # Rows are copied, not sliced: a slice of mapped memory keeps the pages around it, and there are many pieces.
        table = pa.ipc.open_file(source).read_all().take(pl.int_range(start, stop, eager=True).to_arrow())
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _remote_rows(path: Path, start: int, stop: int) -> pl.DataFrame:
    """Return some rows of a file in an object store; only the batches that have them are read."""
    first, last = start // _BATCH, max(stop - 1, start) // _BATCH
    with arrow_source(path) as source:
        reader = pa.ipc.open_file(source)
        numbers = range(first, min(last + 1, reader.num_record_batches))
        table = pa.Table.from_batches([reader.get_batch(number) for number in numbers], reader.schema)
    frame = pl.from_arrow(table.slice(start - first * _BATCH, stop - start))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _path(folder: Path, number: int, name: str) -> Path:
    return folder / f"{number:06d}-{name}.arrow"
