"""Texts as conversations, lists of messages with a role and a content: the form that chat trainers read."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

#: The type of a conversation.
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def message(role: str, text: pl.Series) -> pl.Series:
    """Return for each text the conversation of one message by `role`."""
    return pl.DataFrame({"content": text}).select(pl.concat_list(_message(role, "content"))).to_series()


def conversations(questions: pl.Series, answers: pl.Series) -> pl.Series:
    """Return for each question and its answer the conversation of both: first the user, then the assistant."""
    frame = pl.DataFrame({"question": questions, "answer": answers})
    both = pl.concat_list(_message("user", "question"), _message("assistant", "answer"))
    return frame.select(both).to_series()


def contents(messages: pl.Series) -> pl.Series:
    """Return for each conversation the list of its texts."""
    return messages.list.eval(pl.element().struct.field("content"))


def last_contents(messages: pl.Series) -> pl.Series:
    """Return for each conversation the text of its last message: the answer."""
    return messages.list.last().struct.field("content")


def _message(role: str, column: str) -> pl.Expr:
    return pl.struct(pl.lit(role).alias("role"), pl.col(column).alias("content"))
