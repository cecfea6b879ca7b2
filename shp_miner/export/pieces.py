"""Pieces: what mining one range gave, on disk until every range is done, so that memory does not grow with the input.

A range's piece is three Arrow files (posts, answers, pairs), ordered by community and split, and a JSON file, written
last, that says where each of them ends. A piece that was written twice is the same piece.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow as pa
from msgspec import Struct, json

from shp_miner.mine import Bounds, Mined, Threads, bounds, cut

_POST_COLUMNS = (
    "thread_hash", "source", "site", "community", "post_id", "title", "body", "score", "upvote_ratio", "url", "license",
    "author", "author_url", "split",
)  # fmt: skip
_ANSWER_COLUMNS = (
    "answer_id", "text", "score", "created_at", "observed_at", "author", "author_url", "license", "wins", "losses",
    "post_row",
)  # fmt: skip
_FRAMES = ("posts", "answers", "pairs")

#: A community and a split.
Group = tuple[str, str]


class _Contents(Struct):
    groups: list[Bounds]
    bytes: int


def write_piece(folder: Path, number: int, mined: Mined) -> None:
    """Write the threads of range `number` under `folder`."""
    groups = bounds(mined.threads)
    if not groups:
        return
    size = 0
    for name, frame in (
        ("posts", mined.threads.posts.select(_POST_COLUMNS)),
        ("answers", mined.threads.answers.select(_ANSWER_COLUMNS)),
        ("pairs", mined.threads.pairs),
    ):
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
        size += table.nbytes
        with (
            pa.OSFile(str(folder / f"{number:06d}-{name}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
    temporary = folder / f"{number:06d}.tmp"
    temporary.write_bytes(json.encode(_Contents(groups, size)))
    temporary.replace(folder / f"{number:06d}.json")


class Pieces:
    """All pieces of an export, read by community and split in the order of their ranges; use it in a `with` statement.

    Files are mapped into memory, so reading a part of a piece costs no more than that part.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._threads: dict[int, Threads] = {}
        self._contents: dict[int, _Contents] = {}
        for number in range(count):
            path = folder / f"{number:06d}.json"
            if path.exists():
                self._contents[number] = json.decode(path.read_bytes(), type=_Contents)

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.clear()
        self._open.close()

    @property
    def ranges(self) -> list[int]:
        """The numbers of the ranges that gave anything, in order."""
        return sorted(self._contents)

    def shares(self, size: int) -> list[list[Group]]:
        """Every (community, split), sorted, cut into lists of at most about `size` bytes of pieces."""
        weight: Counter[Group] = Counter()
        for contents in self._contents.values():
            each = contents.bytes / contents.groups[-1].pairs
            before = 0
            for group in contents.groups:
                weight[group.community, group.split] += int(each * (group.pairs - before)) + 1
                before = group.pairs
        shares: list[list[Group]] = []
        filled = size
        for name in sorted(weight):
            if filled + weight[name] > size:
                shares.append([])
                filled = 0
            shares[-1].append(name)
            filled += weight[name]
        return shares

    def threads(self, number: int, groups: list[Group]) -> Threads | None:
        """What range `number` gave of some groups that follow each other, or None."""
        held = self._contents[number].groups
        names = [(group.community, group.split) for group in held]
        first, stop = bisect_left(names, groups[0]), bisect_right(names, groups[-1])
        if first == stop:
            return None
        return cut(self._mapped(number), held[first - 1] if first else None, held[stop - 1])

    def _mapped(self, number: int) -> Threads:
        if number not in self._threads:
            self._threads[number] = Threads(*(self._frame(number, name) for name in _FRAMES))
        return self._threads[number]

    def _frame(self, number: int, name: str) -> pl.DataFrame:
        source = self._open.enter_context(pa.memory_map(str(self._folder / f"{number:06d}-{name}.arrow")))
        frame = pl.from_arrow(pa.ipc.open_file(source).read_all())
        assert isinstance(frame, pl.DataFrame)
        return frame
