"""Columns that several formats share, and how they come from threads."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from shp_miner.mining.mine import Threads
from shp_miner.rules.differences import pair_differences

#: The text between title and body, and the end of a prompt of plain text: trainers put nothing between prompt and
#: answer. One line break after a visible character is a token of its own in GPT-2's and Llama's vocabularies, so the
#: prompt's tokens stay the same when an answer follows; with two, trainers cut the prompt short.
PARAGRAPH = "\n\n"
SEPARATOR = "\n\nAnswer:\n"

#: The column of every format that says which post a row belongs to. It is not written.
POST_ROW = "post_row"

_S, _I, _F = pa.string(), pa.int64(), pa.float64()

#: The columns of `known`.
KNOWN: dict[str, pa.DataType] = {
    "pair_id": _S, "score_chosen": _I, "score_rejected": _I, "confidence": _F, "tier": _S,
}  # fmt: skip

#: What some platforms count of each answer besides its score.
COUNTED = ("reads", "upvotes", "downvotes")

#: The columns of rules/comparisons.py.
COMPARED: dict[str, pa.DataType] = {"target": _F, "weight": _F, "attention": _F}


def questions(posts: pl.DataFrame, ending: str = "") -> pl.Series:
    """Return title and body as one text."""
    body = pl.col("body")
    both = pl.concat_str("title", pl.lit(PARAGRAPH), body)
    whole = pl.when(body == "").then(pl.col("title")).when(pl.col("title") == "").then(body).otherwise(both)
    return posts.select(whole + ending).to_series()


def sides(threads: Threads) -> tuple[pl.Series, pl.Series]:
    """Return the rows of the first and the second answer of every pair."""
    first = pl.when("winner_first")
    first_row, second_row = first.then("winner").otherwise("loser"), first.then("loser").otherwise("winner")
    sides = threads.pairs.select(first=first_row, second=second_row)
    return sides["first"], sides["second"]


def between(threads: Threads) -> dict[str, pl.Series]:
    """Return `seconds_difference` and `score_ratio` of every pair."""
    answers = threads.answers.select("score", "created_at", "platform")
    return pair_differences(answers[threads.pairs["winner"]], answers[threads.pairs["loser"]])


def differing(threads: Threads) -> tuple[pl.DataFrame, pl.Series]:
    """Return the pairs with different texts, and the row of the post of each."""
    pairs = threads.pairs.filter(~pl.col("same_text"))
    return pairs, threads.answers[POST_ROW].gather(pairs["winner"])


def pair_ids(threads: Threads, post: pl.Series, a: pl.Series, b: pl.Series) -> pl.Series:
    """Return site/post/answer-answer, the smaller answer id first, so that the id does not reveal the winner."""
    beginning = threads.posts.select(pl.concat_str("site", pl.lit("/"), "post_id", pl.lit("/"))).to_series()
    ids = threads.answers["answer_id"]
    sides = pl.DataFrame({"post": beginning.gather(post), "a": ids.gather(a), "b": ids.gather(b)})
    low, high = pl.min_horizontal("a", "b"), pl.max_horizontal("a", "b")
    return sides.select(pl.concat_str("post", low, pl.lit("-"), high)).to_series()


def known(threads: Threads, pairs: pl.DataFrame, post: pl.Series) -> dict[str, pl.Series]:
    """Return the columns beside the texts of the formats whose rows are a chosen and a rejected conversation."""
    winner, loser = pairs["winner"], pairs["loser"]
    return {
        "pair_id": pair_ids(threads, post, winner, loser),
        "score_chosen": threads.answers["score"].gather(winner),
        "score_rejected": threads.answers["score"].gather(loser),
        **worth(pairs),
    }


def worth(pairs: pl.DataFrame) -> dict[str, pl.Series]:
    """Return the columns `confidence` and `tier`.

    A confidence has three decimals, cut and not rounded, so that it is below a limit of the rules if it was before. In
    full, it would be another number in most rows whenever a community's fit is made anew.
    """
    millionths = np.rint(pairs["confidence"].to_numpy() * 1e6)
    return {"confidence": pl.Series(millionths // 1000 / 1000, nan_to_null=True), "tier": pairs["tier"]}
