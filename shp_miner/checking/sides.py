"""Rows of every format as pairs: a question, the preferred answer and the other, and what is known of the thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from shp_miner.export.formats import SEPARATOR

#: The columns of `sides`.
QUESTION, BETTER, WORSE, THREAD = "question", "better", "worse", "thread"
BETTER_IS_FIRST, BETTER_AT, WORSE_AT = "better_is_first", "better_at", "worse_at"

#: What names a row's thread, by format: ids of the row, or the text of its question.
BY_IDS, BY_QUESTION = "ids", "question"


def sides(form: str, table: pa.Table) -> pl.DataFrame:
    """Return the rows of some table of a format as one frame.

    Columns: question (string) and thread (string: site and post id, or the question where the format has no ids); of
    formats with two answers also better and worse (strings: the preferred answer and the other); of some of these
    better_is_first (boolean: the preferred answer has the first column), better_at and worse_at (when they were
    written, in the format's own unit).
    """
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.select(**_SIDES[form])


def thread_known_by(form: str) -> str:
    """Return BY_IDS or BY_QUESTION: what the column `thread` of a format is made of."""
    return BY_QUESTION if form in _WITHOUT_IDS else BY_IDS


def _content(column: str, which: Callable[[Any], pl.Expr]) -> pl.Expr:
    return which(pl.col(column).list).struct.field("content")


def _first(column: str) -> pl.Expr:
    return _content(column, lambda messages: messages.first())


def _last(column: str) -> pl.Expr:
    return _content(column, lambda messages: messages.last())


def _by(first_wins: pl.Expr, first: str, second: str) -> tuple[pl.Expr, pl.Expr]:
    """Return the value of the better side and of the worse side."""
    better = pl.when(first_wins).then(pl.col(first)).otherwise(pl.col(second))
    worse = pl.when(first_wins).then(pl.col(second)).otherwise(pl.col(first))
    return better, worse


def _two_sided(first_wins: pl.Expr, texts: tuple[str, str], times: tuple[str, str]) -> dict[str, pl.Expr]:
    (better, worse), (better_at, worse_at) = _by(first_wins, *texts), _by(first_wins, *times)
    return {BETTER: better, WORSE: worse, BETTER_IS_FIRST: first_wins, BETTER_AT: better_at, WORSE_AT: worse_at}


_PLAIN_PROMPT = pl.col("prompt").str.strip_suffix(SEPARATOR)
_THREAD_OF_PAIR = pl.col("pair_id").str.replace(r"/[^/]*$", "")


def _only(question: pl.Expr) -> dict[str, pl.Expr]:
    return {QUESTION: question, THREAD: question}


_SIDES: dict[str, dict[str, pl.Expr]] = {
    "pairs": {
        QUESTION: pl.col("question"),
        THREAD: _THREAD_OF_PAIR,
        **_two_sided(pl.col("preferred") == 1, ("answer1", "answer2"), ("created_at1", "created_at2")),
    },
    "shp": {
        QUESTION: pl.col("history"),
        THREAD: pl.concat_str(pl.col("domain").str.replace(r"_[^_]*$", ""), pl.lit("/"), pl.col("post_id")),
        **_two_sided(pl.col("labels") == 1, ("human_ref_A", "human_ref_B"), ("created_at_utc_A", "created_at_utc_B")),
    },
    "trl": {
        QUESTION: _first("prompt"),
        THREAD: _THREAD_OF_PAIR,
        BETTER: _last("chosen"),
        WORSE: _last("rejected"),
    },
    "chat-pairs": {
        QUESTION: _first("chosen"),
        THREAD: _THREAD_OF_PAIR,
        BETTER: _last("chosen"),
        WORSE: _last("rejected"),
    },
    "trl-text": {**_only(_PLAIN_PROMPT), BETTER: pl.col("chosen"), WORSE: pl.col("rejected")},
    "kto": _only(_PLAIN_PROMPT),
    "ranking": _only(pl.col("question")),
    "sft": _only(_PLAIN_PROMPT),
    "bandit": _only(pl.col("state")),
}

_WITHOUT_IDS = {form for form, columns in _SIDES.items() if columns[THREAD] is columns[QUESTION]}
