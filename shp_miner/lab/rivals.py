"""Rivals of the presets: WorldPM's pairs, CVA's order, and what the second tower of a two-tower model sees.

They are for comparison in the lab alone; no command exports them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.lab.cva import NEAREST, fit_quality, voting_contexts
from shp_miner.lab.threads import KEY, Threads
from shp_miner.rules.hashing import answer_hashes, pair_hashes, sample_keys
from shp_miner.rules.presets import Rule

Floats = npt.NDArray[np.float64]

#: Pairs of unequal net votes, whatever the scores and the order: what rivals choose among.
ANY = Rule(name="any", order="any", floors=False, confounded=True)

_THREAD = KEY[:3]

#: Where the knots of a spline stand, as shares of the values (Harrell 2015, Regression Modeling Strategies, 2.4.6).
_KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)


def worldpm_pairs(any_pairs: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Of pairs of unequal net votes, random ones: each answer is in one pair at most.

    After Wang et al. 2025 (WorldPM: Scaling Human Preference Modeling), who draw two responses to a post at random and
    prefer the one with more net votes. How many pairs a post gives is not said there.
    """
    key = sample_keys(any_pairs["pair_hash"].to_numpy(), seed)
    order = np.lexsort((key, any_pairs["thread_hash"].to_numpy()))
    taken: set[tuple[str, str, str]] = set()
    kept = []
    ids = any_pairs.select("site", "post_id", "winner_id", "loser_id").rows()
    for row in order.tolist():
        site, post, winner, loser = ids[row]
        if (site, post, winner) not in taken and (site, post, loser) not in taken:
            taken |= {(site, post, winner), (site, post, loser)}
            kept.append(row)
    return any_pairs[sorted(kept)]


def cva_pairs(threads: Threads, any_pairs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[float, float]] | None:
    """Pairs ordered by CVA's quality, as far as the store has votes over time: KEY[:3], ids and `pair_hash`.

    `any_pairs` (of ANY) say which answers may be in pairs. Also CVA's weights of position and of earlier votes. None
    where no answer was read more than once with its up- and down-votes apart.
    """
    columns = [*KEY, "created_at", "observed_at", "upvotes", "downvotes"]
    rows = threads.snapshot.scan("answers", threads.part).filter(pl.col("state") == "live").select(columns)
    readings = rows.drop_nulls().collect().join(threads.answers, on=KEY, how="semi").sort(*KEY, "observed_at")
    if not readings.select(pl.struct(KEY).is_duplicated()).to_series().any():
        return None
    contexts = voting_contexts(readings)
    if contexts.is_empty():
        return None
    quality, weights = fit_quality(contexts)
    return _all_pairs(any_pairs, quality), weights


def _all_pairs(eligible_pairs: pl.DataFrame, quality: pl.DataFrame) -> pl.DataFrame:
    """Every two answers of a thread that are in some pair and whose qualities differ, the better one first."""
    sides = [eligible_pairs.select(*_THREAD, answer_id=f"{of}_id") for of in ("winner", "loser")]
    known = pl.concat(sides).unique().join(quality, on=KEY).sort(*KEY)
    known = known.with_columns(hash=pl.Series(answer_hashes(known), dtype=pl.UInt64))
    both = known.join(known, on=_THREAD, suffix="_other", maintain_order="left_right")
    found = both.filter(pl.col("quality") > pl.col("quality_other") + NEAREST)
    hashed = pair_hashes(found["hash"].to_numpy(), found["hash_other"].to_numpy())
    named = found.select(*_THREAD, winner_id="answer_id", loser_id="answer_id_other")
    return named.with_columns(pair_hash=pl.Series(hashed, dtype=pl.UInt64))


def spline(x: Floats) -> Floats:
    """A restricted cubic spline's columns: x itself and three more, straight beyond the outer knots (Harrell 2015)."""
    knots = np.unique(np.quantile(x, _KNOTS)) if len(x) else np.zeros(0)
    if len(knots) < 3:
        return x[:, None]
    first, almost, last = knots[0], knots[-2], knots[-1]

    def cube(knot: float) -> Floats:
        above: Floats = np.maximum(x - knot, 0) ** 3
        return above

    columns = [x]
    for knot in knots[:-2]:
        tail = cube(almost) * (last - knot) / (last - almost) - cube(last) * (almost - knot) / (last - almost)
        columns.append((cube(knot) - tail) / (last - first) ** 2)
    return np.stack(columns, axis=1)


def second_tower(log_rank: Floats, log_delay: Floats, log_size: Floats) -> Floats:
    """What the attention's tower sees of each answer: splines of rank and delay, each alone and times thread size.

    Columns have a spread of 1. Of two answers of a thread the difference counts, so size alone would say nothing.
    """
    alone = np.concatenate([spline(log_rank), spline(log_delay)], axis=1)
    columns = np.concatenate([alone, alone * (log_size - log_size.mean())[:, None]], axis=1)
    spread = columns.std(axis=0)
    result: Floats = columns / np.where(spread > 0, spread, 1)
    return result
