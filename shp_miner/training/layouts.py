"""How each format names a question, two answers and the preferred one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from shp_miner.export.formats import SEPARATOR

_TRUE = pl.lit(value=True)
_NO_NUMBER = pl.lit(None, pl.Float64)

#: A pair's id without the ids of its answers: "site/post".
_THREAD_OF_PAIR = pl.col("pair_id").str.replace(r"/[^/]*$", "")


def _said(column: str, number: int) -> pl.Expr:
    """Return the text of a message of a conversation."""
    return pl.col(column).list.get(number, null_on_oob=True).struct.field("content")


@dataclass(frozen=True)
class Layout:
    """A format with both sides: its columns, and expressions over them.

    `thread` is the same for the pairs of a thread; `seconds` is how much later the preferred answer was written, and
    `ratio` the preferred answer's score over the other's. Both are null where the format does not say. `optional` are
    columns that only `thread`, `seconds` and `ratio` need.
    """

    question: pl.Expr
    first: pl.Expr
    second: pl.Expr
    first_wins: pl.Expr
    columns: tuple[str, ...]
    thread: pl.Expr
    optional: tuple[str, ...] = ()
    seconds: pl.Expr = _NO_NUMBER
    ratio: pl.Expr = _NO_NUMBER

    def texts(self) -> dict[str, pl.Expr]:
        """Return what is needed to score the two answers of a row."""
        return {"question": self.question, "first": self.first, "second": self.second}

    def pairs(self) -> dict[str, pl.Expr]:
        """Return all columns of a pair."""
        return {
            **self.texts(),
            "first_wins": self.first_wins,
            "thread": self.thread,
            "seconds": self.seconds.cast(pl.Float64),
            "ratio": self.ratio.cast(pl.Float64),
        }


_SCORES = ("pair_id", "score_chosen", "score_rejected")
_RATIO_OF_SCORES = pl.when(pl.col("score_rejected") > 0).then(pl.col("score_chosen") / pl.col("score_rejected"))

#: The formats to train on, the one with the most to tell first.
LAYOUTS: dict[str, Layout] = {
    "pairs": Layout(
        pl.col("question"),
        pl.col("answer1"),
        pl.col("answer2"),
        pl.col("preferred") == 1,
        ("question", "answer1", "answer2"),
        _THREAD_OF_PAIR,
        ("preferred", "pair_id", "seconds_difference", "score_ratio"),
        pl.col("seconds_difference"),
        pl.col("score_ratio"),
    ),
    "shp": Layout(
        pl.col("history"),
        pl.col("human_ref_A"),
        pl.col("human_ref_B"),
        pl.col("labels") == 1,
        ("history", "human_ref_A", "human_ref_B"),
        pl.concat_str(pl.col("domain").str.replace(r"_[a-z]+$", ""), "post_id", separator="/"),
        ("labels", "domain", "post_id", "seconds_difference", "score_ratio"),
        pl.col("seconds_difference"),
        pl.col("score_ratio"),
    ),
    "trl": Layout(
        _said("prompt", 0),
        _said("chosen", 0),
        _said("rejected", 0),
        _TRUE,
        ("prompt", "chosen", "rejected"),
        _THREAD_OF_PAIR,
        _SCORES,
        ratio=_RATIO_OF_SCORES,
    ),
    "chat-pairs": Layout(
        _said("chosen", 0),
        _said("chosen", 1),
        _said("rejected", 1),
        _TRUE,
        ("chosen", "rejected"),
        _THREAD_OF_PAIR,
        _SCORES,
        ratio=_RATIO_OF_SCORES,
    ),
    "trl-text": Layout(
        pl.col("prompt").str.strip_suffix(SEPARATOR),
        pl.col("chosen"),
        pl.col("rejected"),
        _TRUE,
        ("prompt", "chosen", "rejected"),
        pl.col("prompt"),
    ),
}

#: Columns of a single answer and its question.
SINGLE = (("question", "answer"), ("prompt", "completion"))


def layout_of(names: Iterable[str], *, conversations: bool) -> Layout | None:
    """Return the layout of rows with two answers by the names of their columns, None if there is none.

    `conversations` says whether the column `chosen` holds lists of messages.
    """
    held = set(names)
    for name in ("pairs", "shp", "trl", "trl-text", "chat-pairs"):
        layout = LAYOUTS[name]
        if set(layout.columns) <= held and conversations == (name in ("trl", "chat-pairs")):
            return layout
    return None
