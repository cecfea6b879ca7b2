"""Votes by the order of arrival, beside those that the fit expects: exact sums, which add up over ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

#: The first rank of each bin of the order of arrival: 1, 2, 3 to 4, 5 to 8, and so on; the last bin is open.
FIRST_RANKS = (1, 2, 3, 5, 9, 17, 33, 65, 129)

#: Sums are kept in whole multiples of this (2^-24): then their order cannot matter.
_QUANTUM = 2.0**-24

#: Decimals of the means in a manifest.
_DECIMALS = 6


def _zeros() -> list[int]:
    return [0] * len(FIRST_RANKS)


class Arrival(Struct):
    """Sums over the answers of each bin of FIRST_RANKS: their number, their log votes, and what the fit expects.

    Both are held against the mean of the thread and counted in multiples of 2^-24. Threads with one answer say nothing,
    and do not count.
    """

    answers: list[int] = field(default_factory=_zeros)
    votes: list[int] = field(default_factory=_zeros)
    fitted: list[int] = field(default_factory=_zeros)

    def add(
        self, rank: npt.NDArray[np.float64], votes: npt.NDArray[np.float64], fitted: npt.NDArray[np.float64]
    ) -> None:
        """Count some answers: the rank by arrival of each, and its log votes and fitted ones less the thread's mean."""
        place = np.searchsorted(FIRST_RANKS, rank, side="right") - 1
        for number in range(len(FIRST_RANKS)):
            mine = place == number
            self.answers[number] += int(mine.sum())
            self.votes[number] += _total(votes[mine])
            self.fitted[number] += _total(fitted[mine])

    def merge(self, other: Arrival) -> None:
        """Add the sums of `other`."""
        for mine, theirs in (
            (self.answers, other.answers),
            (self.votes, other.votes),
            (self.fitted, other.fitted),
        ):
            mine[:] = [one + more for one, more in zip(mine, theirs, strict=True)]

    def data(self) -> list[dict[str, Any]]:
        """Return the bins that have answers as plain data: `from_rank`, `answers`, and the means of both."""
        return [
            {
                "from_rank": rank,
                "answers": count,
                "log_votes": round(votes * _QUANTUM / count, _DECIMALS),
                "fitted": round(fitted * _QUANTUM / count, _DECIMALS),
            }
            for rank, count, votes, fitted in zip(FIRST_RANKS, self.answers, self.votes, self.fitted, strict=True)
            if count
        ]


def _total(values: npt.NDArray[np.float64]) -> int:
    return int(np.rint(values / _QUANTUM).astype(np.int64).sum())
