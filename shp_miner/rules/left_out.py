"""Pairs that are left out, with the reason: for people who want to see them, not only how many there are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.rules.eligibility import REASON, THREAD

#: The columns of a pair that is left out.
COLUMNS = (*THREAD, "winner_id", "loser_id", REASON)


@dataclass
class LeftOutPairs:
    """Collects the pairs that are left out; each has the names in COLUMNS."""

    frames: list[pl.DataFrame] = field(default_factory=list)

    def add(
        self,
        answers: pl.DataFrame,
        winner: npt.NDArray[np.int64],
        loser: npt.NDArray[np.int64],
        reason: str | pl.Series,
    ) -> None:
        """Add pairs, as rows of `answers`, that are left out for one reason or for one each."""
        if not len(winner):
            return
        sides = answers[winner].select(*THREAD, winner_id="answer_id")
        given = pl.lit(reason) if isinstance(reason, str) else reason
        self.frames.append(
            sides.with_columns(answers["answer_id"][loser].alias("loser_id"), given.alias(REASON)).select(COLUMNS)
        )

    def frame(self) -> pl.DataFrame | None:
        """Return all of them, by thread and answers; None if there are none."""
        if not self.frames:
            return None
        return pl.concat(self.frames).sort(*THREAD, "winner_id", "loser_id")
