"""Lines of JSON that hold usual threads (right keys, right types), some thousand at once, as rows.

A native parser makes columns of them (`json_table`). Where it does not do, a strict decoder's records become columns, a
key at a time. All other lines take the careful way of dumps.threads.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.dumps.json_table import Parser
from shp_miner.dumps.lines import Lines
from shp_miner.dumps.threads_at_once import LINE, AtOnce, of_values
from shp_miner.dumps.threads_layout import ANSWER_REQUIRED, THREAD_REQUIRED, Answer, Thread
from shp_miner.dumps.threads_table import Parts, of_parts, taken_apart
from shp_miner.dumps.threads_values import Records, UnusualError

_Time = str | int | float
_Count = int | float | None
#: Types of the keys that the careful way checks apart, as usual files have them.
_USUAL: dict[str, Any] = {
    "post_id": str | int,
    "answer_id": str | int,
    "created_at": _Time,
    "score": _Count,
    **dict.fromkeys(("observed_at", "accepted_at"), _Time | None),
    **dict.fromkeys(("reads", "upvotes", "downvotes", "views"), _Count),
}
#: Keys of which a missing one means something else than null.
_UNSAID = ("author", "score")


def _strict(kind: type[msgspec.Struct], **more: Any) -> type[msgspec.Struct]:
    """The same record with the types of usual files."""
    types = _USUAL | more
    fields = [
        (field.name, types.get(field.name, field.type), *(() if field.required else (field.default,)))
        for field in msgspec.structs.fields(kind)
    ]
    # Such records hold no other that could hold them: the search for cycles would look at each again and again.
    return msgspec.defstruct(f"Usual{kind.__name__}", fields, kw_only=True, forbid_unknown_fields=True, gc=False)


_DECODER = msgspec.json.Decoder(_strict(Thread, answers=list[_strict(Answer)]))  # type: ignore[misc]


class UsualLines:
    """Makes rows of a file's lines. Any thread may ask for it."""

    def __init__(self, latest_us: int) -> None:
        self._latest_us = latest_us
        self._parser = Parser(_DECODER)

    def rows(self, lines: Lines) -> AtOnce:
        """The rows of some lines, and the numbers of those that are to be read with care."""
        parsed = self._parser.parsed(lines)
        if parsed.table is None:
            return _joined([(self._of_records(parsed.records), parsed.numbers)], len(lines))
        try:
            taken = taken_apart(parsed.table)
            unclear = _unclear(taken, parsed.text)
            parts = [(of_parts(taken, self._latest_us, unclear), parsed.numbers)]
        except UnusualError:
            unclear, parts = np.ones(parsed.table.num_rows, bool), []
        if unclear.any():
            asked = np.zeros(len(lines), bool)
            asked[parsed.numbers[unclear]] = True
            records, numbers = self._parser.strictly(lines.where(asked))
            parts.append((self._of_records(records), np.flatnonzero(asked)[numbers]))
        return _joined(parts, len(lines))

    def _of_records(self, threads: list[Any]) -> AtOnce:
        if not threads:
            return AtOnce(pl.DataFrame(), pl.DataFrame(), [])
        counts = np.fromiter((len(thread.answers) for thread in threads), np.int64, len(threads))
        answers = [answer for thread in threads for answer in thread.answers]
        return of_values(Records(threads), Records(answers), counts, self._latest_us)


def _unclear(parts: Parts, text: bytes) -> npt.NDArray[np.bool_]:
    """Whether a thread, or an answer to it, has a null of which the table does not tell if it was said.

    Raises UnusualError where no record has some required key.
    """
    columns, answers, counts = parts
    if not (
        columns.keys() >= THREAD_REQUIRED - {"answers"} and (answers.keys() >= ANSWER_REQUIRED or not counts.any())
    ):
        raise UnusualError
    unclear = np.zeros(len(counts), bool)
    for name in _UNSAID:
        of_posts, of_answers = columns.get(name), answers.get(name)
        null_count = sum(column.null_count for column in (of_posts, of_answers) if column is not None)
        there = sum(len(column) for column in (of_posts, of_answers) if column is not None)
        if null_count and text.count(f'"{name}":'.encode()) != there:
            if of_posts is not None:
                unclear |= of_posts.is_null().to_numpy(zero_copy_only=False)
            if of_answers is not None:
                line = np.repeat(np.arange(len(counts)), counts)
                unclear[line[of_answers.is_null().to_numpy(zero_copy_only=False)]] = True
    return unclear


def _joined(parts: list[tuple[AtOnce, npt.NDArray[np.int64]]], size: int) -> AtOnce:
    """The rows of parts of `size` lines, in the order of the lines; with each part the numbers of its lines."""
    posts, answers = (
        [
            frame.with_columns(pl.Series(numbers, dtype=pl.UInt32).gather(frame[LINE]).alias(LINE))
            for found, numbers in parts
            if (frame := getattr(found, kind)).width
        ]
        for kind in ("posts", "answers")
    )
    there = np.zeros(size, bool)
    for frame in posts:
        there[frame[LINE].to_numpy()] = True
    return AtOnce(_in_order(posts), _in_order(answers), np.flatnonzero(~there).tolist())


def _in_order(frames: list[pl.DataFrame]) -> pl.DataFrame:
    if len(frames) > 1:
        return pl.concat(frames, rechunk=False).sort(LINE, maintain_order=True)
    return frames[0] if frames else pl.DataFrame()
