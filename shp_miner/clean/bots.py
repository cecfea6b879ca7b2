"""What bots wrote: accounts of a list, and texts that say so. The list is `bots.txt`, and users add theirs."""

from __future__ import annotations

import fnmatch
import re
from functools import cache
from pathlib import Path

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of
from shp_miner.errors import UsageError

#: What a line begins with that is looked for in texts.
_IN_TEXTS = "~"


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    names, texts = patterns(cleaning.bots)
    author = pl.col("author").str.to_lowercase()
    holds = author.str.contains(names) | pl.col("text").str.contains(texts)
    return frame.select(first_of(("bot", holds))).to_series()


@cache
def patterns(more: tuple[str, ...]) -> tuple[str, str]:
    """Return two regular expressions: of names of accounts in lower case, and of texts.

    `more` are lines as in `bots.txt`. Raises UsageError for an expression that cannot be read.
    """
    lines = [*_listed(), *more]
    names = [fnmatch.translate(line.lower()) for line in lines if not line.startswith(_IN_TEXTS)]
    texts = [line.removeprefix(_IN_TEXTS) for line in lines if line.startswith(_IN_TEXTS)]
    for text in texts:
        try:
            pl.Series([""]).str.contains(text)
        except pl.exceptions.ComputeError as error:
            raise UsageError(
                f"The list of bots has an expression that cannot be read: {text!r:.80}.",
                "Write it as Rust's regular expressions are, without look-around and back references.",
            ) from error
    return "|".join(map(_rust, names)), "|".join(f"(?:{text})" for text in texts)


def _rust(pattern: str) -> str:
    """A pattern of `fnmatch` as Rust's engine reads it: anchored by ^ and $."""
    inner = re.sub(r"\\(?=[-_@ ])", "", pattern.removeprefix("(?s:").removesuffix(r")\Z"))
    return f"^(?:{inner})$"


@cache
def _listed() -> tuple[str, ...]:
    lines = (Path(__file__).parent / "bots.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


BOTS = Filter(("drop_bots", "bots"), ("post", "answer"), _reasons)
