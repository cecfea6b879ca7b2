"""Pairs that are longer than a trainer's limit, and pairs whose two sides are equal up to that limit.

A trainer that cuts texts sees only the beginning of a question and its answer. If both answers begin alike, or if the
question fills the limit, the two sides are equal for that trainer, and it learns nothing from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from msgspec import Struct

from shp_miner.errors import BadInput, UsageError

#: Limits that are looked at if none is given.
LIMITS = (512, 1024, 2048)

_WORD = re.compile(r"\S+")

WORDS, TOKENS = "words", "tokens"

#: Tokens that a tokenizer may put before a text that has none for them.
_EXTRA = 8


class Length(Struct):
    """Pairs at one limit: `longer` have a side of more units (question and answer), `equal` sides that are equal in it.

    `unit` is "words" (parts between spaces) or "tokens" of the tokenizer that was given.
    """

    limit: int
    unit: str
    longer: int = 0
    equal: int = 0


class RowLength(NamedTuple):
    """The units of a row: of its question, and of its question and the longer answer. 0 if certainly below a limit."""

    question: int = 0
    longest: int = 0


class Units:
    """Texts as sequences of units: words, or the tokens of a tokenizer file."""

    def __init__(self, tokenizer: Path | None = None) -> None:
        """Open the tokenizer, if one is given.

        Raises UsageError without the library `tokenizers`, and BadInput for a file of another kind.
        """
        self.name = WORDS if tokenizer is None else TOKENS
        self._encode = _words if tokenizer is None else _opened(tokenizer)

    def of(self, texts: pl.Series) -> list[Sequence[Any]]:
        """Return the units of each text. A text that repeats is split once."""
        once = texts.unique(maintain_order=True)
        known = dict(zip(once.to_list(), self._encode(once.to_list()), strict=True))
        return [known[text] for text in texts.to_list()]


def _words(texts: list[str]) -> list[Sequence[Any]]:
    return [_WORD.findall(text) for text in texts]


def _opened(path: Path) -> Callable[[list[str]], list[Sequence[Any]]]:
    try:
        library = import_module("tokenizers")  # of the extra `train`; only for those who ask for it
    except ImportError as error:
        raise UsageError(
            "--tokenizer needs the library tokenizers, which is not installed.",
            "Install the extra `train`: pip install 'shp-miner[train]'. Without --tokenizer, words are counted.",
        ) from error
    if not path.is_file():
        raise BadInput(f"There is no tokenizer file {path}.", "Name a tokenizer.json of the library tokenizers.")
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise BadInput(
            f"{path} is not a file of the library tokenizers: {error}.", "Name the tokenizer.json of a model."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(texts: list[str]) -> list[Sequence[Any]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    return encode


class Lengths:
    """Counts of one export at some limits."""

    def __init__(self, units: Units, limits: Sequence[int]) -> None:
        self._units = units
        self.results = [Length(limit, units.name) for limit in sorted(limits)]

    def add(self, frame: pl.DataFrame) -> list[RowLength]:
        """Count the rows of `sides_of`, if they have two answers, and return the length of each row."""
        lengths = [RowLength()] * frame.height
        if "better" not in frame.columns or not self.results:
            return lengths
        least = self.results[0].limit
        # No text has more words than bytes, nor more tokens than bytes and a few: most rows are known to be short.
        size = pl.col("question").str.len_bytes() + pl.max_horizontal(
            *(pl.col(c).str.len_bytes() for c in ("better", "worse"))
        )
        rows = frame.with_row_index("row").filter(size + _EXTRA > least)
        asked, better, worse = (self._units.of(rows[column]) for column in ("question", "better", "worse"))
        for row, question, one, other in zip(rows["row"].to_list(), asked, better, worse, strict=True):
            lengths[row] = RowLength(len(question), len(question) + max(len(one), len(other)))
            for result in self.results:
                if lengths[row].longest <= result.limit:
                    break
                result.longer += 1
                left = result.limit - len(question)
                result.equal += left <= 0 or one[:left] == other[:left]
        return lengths
