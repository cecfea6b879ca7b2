"""The rows of an export, read once and row group by row group: texts, sides, splits, baselines, lengths, tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from shp_miner.checking.baselines import Baseline, Baselines, thread_hashes
from shp_miner.checking.lengths import Length, Lengths, Units
from shp_miner.checking.opened import Opened
from shp_miner.checking.readings import LOADED
from shp_miner.checking.tools import Kept, Reading, Tool
from shp_miner.export.check import Balance, CheckFailedError, check_table
from shp_miner.export.sides import SIDES, sides_of
from shp_miner.mining.mine import SAME_TEXT
from shp_miner.rules.hashing import SPLITS
from shp_miner.tally import Tally

#: The column of rows that have one answer and say whether it is wanted.
_LABEL = "label"


class Splits:
    """Which threads are in which splits, by a hash: 9 bytes for each thread of a split, whatever its rows."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(self, thread: pl.Series, split: str) -> None:
        """Note the threads of some rows."""
        number = pl.lit(SPLITS.index(split), pl.UInt8)
        self._parts.append(pl.DataFrame({"thread": thread}).unique().with_columns(split=number))
        if len(self._parts) > 64:
            self._parts = [self._together()]

    def count(self) -> int:
        """Return how many threads there are."""
        return self._together()["thread"].n_unique() if self._parts else 0

    def straddling(self) -> int:
        """Return how many threads are in more than one split."""
        if not self._parts:
            return 0
        return int((self._together().group_by("thread").len()["len"] > 1).sum())

    def _together(self) -> pl.DataFrame:
        return pl.concat(self._parts).unique()


class FormatFindings(Struct):
    """What the rows of one export say. `problems` count what is wrong, by sentence.

    `first_share` is the share of pairs whose first side is the preferred one, where sides are drawn by chance;
    `label_share` that of true labels, where rows have one answer and a label.
    """

    format: str
    rows: int
    threads: int
    thread_by: str
    straddling: int
    questions_straddling: int
    first_share: float | None
    label_share: float | None
    equal_answers: int
    problems: dict[str, int]
    baselines: list[Baseline]
    lengths: list[Length]
    tools: list[Kept]


class Rows:
    """The pass over the rows of one export."""

    def __init__(
        self, export: Opened, readings: list[Reading], units: Units, limits: Sequence[int], most: int | None
    ) -> None:
        self._export = export
        self._balance = Balance()
        self._problems: Counter[str] = Counter()
        self._wanted = self._labels = 0
        self._threads, self._questions = Splits(), Splits()
        self._baselines = Baselines()
        self._lengths = Lengths(units, limits)
        self._tools = [Tool(reading, most, units.name) for reading in readings]

    def add(self, table: pa.Table, split: str, path: str) -> None:
        """Check a row group of the file at `path`."""
        form = self._export.form
        try:
            self._balance.add(check_table(form, table))
        except CheckFailedError as error:
            self._problems[f"{error.message} ({path})"] += 1
            return
        if _LABEL in table.column_names:
            self._labels += table.num_rows
            self._wanted += int(pc.sum(table[_LABEL]).as_py() or 0)
        frame = sides_of(form.name, table)
        threads = thread_hashes(frame)
        self._threads.add(threads, split)
        self._questions.add(frame["question"].hash(), split)
        self._baselines.add(frame, threads)
        lengths = self._lengths.add(frame)
        if self._tools:
            rows = _loaded(table)
            questions = frame["question"].to_list()
            for tool in self._tools:
                tool.add(rows, questions, lengths)

    def found(self) -> FormatFindings:
        """Return what the rows say, after the last of them."""
        form = self._export.form
        by_ids = SIDES[form.name].by_ids
        straddling, repeated = self._threads.straddling(), self._questions.straddling()
        if by_ids and straddling:
            self._problems[f"{straddling:,} threads of {form.name} are in more than one split (by their ids)."] += 1
        try:
            if self._balance.rows:
                self._balance.check(form, self._expected())
        except CheckFailedError as error:
            self._problems[error.message] += 1
        return FormatFindings(
            format=form.name,
            rows=self._balance.rows,
            threads=self._threads.count(),
            thread_by="ids" if by_ids else "question",
            straddling=straddling if by_ids else 0,
            questions_straddling=repeated,
            first_share=_share(self._balance.first, self._balance.rows if form.balance else 0),
            label_share=_share(self._wanted, self._labels),
            equal_answers=self._balance.same,
            problems=dict(self._problems),
            baselines=self._baselines.results(),
            lengths=self._lengths.results,
            tools=[tool.kept for tool in self._tools],
        )

    def _expected(self) -> Tally:
        """The pairs of equal answers that the export counted when it was made."""
        changed: Any = self._export.manifest["counts"].get("changed")
        pairs = changed.get("pair") if isinstance(changed, dict) else None
        same = pairs.get(SAME_TEXT, 0) if isinstance(pairs, dict) else 0
        tally = Tally()
        tally.note("pair", SAME_TEXT, same if isinstance(same, int) else 0)
        return tally


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _loaded(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as a trainer gets them, with the columns that a loader may look at."""
    names = [name for name in table.column_names if name in LOADED]
    if not names:
        return [{} for _ in range(table.num_rows)]
    return table.select(names).to_pylist()
