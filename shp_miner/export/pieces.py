"""Pieces: the mined threads of one range, kept on disk until every range is done. Memory does not grow with the input.

A range's piece is three Arrow files (posts, answers, pairs), sorted by community and split, and a fourth, written last,
with the end of each group. A piece that is written twice is the same piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from shp_miner.mining.mine import Threads, part_bounds
from shp_miner.store.replacing import replace_file

_POST_COLUMNS = (
    "thread_hash", "source", "site", "community", "post_id", "title", "body", "score", "upvote_ratio", "url", "license",
    "author", "author_url", "split",
)  # fmt: skip
_ANSWER_COLUMNS = (
    "answer_id", "text", "score", "created_at", "observed_at", "author", "author_url", "license", "wins", "losses",
    "post_row",
)  # fmt: skip
_FRAMES = ("posts", "answers", "pairs")
_INDEX = "index"

#: A community and a split.
Group = tuple[str, str]

# No name has a NUL, so joined names sort like pairs of names.
_GROUP = pl.concat_str("community", pl.lit("\0"), "split")


def write_piece(folder: Path, number: int, threads: Threads) -> None:
    """Write the threads of range `number` under `folder`."""
    if threads.posts.is_empty():
        return
    size = 0
    frames = (threads.posts.select(_POST_COLUMNS), threads.answers.select(_ANSWER_COLUMNS), threads.pairs)
    for name, frame in zip(_FRAMES, frames, strict=True):
        path = _path(folder, number, name)
        frame.write_ipc(path, compat_level=pl.CompatLevel.oldest())
        size += path.stat().st_size
    share = pl.col("pairs").diff().fill_null(pl.col("pairs")) / len(threads.pairs)
    index = part_bounds(threads).with_columns(bytes=(share * size).cast(pl.Int64) + 1)
    replace_file(_path(folder, number, _INDEX), index.write_ipc, durable=False)


def piece_groups(folder: Path, count: int, size: int) -> list[list[Group]]:
    """Return every (community, split) of the pieces of `count` ranges, in sorted lists of about `size` bytes at most.

    The largest list comes first, so that the last tasks are small and workers finish at about the same time.
    """
    indexes = [index for _, index in _indexes(folder, count)]
    if not indexes:
        return []
    weights = pl.concat(indexes).group_by("community", "split").agg(pl.col("bytes").sum()).sort("community", "split")
    found: list[list[Group]] = []
    filled: list[int] = []
    for community, split, weight in weights.iter_rows():
        if not found or filled[-1] + weight > size:
            found.append([])
            filled.append(0)
        found[-1].append((community, split))
        filled[-1] += weight
    return [found[n] for n in sorted(range(len(found)), key=lambda n: -filled[n])]


def read_pieces(folder: Path, count: int, groups: list[Group]) -> Iterator[Threads]:
    """Yield the threads of some adjacent groups, range by range."""
    for number, index in _indexes(folder, count):
        names = index.select(_GROUP).to_series()
        first, stop = names.search_sorted("\0".join(groups[0])), names.search_sorted("\0".join(groups[-1]), "right")
        if first < stop:
            after = index.row(first - 1, named=True) if first else dict.fromkeys(_FRAMES, 0)
            to = index.row(stop - 1, named=True)
            posts, answers, pairs = (_rows(_path(folder, number, name), after[name], to[name]) for name in _FRAMES)
            # Row numbers fit the smaller frames.
            yield Threads(
                posts,
                answers.with_columns(pl.col("post_row") - after["posts"]),
                pairs.with_columns(pl.col("winner", "loser") - after["answers"]),
            )


def _indexes(folder: Path, count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the ranges that have a piece, in order, with the ends of their groups."""
    for number in range(count):
        path = _path(folder, number, _INDEX)
        if path.exists():
            with path.open("rb") as file:  # a path with brackets would be taken for a pattern
                index = pl.read_ipc(file)
            yield number, index


def _rows(path: Path, start: int, stop: int) -> pl.DataFrame:
    with pa.memory_map(str(path)) as source:
        # Rows are copied, not sliced: a slice of mapped memory keeps the pages around it, and there are many pieces.
        table = pa.ipc.open_file(source).read_all().take(pl.int_range(start, stop, eager=True).to_arrow())
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _path(folder: Path, number: int, name: str) -> Path:
    return folder / f"{number:06d}-{name}.arrow"
