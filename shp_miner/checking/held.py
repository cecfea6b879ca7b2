"""Which texts of an export hold an item of an evaluation set, each beside the item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.clean.overlap import screened_words
from shp_miner.export.screens import EvaluationSets
from shp_miner.export.sides import SIDES, sides_of
from shp_miner.tally import counted

#: Words of the text that are shown before and after the place of the item.
_AROUND = 5

_QUESTION, _ANSWER = "question", "answer"


class Held(Struct, frozen=True):
    """A text that holds an item: where it is, which item, the share of its words, and both, side by side.

    item: file and line. item_text: the item as it is in the file. passage: the place in the text, in small letters and
    without marks and addresses, as texts are compared.
    """

    format: str
    split: str
    of: str
    item: str
    share: float
    item_text: str
    passage: str


class Search:
    """Looks at each text of an export once, however many rows it is in."""

    def __init__(self, sets: EvaluationSets) -> None:
        self._sets, self._screen = sets, sets.screen()
        self._seen: set[tuple[str, str, int]] = set()
        self.found: list[Held] = []

    def add(self, form: str, table: pa.Table, split: str) -> None:
        """Look at some rows of a format."""
        for of, texts in _texts(form, table):
            unique = texts.drop_nulls().unique(maintain_order=True)
            hashes = unique.hash().to_list()
            new = [row for row, number in enumerate(hashes) if (split, of, number) not in self._seen]
            self._seen |= {(split, of, number) for number in hashes}
            fresh = unique.gather(new)
            for row, item, share, offset in self._screen.hits(fresh).iter_rows():
                text, label = self._sets.texts[item], self._screen.labels[item]
                passage = _passage(fresh[row], offset, len(screened_words(pl.Series([text]))[0].split()))
                self.found.append(Held(form, split, of, label, share, text, passage))

    def problems(self) -> list[str]:
        """Return a sentence for each evaluation set of which texts hold items."""
        sets = Counter(held.item.rpartition(":")[0] for held in self.found)
        return [
            f"{counted(count, 'text')} {'holds' if count == 1 else 'hold'} an item of {name}."
            for name, count in sorted(sets.items())
        ]


def _texts(form: str, table: pa.Table) -> Iterator[tuple[str, pl.Series]]:
    """Yield the questions and the answers of some rows."""
    frame = sides_of(form, table)
    yield _QUESTION, frame["question"]
    for name in ("first", "second", "answer"):
        if name in frame.columns:
            yield _ANSWER, frame[name]
    if not SIDES[form].select("first", "answer"):  # all answers of a question are in one list
        ranked = pl.DataFrame(table.select(["answers"])).explode("answers")
        yield _ANSWER, ranked["answers"].struct.field("text")


def _passage(text: str, offset: int, length: int) -> str:
    words = screened_words(pl.Series([text]))[0].split()
    start, stop = max(offset - _AROUND, 0), offset + length + _AROUND
    before, after = "... " if start else "", " ..." if stop < len(words) else ""
    return before + " ".join(words[start:stop]) + after
