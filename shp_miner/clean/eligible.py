"""Eligible items: SHP's conditions on posts and answers, each with the reason for dropping a row.

Those that look at what a platform tells of an item are filters of this room (`ItemFilter`); the others are bounds of
the rule. They are tested in the order written; a row is counted under the first that fails.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from shp_miner.clean.asker import ASKER
from shp_miner.clean.edited import EDITED
from shp_miner.clean.gone import DELETED_AUTHOR, GONE
from shp_miner.clean.nsfw import NSFW
from shp_miner.clean.officials import BOT_ANSWER, BOT_POST, MODERATOR
from shp_miner.rules.age import age_reasons, is_dated
from shp_miner.rules.eligibility import COUNTS, REASON, THREAD, floor, of_platform, takes_choice
from shp_miner.rules.needs import needs_times, needs_votes
from shp_miner.rules.presets import Rule

#: Reasons that keep a row from pairs but not from counting: a low score, and a post that was perhaps dropped for it.
_BY_SCORE = ("score_too_low", "post_dropped")

Conditions = Iterable[tuple[str, pl.Expr]]


def judge_posts(posts: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return `posts` (POST, newest observation each) with the columns `reason` and `counts`."""
    return posts.with_columns(
        *_verdict(
            [
                ("not_text", ~pl.col("is_text") & (not rule.keep_link_posts)),
                *(one.of(rule) for one in GONE),
                ("no_title", (pl.col("title").str.strip_chars() == "") & ~of_platform("bare_posts")),
                DELETED_AUTHOR.of(rule),
                MODERATOR.of(rule),
                BOT_POST.of(rule),
                NSFW.of(rule),
                EDITED.of(rule),
                ("time_unknown", ~is_dated() & (rule.since is not None or rule.until is not None)),
                ("before_since", pl.lit(False) if rule.since is None else pl.col("created_at") < rule.since),
                ("after_until", pl.lit(False) if rule.until is None else pl.col("created_at") >= rule.until),
                ("too_long", pl.col("body_chars") > rule.max_chars),
                ("score_unknown", pl.col("score").is_null() & ~of_platform("bare_posts")),
                ("score_too_low", pl.col("score") < floor("min_post_score", rule.min_post_score, rule)),
                *age_reasons(rule),
            ]
        )
    )


def judge_answers(answers: pl.DataFrame, posts: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return `answers` (ANSWER, newest observation each) with `reason` and HELPERS; `posts` are their judged posts."""
    asked = posts.select(
        *THREAD, "author", "author_id", REASON, post_counts=COUNTS, post_created_at="created_at", post_score="score"
    )
    joined = answers.join(asked, on=THREAD, how="left", suffix="_post", maintain_order="left")
    judged = joined.with_columns(
        *_verdict(
            [
                ("post_missing", pl.col("post_counts").is_null()),
                ("time_unknown", ~is_dated() & needs_times(rule)),
                ("score_not_votes", ~of_platform("scores_are_votes") & needs_votes(rule)),
                ("post_dropped", pl.col(REASON).is_not_null()),
                *(one.of(rule) for one in GONE),
                ("empty", pl.col("body_chars") == 0),
                ("too_long", pl.col("body_chars") > rule.max_chars),
                DELETED_AUTHOR.of(rule),
                MODERATOR.of(rule),
                BOT_ANSWER.of(rule),
                ASKER.of(rule),
                ("stickied", pl.col("stickied")),
                ("score_unknown" if rule.observe_at_s is None else "not_observed_at_age", pl.col("score").is_null()),
                ("score_too_low", pl.col("score") < floor("min_answer_score", rule.min_answer_score, rule)),
                *(age_reasons(rule) if rule.observe_at_s is None else ()),
            ],
            # Attention is a matter of votes and of the delay after the post.
            also=pl.col("post_counts") & is_dated() & is_dated("post_created_at") & of_platform("scores_are_votes"),
        )
    ).drop("author_post", "author_id_post", "post_counts")
    return _over_cap(judged, rule)


def _over_cap(answers: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Drop what is not among a post's highest-scored answers (ties: earlier first, then id).

    If the asker's choice makes pairs, an accepted answer comes before the others.
    """
    eligible = pl.col(REASON).is_null()
    sizes = answers.lazy().filter(eligible).group_by("thread_hash").len()
    crowded = sizes.filter(pl.col("len") > rule.max_answers_per_post).collect()["thread_hash"]
    if crowded.is_empty():
        return answers
    ranked = (
        answers.lazy()
        .with_row_index("row")
        .filter(eligible & pl.col("thread_hash").is_in(crowded.implode()))
        .with_columns(chosen=pl.col("accepted") & takes_choice(rule))
        .sort(*THREAD, "chosen", "score", "created_at", "answer_id", descending=[False] * 3 + [True] * 2 + [False] * 2)
        .filter(pl.int_range(pl.len()).over(THREAD) >= rule.max_answers_per_post)
        .select("row")
        .collect()["row"]
    )
    over = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(ranked.implode())
    return answers.with_columns(pl.when(over).then(pl.lit("over_answer_cap")).otherwise(pl.col(REASON)).alias(REASON))


def _verdict(conditions: Conditions, also: pl.Expr | None = None) -> list[pl.Expr]:
    """`reason`, the name of the first condition that holds, and `counts`. A condition that is null does not hold."""
    names, holding = zip(*conditions, strict=True)
    # Numbers are compared for every row and condition, and names looked up once.
    first = pl.coalesce(pl.when(holds).then(pl.lit(i, pl.UInt32)) for i, holds in enumerate(holding))
    others = [holds.fill_null(value=False) for name, holds in zip(names, holding, strict=True) if name not in _BY_SCORE]
    counts = ~pl.any_horizontal(others) if also is None else also & ~pl.any_horizontal(others)
    reason = pl.lit(pl.Series(names)).gather(first)
    return [reason.alias(REASON), counts.fill_null(value=False).alias(COUNTS)]
