"""Pieces: what mining one range gave, on disk until every range is done, so that memory does not grow with the input.

A range's piece is three Arrow files (posts, answers, pairs) with one record batch for each community and split, and a
JSON file, written last, that says which. A piece that was written twice is the same piece.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
from msgspec import Struct, json

from shp_miner.mine import Mined, Threads, by_community

_POST_COLUMNS = (
    "thread_hash", "source", "site", "community", "post_id", "title", "body", "score", "upvote_ratio", "url", "license",
    "author", "author_url", "split",
)  # fmt: skip
_ANSWER_COLUMNS = (
    "answer_id", "text", "score", "created_at", "observed_at", "author", "author_url", "license", "wins", "losses",
    "post_row",
)  # fmt: skip
_FRAMES = ("posts", "answers", "pairs")


class _Contents(Struct):
    groups: list[tuple[str, str]]


def write_piece(folder: Path, number: int, mined: Mined) -> None:
    """Write the threads of range `number` under `folder`."""
    groups: list[tuple[str, str]] = []
    batches: dict[str, list[pa.RecordBatch]] = {name: [] for name in _FRAMES}
    for community, split, threads in by_community(mined.threads):
        groups.append((community, split))
        for name, frame in (
            ("posts", threads.posts.select(_POST_COLUMNS)),
            ("answers", threads.answers.select(_ANSWER_COLUMNS)),
            ("pairs", threads.pairs),
        ):
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
            batches[name].append(table.to_batches()[0])
    if not groups:
        return
    for name, listed in batches.items():
        with (
            pa.OSFile(str(folder / f"{number:06d}-{name}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, listed[0].schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
        ):
            for batch in listed:
                writer.write_batch(batch)
    temporary = folder / f"{number:06d}.tmp"
    temporary.write_bytes(json.encode(_Contents(groups)))
    temporary.replace(folder / f"{number:06d}.json")


class Pieces:
    """All pieces of an export, read by community and split in the order of their ranges."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._where: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for number in range(count):
            path = folder / f"{number:06d}.json"
            if path.exists():
                contents = json.decode(path.read_bytes(), type=_Contents)
                for batch, group in enumerate(contents.groups):
                    self._where.setdefault(group, []).append((number, batch))

    def groups(self) -> list[tuple[str, str]]:
        """(community, split) of everything mined, sorted."""
        return sorted(self._where)

    def threads(self, community: str, split: str) -> Iterator[Threads]:
        """The threads of one community and split, a range at a time."""
        for number, batch in self._where[community, split]:
            frames = [self._frame(number, name, batch) for name in _FRAMES]
            yield Threads(*frames)

    def _frame(self, number: int, name: str, batch: int) -> pl.DataFrame:
        with pa.memory_map(str(self._folder / f"{number:06d}-{name}.arrow")) as source:
            frame = pl.from_arrow(pa.ipc.open_file(source).get_batch(batch))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def remove(self) -> None:
        """Delete the pieces' files."""
        shutil.rmtree(self._folder)
