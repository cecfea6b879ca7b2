"""Counts of a store's readings of scores: how old answers were, how often they were read, and in which months."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import polars as pl

from shp_miner.report import bins
from shp_miner.report.bins import Bins, counted, months_of
from shp_miner.rules.age import is_dated, score_age_s
from shp_miner.rules.presets import DAY_S
from shp_miner.store import Snapshot

#: The most readings that are told apart; more are one bin.
MOST_READINGS = 5

_ANSWER = ("thread_hash", "site", "post_id", "answer_id")


class ReadingCounts:
    """What the figures on a store's readings need. They grow with the bins, not with the answers.

    answers: by community and month of writing; early: those of them whose newest score was read within a day.
    newest, earlier: readings by bin of age. times: answers by how often they were read, at most MOST_READINGS.
    unknown: answers with no reading of a known time.
    """

    def __init__(self, gate_s: float) -> None:
        self.bins = Bins(sorted({*bins.AGES_S, gate_s} - {0.0}), bins.duration)
        self.answers: Counter[tuple[str, int]] = Counter()
        self.early: Counter[tuple[str, int]] = Counter()
        self.newest: Counter[int] = Counter()
        self.earlier: Counter[int] = Counter()
        self.times: Counter[int] = Counter()
        self.unknown = 0

    def add(self, readings: pl.DataFrame) -> None:
        """Count the readings of complete threads: key, community, created_at and observed_at of each."""
        if readings.is_empty():
            return
        known = readings.unique([*_ANSWER, "observed_at"], keep="any")
        newest = pl.col("observed_at").max()
        answers = known.group_by(_ANSWER).agg(
            pl.col("community").first(),
            pl.col("created_at").max(),
            newest,
            pl.col("observed_at").drop_nulls().len().clip(upper_bound=MOST_READINGS).alias("times"),
        )
        self.unknown += int((answers["times"] == 0).sum())
        self.times += counted(answers["times"].filter(answers["times"] > 0))
        months = (
            answers.filter(is_dated())
            .group_by("community", months_of(pl.col("created_at")).alias("month"))
            .agg(pl.len().alias("answers"), (score_age_s() < DAY_S).sum().alias("early"))
        )
        for community, month, count, early in months.iter_rows():
            self.answers[community, month] += count
            if early:
                self.early[community, month] += early
        aged = known.drop_nulls("observed_at").with_columns(last=pl.col("observed_at") == newest.over(_ANSWER))
        ages = aged.select("last", age=score_age_s())
        for (last,), part in ages.group_by("last"):
            (self.newest if last else self.earlier).update(counted(self.bins.of(part["age"])))


def count_readings(
    snapshot: Snapshot, gate_s: float, advance: Callable[[int, int], None] | None = None
) -> ReadingCounts:
    """Return the counts of a store's answers that are not deleted, read a range of threads at a time.

    `advance(done, total)` is called with ranges.
    """
    counts = ReadingCounts(gate_s)
    ranges = snapshot.ranges()
    for number, part in enumerate(ranges, 1):
        rows = snapshot.scan("answers", part).filter(pl.col("state") == "live", pl.col("score").is_not_null())
        counts.add(rows.select(*_ANSWER, "community", "created_at", "observed_at").collect())
        if advance is not None:
            advance(number, len(ranges))
    return counts
