"""Published data sets of forum threads, in the layouts of their authors: which layout the columns are, and SHP's rows.

A row of SHP is a pair of answers of one post. It has no time of the post and no score of it, so the post gets bounds:
the time of its earliest answer in the files, and the lowest score that SHP takes (its dataset card). Nobody knows when
the scores were read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from shp_miner.dumps.parquet import Record
from shp_miner.errors import BadInput
from shp_miner.platforms.sites import REDDIT
from shp_miner.tally import Damage, Lost

SHP = "shp"

#: The columns that only one layout has, and what of it is read.
_SHP_MARKS = {"post_id", "domain", "history"}
_PAIR = ("c_root_id", "human_ref", "created_at_utc", "score")
_SHP_NEEDED = ("post_id", "domain", "history", *(f"{name}_{side}" for name in _PAIR for side in "AB"))

#: SHP's lowest score of a post.
POST_SCORE_MIN = 10

_SPLIT = re.compile(r"_(?:train|validation|test)\Z")

#: Layouts that say nowhere when an answer was written: their columns, what they are, and where the threads have times.
_TIMELESS = (
    ({"qid", "question", "answers"}, "Stack Exchange preferences (H4)", "`import stackexchange-dump`"),
    ({"q_id", "title", "answers"}, "ELI5 threads", "`import reddit-dump`"),
)


def layout_of(path: Path, names: Collection[str]) -> str:
    """Return SHP if columns are of SHP's layout, else "". Raises BadInput where they are of one without times."""
    for marks, what, dump in _TIMELESS:
        if marks <= set(names):
            raise BadInput(
                f"{path} has {what}, which lack `created_at` of every post and answer; each rule needs it.",
                f"Import the same threads from their dump, which has the times: {dump}.",
            )
    return SHP if set(names) >= _SHP_MARKS else ""


def check_columns(path: Path, names: Collection[str]) -> None:
    """Raise BadInput if a column that SHP's rows need is not there."""
    missing = [name for name in _SHP_NEEDED if name not in names]
    if missing:
        raise BadInput(
            f"{path} has rows of SHP without the column {missing[0]}.", f"Keep all of: {', '.join(_SHP_NEEDED)}."
        )


def threads_of_pairs(read: Callable[[], Iterable[Record]]) -> Iterator[Record]:
    """Yield threads of the threads layout from rows of SHP's, each thread with its answers that follow each other.

    `read` reads the rows anew. They are read twice, for the earliest time of each post; a post that comes again later
    comes with the same content.
    """
    earliest: dict[Any, Any] = {}
    for _, row in read():
        if not _is_usable(row):
            continue
        for created in (row["created_at_utc_A"], row["created_at_utc_B"]):
            if _is_number(created):
                earliest[_key(row)] = min(earliest.get(_key(row), created), created)
    held: tuple[Damage, dict[str, Any], dict[Any, Any]] | None = None
    for place, row in read():
        if not _is_usable(row):
            yield place, row if isinstance(row, Lost) else _what_lacks(row)
            continue
        post = _post(row, earliest.get(_key(row)))
        if held is not None and held[1] != post:
            yield _thread(held)
            held = None
        held = held or (place, post, {})
        for side in "AB":
            answer = _answer(row, side)
            held[2].setdefault(tuple(map(repr, answer.values())), answer)
    if held is not None:
        yield _thread(held)


def _thread(held: tuple[Damage, dict[str, Any], dict[Any, Any]]) -> Record:
    place, post, answers = held
    return place, {**post, "answers": list(answers.values())}


def _is_usable(row: Any) -> bool:
    return isinstance(row, dict) and all(row.get(name) is not None for name in _SHP_NEEDED)


def _what_lacks(row: Any) -> Lost:
    if not isinstance(row, dict):
        return Lost("not_an_object", "a JSON object was expected")
    lacks = next(name for name in _SHP_NEEDED if row.get(name) is None)
    return Lost("missing_field", f'"{lacks}" is missing or null')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(row: dict[str, Any]) -> str:
    return f"{row['domain']}\0{row['post_id']}"


def _post(row: dict[str, Any], created: Any) -> dict[str, Any]:
    domain = row["domain"]
    return {
        "site": REDDIT,
        "community": _SPLIT.sub("", domain) if isinstance(domain, str) else domain,
        "post_id": row["post_id"],
        "title": row["history"],  # title and text in one line: nothing says where the text begins
        "created_at": created,
        "score": POST_SCORE_MIN,
        "upvote_ratio": row.get("upvote_ratio"),
        "format": "text",
    }


def _answer(row: dict[str, Any], side: str) -> dict[str, Any]:
    return {
        "answer_id": row[f"c_root_id_{side}"],
        "body": row[f"human_ref_{side}"],
        "created_at": row[f"created_at_utc_{side}"],
        "score": row[f"score_{side}"],
    }
