"""The pairs of tables of posts and answers, without a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.errors import UsageError
from shp_miner.model import PAIR
from shp_miner.rules.age import at_age, known_time
from shp_miner.rules.calibrated import calibrate, with_theta
from shp_miner.rules.differences import pair_differences
from shp_miner.rules.eligibility import HELPERS, REASON, THREAD
from shp_miner.rules.frames import both, readings
from shp_miner.rules.pairs import ANSWER_KEY, form_pairs, sample_pairs
from shp_miner.rules.presets import Rule, as_rule
from shp_miner.tally import Tally

if TYPE_CHECKING:
    from shp_miner.frames import AnyFrame

#: What decides about the pairs of an answer once it is judged.
_DECIDE = ("platform", "community", "created_at", "observed_at", "score", "accepted", "accepted_at", "reads", "upvotes")


def make_pairs(
    posts: AnyFrame, answers: AnyFrame, rule: str | Rule = "shp", *, observations: AnyFrame | None = None
) -> pa.Table:
    """Return the preferences (PAIR) that a rule makes of posts and answers, one row per item, without a store.

    The tables are of polars, pandas or Arrow: POST and ANSWER, or frames with `post_id`, `created_at`, `score` and
    `observed_at`, and `answer_id` for answers; other columns of POST and ANSWER are used where they are given. Answers
    take `site`, `community`, `platform` and `observed_at` from their post if they lack them. Exports make the same
    pairs; they also read the texts, and drop a pair that lacks one. A rule with `observe_at_s` needs `observations`:
    `post_id`, `answer_id`, `observed_at` and `score`, any number of rows per answer. Raises BadInput that names a
    missing or wrong column, and UsageError for an unknown rule.
    """
    rule = as_rule(rule)
    asked, found = both(posts, answers, rule)
    if rule.observe_at_s is not None:
        if observations is None:
            raise UsageError("The rule takes scores at an age, so it needs observations.", "Pass observations=.")
        found = at_age(found, readings(observations, found), ANSWER_KEY, rule.observe_at_s)
    judged = judge_answers(found, judge_posts(asked, rule), rule)
    judged = judged.select(*ANSWER_KEY, *_DECIDE, *HELPERS, REASON)
    tally = Tally()
    eligible = with_theta(judged, calibrate(judged, rule)).filter(pl.col(REASON).is_null())
    pairs = sample_pairs(form_pairs(eligible, rule, tally), rule, tally)
    winner, loser = pairs.answers[pairs.winner], pairs.answers[pairs.loser]
    table = pl.DataFrame(
        {
            **{name: winner[name] for name in THREAD},
            "winner_id": winner["answer_id"],
            "loser_id": loser["answer_id"],
            "winner_score": winner["score"],
            "loser_score": loser["score"],
            "winner_created_at": winner.select(known_time()).to_series(),
            "loser_created_at": loser.select(known_time()).to_series(),
            **pair_differences(winner, loser),
            **pairs.worth(),
            "pair_hash": pairs.pair_hash,
        }
    )
    return table.sort(*THREAD, "winner_created_at", "winner_id", "loser_id").select(PAIR.names).to_arrow().cast(PAIR)
