"""The asker's choice as a label: an accepted answer wins over the answers that were there to choose from.

An asker chooses once and early. Of answers that came later the choice says nothing, so none loses by it. Where the date
of the choice is known, an answer was there if it was written by then. Otherwise only an answer that is not younger than
the accepted one was there for sure. docs/rules.md says how often early answers are accepted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.model import NO_TIME_US
from shp_miner.rules.presets import Rule

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Later than every answer.
_END = np.iinfo(np.int64).max


class Choices:
    """What the askers' choices say of pairs of answers, given as rows of `answers` (ANSWER, eligible rows only)."""

    def __init__(self, answers: pl.DataFrame, rule: Rule) -> None:
        self._accepted = answers["accepted"].to_numpy()
        self._written = answers["created_at"].to_physical().to_numpy()
        # A date without a time is the start of the day: an answer of that day that was accepted on it is younger.
        made = answers["accepted_at"].to_physical()
        unknown = self._written if rule.accepted_over == "existing" else np.full(len(self._written), _END)
        known = made.is_not_null().to_numpy()
        self._dated, self._undated = known, self._written == NO_TIME_US
        self._until = np.where(known, np.maximum(made.fill_null(0).to_numpy(), self._written), unknown)

    def only_one(self, a: Index, b: Index) -> Mask:
        """Where one of the two is accepted, and the other is not."""
        result: Mask = self._accepted[a] != self._accepted[b]
        return result

    def too_late(self, a: Index, b: Index) -> Mask:
        """Where one of the two is accepted, and the other may have been written after the choice."""
        chosen, other = np.where(self._accepted[a], a, b), np.where(self._accepted[a], b, a)
        late = (self._written[other] > self._until[chosen]) | (self._undated[other] & self._dated[chosen])
        result: Mask = self.only_one(a, b) & late
        return result

    def prefers(self, a: Index, b: Index) -> Mask:
        """Where the asker accepted `a`, and `b` was there to choose."""
        result: Mask = self._accepted[a] & self.only_one(a, b) & ~self.too_late(a, b)
        return result
