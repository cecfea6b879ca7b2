"""Who may take part: SHP's conditions on posts and answers, each with the reason under which a row is dropped.

The conditions are tried in the order written; a row is counted under the first that fails.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from shp_miner.rules.age import age_reasons
from shp_miner.rules.presets import PROFILES, Rule

#: The column that says why a row is dropped; null where it is kept.
REASON = "reason"

THREAD = ("thread_hash", "site", "post_id")

Conditions = Iterable[tuple[str, pl.Expr]]


def judge_posts(posts: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """`posts` (POST, newest observation each) with the column `reason`."""
    floor = _by_platform("min_post_score", rule.min_post_score)
    keep_edited = _by_platform("keep_edited_posts", rule.keep_edited_posts)
    return posts.with_columns(
        _first_reason(
            [
                ("not_text", ~pl.col("is_text") & (not rule.keep_link_posts)),
                *_gone(),
                ("no_title", pl.col("title").str.strip_chars() == ""),
                ("author_deleted", pl.col("author_deleted")),
                ("author_moderator", pl.col("author_role").is_in(["moderator", "admin"])),
                ("nsfw", pl.col("nsfw") & (not rule.keep_nsfw)),
                ("edited", pl.col("edited") & ~keep_edited),
                ("before_since", pl.lit(False) if rule.since is None else pl.col("created_at") < rule.since),
                ("after_until", pl.lit(False) if rule.until is None else pl.col("created_at") >= rule.until),
                ("too_long", pl.col("body_chars") > rule.max_chars),
                *_scored(floor),
                *age_reasons(rule),
            ]
        )
    )


def judge_answers(answers: pl.DataFrame, posts: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """`answers` (ANSWER, newest observation each) with the column `reason`, given the judged posts of their threads."""
    asked = posts.select(*THREAD, "author", "author_id", REASON, present=pl.lit(value=True))
    joined = answers.join(asked, on=THREAD, how="left", suffix="_post", maintain_order="left")
    floor = _by_platform("min_answer_score", rule.min_answer_score)
    both_known = pl.col("author_id").is_not_null() & pl.col("author_id_post").is_not_null()
    same_author = (
        pl.when(both_known)
        .then(pl.col("author_id") == pl.col("author_id_post"))
        .otherwise(pl.col("author") == pl.col("author_post"))
    )
    judged = joined.with_columns(
        _first_reason(
            [
                ("post_missing", pl.col("present").is_null()),
                ("post_dropped", pl.col(REASON).is_not_null()),
                *_gone(),
                ("empty", pl.col("body_chars") == 0),
                ("too_long", pl.col("body_chars") > rule.max_chars),
                ("author_deleted", pl.col("author_deleted")),
                ("author_moderator", pl.col("author_role").is_in(["moderator", "admin"])),
                ("author_bot", pl.col("author_role") == "bot"),
                ("author_is_asker", pl.col("by_post_author") | same_author),
                ("stickied", pl.col("stickied")),
                *_scored(floor),
                *age_reasons(rule),
            ]
        )
    ).drop("author_post", "author_id_post", "present")
    return _over_cap(judged, rule)


def _over_cap(answers: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Drop what is not among a post's highest-scored answers (ties: earlier first, then id)."""
    eligible = pl.col(REASON).is_null()
    sizes = answers.lazy().filter(eligible).group_by("thread_hash").len()
    crowded = sizes.filter(pl.col("len") > rule.max_answers_per_post).collect()["thread_hash"]
    if crowded.is_empty():
        return answers
    ranked = (
        answers.lazy()
        .with_row_index("row")
        .filter(eligible & pl.col("thread_hash").is_in(crowded.implode()))
        .sort(*THREAD, "score", "created_at", "answer_id", descending=[False, False, False, True, False, False])
        .filter(pl.int_range(pl.len()).over(THREAD) >= rule.max_answers_per_post)
        .select("row")
        .collect()["row"]
    )
    over = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(ranked.implode())
    return answers.with_columns(pl.when(over).then(pl.lit("over_answer_cap")).otherwise(pl.col(REASON)).alias(REASON))


def _gone() -> Conditions:
    return [("deleted", pl.col("state") == "deleted"), ("removed", pl.col("state") == "removed")]


def _scored(floor: pl.Expr) -> Conditions:
    return [("score_unknown", pl.col("score").is_null()), ("score_too_low", pl.col("score") < floor)]


def _by_platform(field: str, override: float | bool | None) -> pl.Expr:
    if override is not None:
        return pl.lit(override)
    return pl.col("platform").replace_strict({name: getattr(profile, field) for name, profile in PROFILES.items()})


def _first_reason(conditions: Conditions) -> pl.Expr:
    """The name of the first condition that holds. A condition that is null does not hold."""
    # Numbers are compared for every row and condition, and names looked up once.
    names, holding = zip(*conditions, strict=True)
    first = pl.coalesce(pl.when(holds).then(pl.lit(i, pl.UInt32)) for i, holds in enumerate(holding))
    return pl.lit(pl.Series(names)).gather(first).alias(REASON)
