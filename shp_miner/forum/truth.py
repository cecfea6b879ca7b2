"""How often a rule's winners really are the better answers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa


def accuracy(pairs: pa.Table, truth: Mapping[tuple[str, str], float]) -> float:
    """Share of pairs whose winner has the higher quality; NaN for no pairs.

    `pairs` needs the columns post_id, winner_id and loser_id of PAIR; `truth` is quality by (post_id, answer_id).
    Raises KeyError for a pair of answers that the truth does not know.
    """
    if not len(pairs):
        return math.nan
    rows = pairs.select(["post_id", "winner_id", "loser_id"]).to_pylist()
    better = [truth[row["post_id"], row["winner_id"]] > truth[row["post_id"], row["loser_id"]] for row in rows]
    return float(np.mean(better))
