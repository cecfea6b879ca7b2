"""Eligible items: SHP's conditions on posts and answers, each with the reason for dropping a row.

The conditions are tested in the order written; a row is counted under the first that fails.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from msgspec.structs import replace

from shp_miner.rules.age import age_reasons, is_dated
from shp_miner.rules.needs import needs_times, needs_votes
from shp_miner.rules.presets import Rule
from shp_miner.rules.profiles import OTHERS, PROFILES

#: The column that says why a row is dropped; null where it is kept.
REASON = "reason"

#: The column that says whether a row tells how attention works: it is eligible but for the lowest scores. Whoever looks
#: at well-voted answers only learns little of what decides about votes.
COUNTS = "counts"

#: Columns that judging adds for what comes after, besides the reason.
HELPERS = (COUNTS, "post_created_at", "post_score")

THREAD = ("thread_hash", "site", "post_id")

#: Reasons that keep a row from pairs but not from counting: a low score, and a post that was perhaps dropped for it.
_BY_SCORE = ("score_too_low", "post_dropped")

Conditions = Iterable[tuple[str, pl.Expr]]


def judge_posts(posts: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """`posts` (POST, newest observation each) with the columns `reason` and `counts`."""
    keep_edited = _by_platform("keep_edited_posts", rule.keep_edited_posts)
    return posts.with_columns(
        *_verdict(
            [
                ("not_text", ~pl.col("is_text") & (not rule.keep_link_posts)),
                *_gone(),
                ("no_title", (pl.col("title").str.strip_chars() == "") & ~of_platform("bare_posts")),
                ("author_deleted", pl.col("author_deleted")),
                ("author_moderator", _official(rule)),
                ("author_bot", (pl.col("author_role") == "bot") & _by_platform("roles_are_ranks", None)),
                ("nsfw", pl.col("nsfw") & (not rule.keep_nsfw)),
                ("edited", pl.col("edited") & ~keep_edited),
                ("time_unknown", ~is_dated() & (rule.since is not None or rule.until is not None)),
                ("before_since", pl.lit(False) if rule.since is None else pl.col("created_at") < rule.since),
                ("after_until", pl.lit(False) if rule.until is None else pl.col("created_at") >= rule.until),
                ("too_long", pl.col("body_chars") > rule.max_chars),
                ("score_unknown", pl.col("score").is_null() & ~of_platform("bare_posts")),
                ("score_too_low", pl.col("score") < _floor("min_post_score", rule.min_post_score, rule)),
                *age_reasons(rule),
            ]
        )
    )


def judge_answers(answers: pl.DataFrame, posts: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """`answers` (ANSWER, newest observation each) with `reason` and HELPERS, given the judged posts of the threads."""
    asked = posts.select(
        *THREAD, "author", "author_id", REASON, post_counts=COUNTS, post_created_at="created_at", post_score="score"
    )
    joined = answers.join(asked, on=THREAD, how="left", suffix="_post", maintain_order="left")
    both_known = pl.col("author_id").is_not_null() & pl.col("author_id_post").is_not_null()
    same_author = (
        pl.when(both_known)
        .then(pl.col("author_id") == pl.col("author_id_post"))
        .otherwise(pl.col("author") == pl.col("author_post"))
    )
    judged = joined.with_columns(
        *_verdict(
            [
                ("post_missing", pl.col("post_counts").is_null()),
                ("time_unknown", ~is_dated() & needs_times(rule)),
                ("score_not_votes", ~of_platform("scores_are_votes") & needs_votes(rule)),
                ("post_dropped", pl.col(REASON).is_not_null()),
                *_gone(),
                ("empty", pl.col("body_chars") == 0),
                ("too_long", pl.col("body_chars") > rule.max_chars),
                ("author_deleted", pl.col("author_deleted")),
                ("author_moderator", _official(rule)),
                ("author_bot", pl.col("author_role") == "bot"),
                ("author_is_asker", pl.col("by_post_author") | same_author),
                ("stickied", pl.col("stickied")),
                ("score_unknown" if rule.observe_at_s is None else "not_observed_at_age", pl.col("score").is_null()),
                ("score_too_low", pl.col("score") < _floor("min_answer_score", rule.min_answer_score, rule)),
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


def _official(rule: Rule) -> pl.Expr:
    """Whether the author spoke as one of those who run the place; with `drop_staff`, also whether they only are one."""
    is_rank = pl.lit(value=False) if rule.drop_staff else _by_platform("roles_are_ranks", None)
    return pl.col("author_role").is_in(["moderator", "admin"]) & ~is_rank


def _gone() -> Conditions:
    return [(state, pl.col("state") == state) for state in ("deleted", "removed", "unreadable")]


def takes_choice(rule: Rule) -> bool:
    """Return whether an answer can win because the asker accepted it, whatever its votes."""
    return rule.measure == "accepted" or rule.or_ is not None


def _floor(field: str, override: int | None, rule: Rule) -> pl.Expr:
    # Pairs of the asker's choice need no votes: the lowest scores hold for the other pairs then (`below_floors`).
    none = rule.or_ is not None or not (rule.floors or override is not None)
    return pl.lit(None, pl.Int64) if none else _by_platform(field, override)


def below_floors(rule: Rule) -> pl.Expr:
    """Whether a judged answer's score or its post's score is below the lowest that the rule's pairs of votes need."""
    votes = replace(rule, or_=None)
    post, answer = (_floor(name, getattr(rule, name), votes) for name in ("min_post_score", "min_answer_score"))
    return ((pl.col("post_score") < post) | (pl.col("score") < answer)).fill_null(value=False)


def below_floor() -> pl.Expr:
    """Whether a judged answer's score or its post's is below the platform's floor (on Reddit SHP's), or not known."""
    post, answer = (_by_platform(name, None) for name in ("min_post_score", "min_answer_score"))
    return ((pl.col("post_score") < post) | (pl.col("score") < answer)).fill_null(value=True)


def _by_platform(field: str, override: float | bool | None) -> pl.Expr:
    if override is not None:
        return pl.lit(override)
    return of_platform(field)


def of_platform(field: str, *, dtype: type[pl.DataType] | None = None) -> pl.Expr:
    """Return the value of a Profile field for each row's platform (column `platform`)."""
    values = {name: getattr(profile, field) for name, profile in PROFILES.items()}
    return pl.col("platform").replace_strict(values, default=getattr(OTHERS, field), return_dtype=dtype)


def _verdict(conditions: Conditions, also: pl.Expr | None = None) -> list[pl.Expr]:
    """`reason`, the name of the first condition that holds, and `counts`. A condition that is null does not hold."""
    names, holding = zip(*conditions, strict=True)
    # Numbers are compared for every row and condition, and names looked up once.
    first = pl.coalesce(pl.when(holds).then(pl.lit(i, pl.UInt32)) for i, holds in enumerate(holding))
    others = [holds.fill_null(value=False) for name, holds in zip(names, holding, strict=True) if name not in _BY_SCORE]
    counts = ~pl.any_horizontal(others) if also is None else also & ~pl.any_horizontal(others)
    reason = pl.lit(pl.Series(names)).gather(first)
    return [reason.alias(REASON), counts.fill_null(value=False).alias(COUNTS)]
