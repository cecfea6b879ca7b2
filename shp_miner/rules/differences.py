"""How far apart the two answers of a pair are, in time and by score."""

from __future__ import annotations

import polars as pl

from shp_miner.rules.age import known_time
from shp_miner.rules.eligibility import of_platform


def pair_differences(winner: pl.DataFrame, loser: pl.DataFrame) -> dict[str, pl.Series]:
    """Seconds from the loser to the winner, and winner's score / loser's score (null if that is not positive).

    The seconds are null where a time is not known, the ratio where scores do not count votes. Both sides have `score`,
    `created_at` and `platform`.
    """
    votes = pl.when(of_platform("scores_are_votes")).then(pl.col("score"))
    won, lost = (side.select(votes, known_time()) for side in (winner, loser))
    scores = pl.DataFrame({"winner": won["score"], "loser": lost["score"]})
    ratio = scores.select(pl.when(pl.col("loser") > 0).then(pl.col("winner") / pl.col("loser"))).to_series()
    seconds = (won["created_at"] - lost["created_at"]).dt.total_microseconds() / 1e6
    return {"seconds_difference": seconds, "score_ratio": ratio}
