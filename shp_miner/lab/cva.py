"""CVA: quality from votes, each modelled by the rank that an answer was shown at and the votes that it had by then.

After Liu, Wang and Lee 2025 (Counterfactual Voting Adjustment for Quality Assessment and Fairer Voting in Online
Platforms with Helpfulness Evaluation, ICML): whether a vote is an up-vote has the log-odds

    q_i + a / (1 + rank shown) + b (share of up-votes so far - 1/2) + c

and q_i is what the answer is worth with position and earlier votes taken off. A store has no single votes: those
between two readings stand in the context of the first of them. The rank is that by score, the older first among equals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.lab.threads import KEY

Floats = npt.NDArray[np.float64]

#: The spread of quality in log-odds (assumption), and that of a and b, about which little is assumed.
_SPREAD, _WIDE = 1.0, 10.0

_STEPS_MAX = 500

#: Qualities nearer than this are the same: the descent ends somewhere about the minimum.
NEAREST = 1e-3

_WHEN = "observed_at"


def voting_contexts(readings: pl.DataFrame) -> pl.DataFrame:
    """The votes between readings with their contexts: KEY, `ups`, `downs`, `rank` shown, `share` of up-votes so far.

    `readings`: KEY, created_at, observed_at, upvotes and downvotes, any number for each answer. Before its first
    reading an answer begins without votes. Only readings with both counts are used; a vote taken back counts nowhere.
    """
    known = readings.select(*KEY, "created_at", _WHEN, "upvotes", "downvotes").drop_nulls()
    known = known.sort(*KEY, _WHEN).unique([*KEY, _WHEN], keep="last", maintain_order=True)
    before = {"was_up": "upvotes", "was_down": "downvotes"}
    steps = known.with_columns(
        pl.col(_WHEN).shift(1).over(KEY).fill_null(pl.col("created_at")).alias("since"),
        *(pl.col(name).shift(1).over(KEY).fill_null(0).alias(new) for new, name in before.items()),
    )
    steps = steps.with_columns(
        ups=(pl.col("upvotes") - pl.col("was_up")).clip(0),
        downs=(pl.col("downvotes") - pl.col("was_down")).clip(0),
        share=(pl.col("was_up") + 1) / (pl.col("was_up") + pl.col("was_down") + 2),
    ).filter(pl.col("ups") + pl.col("downs") > 0)
    return _with_rank(steps, known).select(*KEY, "ups", "downs", "rank", "share")


def _with_rank(steps: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add `rank`: how many answers of the thread stood above this one when the step began, itself included."""
    thread = KEY[:3]
    numbered = steps.with_row_index("step")
    own = numbered.select(
        "step", *thread, "answer_id", "since", own=pl.col("was_up") - pl.col("was_down"), own_at="created_at"
    )
    others = known.select(
        *thread, "created_at", _WHEN, other="answer_id", score=pl.col("upvotes") - pl.col("downvotes")
    )
    born = known.select(*KEY, "created_at").unique(KEY).rename({"answer_id": "other"})
    there = own.join(born, on=thread).filter(
        pl.col("other") != pl.col("answer_id"), pl.col("created_at") <= pl.col("since")
    )
    seen = there.join(others.select(*thread, "other", _WHEN, "score"), on=[*thread, "other"])
    seen = seen.filter(pl.col(_WHEN) <= pl.col("since")).sort(_WHEN).unique(["step", "other"], keep="last")
    there = there.join(seen.select("step", "other", "score"), on=["step", "other"], how="left")
    score = pl.col("score").fill_null(0)
    above = (score > pl.col("own")) | ((score == pl.col("own")) & (pl.col("created_at") < pl.col("own_at")))
    counts = there.group_by("step").agg(above=above.sum())
    joined = numbered.join(counts, on="step", how="left", maintain_order="left")
    return joined.with_columns(rank=pl.col("above").fill_null(0) + 1)


def fit_quality(contexts: pl.DataFrame) -> tuple[pl.DataFrame, tuple[float, float]]:
    """Return KEY and `quality` (log-odds) of each answer that has votes, and the weights (a, b) of position and votes.

    The most likely values under normal priors: quality around a common mean, a and b around 0.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  (the extra `lab`)

    answers = contexts.select(KEY).unique().sort(KEY).with_row_index("answer")
    rows = contexts.join(answers, on=KEY, how="left", maintain_order="left")
    of = rows["answer"].to_numpy().astype(np.int64)
    ups, downs = (rows[name].to_numpy().astype(np.float64) for name in ("ups", "downs"))
    context = np.stack([1 / (1 + rows["rank"].to_numpy()), rows["share"].to_numpy() - 0.5], axis=1)
    count = answers.height
    precision = np.concatenate([np.full(count, _SPREAD**-2), np.full(2, _WIDE**-2), [0.0]])

    def loss(at: Floats) -> tuple[float, Floats]:
        odds = at[of] + context @ at[count : count + 2] + at[-1]
        value = ups @ np.logaddexp(0, -odds) + downs @ np.logaddexp(0, odds)
        slope = (ups + downs) / (1 + np.exp(-odds)) - ups
        gradient = np.concatenate([np.bincount(of, slope, count), slope @ context, [slope.sum()]])
        return float(value + precision @ (at * at) / 2), gradient + precision * at

    start = np.zeros(count + 3)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS_MAX, "ftol": 1e-12}).x
    quality = answers.select(KEY).with_columns(quality=pl.Series(found[:count], dtype=pl.Float64))
    return quality, (float(found[count]), float(found[count + 1]))
