"""Counts of pairs, of an export's rows or of a store. They grow with the bins and the threads, not with the pairs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from shp_miner.checking.baselines import Agreement, Baseline, Baselines
from shp_miner.checking.rows import Splits
from shp_miner.report import bins
from shp_miner.report.bins import Bins, counted, months_of

#: What `PairCounts.add` takes: `thread` (a hash), `community`, `split`, and of these what is known. Lengths are in
#: characters, times are UTC; seconds, ratio, confidence, tier and better_is_first are as in `export.sides`.
#: `label` says of rows with one answer whether it is wanted.
COLUMNS = (
    "better_chars", "worse_chars", "better_at", "worse_at", "better_read_at", "worse_read_at", "seconds", "ratio",
    "confidence", "tier", "better_is_first", "label",
)  # fmt: skip

RATIO = Bins(bins.RATIOS)
APART = Bins(bins.APART_S, bins.duration)
CHARS = Bins(bins.CHARS, "{:,.0f}".format)
GAP = Bins(bins.GAPS)
CONFIDENCE = Bins(bins.CONFIDENCES, "{:.2f}".format)


class PairCounts:
    """What the figures on pairs need. Add rows, then read the counts; each is empty where no row says anything of it.

    months: pairs by community and month of the later answer. ratio, apart: by bin; apart also by whether the preferred
    answer is the later one. age: readings of scores by bin. better, worse: answers by bin of length. gap: how often the
    longer answer wins, by how many times as long it is. confidence: by bin and tier. first, labels: how often the first
    side wins, or a label is true, by split. rows, threads: by split. by_community: rows.
    """

    def __init__(self, gate_s: float) -> None:
        self.age_bins = Bins(sorted({*bins.AGES_S, gate_s} - {0.0}), bins.duration)
        self.rows: Counter[str] = Counter()
        self.by_community: Counter[str] = Counter()
        self.months: Counter[tuple[str, int]] = Counter()
        self.ratio: Counter[int] = Counter()
        self.apart: Counter[tuple[int, bool]] = Counter()
        self.age: Counter[int] = Counter()
        self.better: Counter[int] = Counter()
        self.worse: Counter[int] = Counter()
        self.confidence: Counter[tuple[int, str]] = Counter()
        self.no_ratio = 0
        self._threads: dict[str, Splits] = {}
        self._gap = [Agreement(label) for label in GAP.labels]
        self._first: dict[str, Agreement] = {}
        self._labels: dict[str, Agreement] = {}
        self._baselines = Baselines()

    def add(self, frame: pl.DataFrame) -> None:
        """Count some rows; see COLUMNS."""
        if frame.is_empty():
            return
        self.rows.update(dict(frame["split"].value_counts().iter_rows()))
        self.by_community.update(dict(frame["community"].value_counts().iter_rows()))
        for (split,), part in frame.group_by("split"):
            self._threads.setdefault(str(split), Splits()).add(part["thread"], str(split))
            for column, held in (("better_is_first", self._first), ("label", self._labels)):
                if column in part.columns:
                    held.setdefault(str(split), Agreement(str(split))).add(part["thread"], part[column])
        self._add_times(frame)
        self._add_lengths(frame)
        if "ratio" in frame.columns:
            numbers = RATIO.of(frame["ratio"])
            self.ratio += counted(numbers)
            self.no_ratio += numbers.null_count()
        if "confidence" in frame.columns:
            sure = frame.select("tier", number=CONFIDENCE.of(frame["confidence"])).drop_nulls()
            self.confidence.update({(number, tier): n for number, tier, n in _groups(sure, "number", "tier")})
        self._baselines.add(frame, frame["thread"])

    def _add_times(self, frame: pl.DataFrame) -> None:
        if "better_at" in frame.columns:
            later = frame.select("community", month=months_of(pl.max_horizontal("better_at", "worse_at"))).drop_nulls()
            self.months.update({(name, month): n for name, month, n in _groups(later, "community", "month")})
        if "seconds" in frame.columns:
            sides = frame.select(number=APART.of(frame["seconds"].abs()), later=pl.col("seconds") > 0).drop_nulls()
            self.apart.update({(number, later): n for number, later, n in _groups(sides, "number", "later")})
        if "better_read_at" in frame.columns:
            for side in ("better", "worse"):
                age = pl.col(f"{side}_read_at") - pl.col(f"{side}_at")
                self.age += counted(self.age_bins.of(frame.select(age.dt.total_seconds()).to_series()))

    def _add_lengths(self, frame: pl.DataFrame) -> None:
        if "better_chars" not in frame.columns:
            return
        self.better += counted(CHARS.of(frame["better_chars"]))
        self.worse += counted(CHARS.of(frame["worse_chars"]))
        low, high = pl.min_horizontal("better_chars", "worse_chars"), pl.max_horizontal("better_chars", "worse_chars")
        unequal = frame.filter(pl.col("better_chars") != pl.col("worse_chars"))
        unequal = unequal.select("thread", times=high / low, wins=pl.col("better_chars") > pl.col("worse_chars"))
        unequal = unequal.with_columns(number=GAP.of(unequal["times"]))
        for (number,), part in unequal.group_by("number"):
            self._gap[int(str(number))].add(part["thread"], part["wins"])

    @property
    def pairs(self) -> int:
        """Return the number of rows."""
        return self.rows.total()

    def threads(self) -> dict[str, int]:
        """Return the number of threads of each split."""
        return {split: threads.count() for split, threads in self._threads.items()}

    def baselines(self) -> list[Baseline]:
        """Return how often rules of thumb agree."""
        return self._baselines.results()

    def longer_wins(self) -> list[Baseline]:
        """Return how often the longer answer wins, by how many times as long it is."""
        return [found for gap in self._gap if (found := gap.result()) is not None]

    def first_wins(self) -> list[Baseline]:
        """Return how often the first side is preferred, by split."""
        return [found for held in self._first.values() if (found := held.result()) is not None]

    def true_labels(self) -> list[Baseline]:
        """Return the share of true labels, by split."""
        return [found for held in self._labels.values() if (found := held.result()) is not None]


def _groups(frame: pl.DataFrame, *names: str) -> list[tuple[Any, Any, int]]:
    return [(one, other, count) for one, other, count in frame.group_by(*names).len().iter_rows()]
