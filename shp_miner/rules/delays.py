"""How long after their post answers arrive: exact counts on a fixed grid, which add up over ranges and machines."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

#: A community is known by both: two sites may have one of the same name.
COMMUNITY = ("site", "community")

#: A shorter delay counts as this; half a minute is what a page takes to be seen at all.
SHORTEST_S = 36

#: Sixteen cells to each doubling of the delay: a cell is 4 % wide, and 28 doublings reach beyond three centuries.
CELLS_PER_DOUBLING = 16
_CELLS = 28 * CELLS_PER_DOUBLING

#: Where each cell begins, in microseconds. Whole numbers, so that a delay lies in the same cell on every machine.
CELL_STARTS_US: npt.NDArray[np.int64] = np.array(
    [round(SHORTEST_S * 1e6 * 2 ** (cell / CELLS_PER_DOUBLING)) for cell in range(_CELLS)], np.int64
)

#: The share of answers that still arrive is never taken to be smaller: ln 0.003 bounds what a late answer is forgiven.
LEAST_SHARE = 0.003


def delay_cells(delay_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """The cell of each delay (microseconds after the post)."""
    cells: npt.NDArray[np.int16] = np.searchsorted(CELL_STARTS_US, delay_us, side="right").astype(np.int16) - 1
    return np.maximum(cells, 0)


def count_delays(answers: pl.DataFrame) -> pl.DataFrame:
    """Answers (Int64) by `site`, `community` and `cell`, of a frame with these columns."""
    return answers.group_by(*COMMUNITY, "cell").agg(pl.len().cast(pl.Int64).alias("answers"))


def merge_delays(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """The counts of several ranges as one, in a fixed order."""
    return pl.concat(parts).group_by(*COMMUNITY, "cell").agg(pl.col("answers").sum()).sort(*COMMUNITY, "cell")


def log_shares(counts: pl.DataFrame) -> pl.DataFrame:
    """`log_share` (Float64) by `site`, `community` and `cell`: ln S, S the share of answers that arrive later.

    S = 1 - (rank - 1/2) / N with the middle rank of the cell, not below LEAST_SHARE.
    """
    ordered = counts.sort(*COMMUNITY, "cell")
    number = pl.col("answers")
    before = (number.cum_sum() - number).over(*COMMUNITY)
    share = 1 - (before + number / 2) / number.sum().over(*COMMUNITY)
    log = pl.max_horizontal(share.log(), pl.lit(math.log(LEAST_SHARE)))
    return ordered.select(*COMMUNITY, "cell", log.alias("log_share"))
