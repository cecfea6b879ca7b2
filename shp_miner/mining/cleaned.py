"""Cleaning the threads of one range: which posts, answers and pairs the filters of `clean/` leave out."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import polars as pl
from msgspec import UnsetType

from shp_miner.clean.chain import edited, reasons_of
from shp_miner.clean.cleaning import Cleaning
from shp_miner.rules.eligibility import REASON, THREAD
from shp_miner.rules.left_out import LeftOutPairs
from shp_miner.rules.pairs import ANSWER_KEY, Pairs
from shp_miner.tally import Tally
from shp_miner.text.clean import clean_bodies, clean_titles

#: What a pair filter sees of either side.
_SIDE = ("answer_id", "author", "author_id", "text")

#: What posts and answers are counted as that were eligible, in a pair of the rule, and then cleaned.
PAIRED = {"post": "paired post", "answer": "paired answer"}


def answer_texts(rows: pl.DataFrame, cleaning: Cleaning | UnsetType, tally: Tally) -> pl.DataFrame:
    """Return answers with their clean, edited `text` in the place of `body`."""
    text = clean_bodies(rows["body"], rows["body_format"])
    if cleaning:
        text = edited(text, "answer", cleaning, tally)
    return rows.with_columns(text.alias("text")).drop("body")


def post_texts(rows: pl.DataFrame, cleaning: Cleaning | UnsetType, tally: Tally) -> pl.DataFrame:
    """Return posts with a clean, edited `title` and `body`."""
    body = clean_bodies(rows["body"], rows["body_format"])
    title = clean_titles(rows["title"], rows["body_format"])
    if cleaning:
        body, title = edited(body, "post", cleaning, tally), edited(title, "title", cleaning, tally)
    return rows.with_columns(body.alias("body"), title.alias("title"))


class Cleaned:
    """The posts and answers that are in pairs, judged by the filters: `posts` and `answers` with the column `reason`.

    Posts come with clean title and body, answers with a clean `text`.
    """

    def __init__(self, posts: pl.DataFrame, answers: pl.DataFrame, cleaning: Cleaning) -> None:
        self._cleaning = cleaning
        asked = posts.with_columns(text=pl.concat_str("title", "body", separator="\n\n").str.strip_chars())
        self.posts = asked.with_columns(reasons_of(asked, "post", cleaning))
        question = self.posts.select(*THREAD, pl.col("text").alias("question"), pl.col(REASON).alias("post_reason"))
        joined = answers.join(question, on=THREAD, how="left", maintain_order="left")
        self.answers = joined.with_columns(reasons_of(joined, "answer", cleaning))

    def of(self, answers: pl.DataFrame) -> Cleaned:
        """Return the same for some of the answers, in their order, and for their posts."""
        new = copy(self)
        new.answers = answers.select(*ANSWER_KEY).join(self.answers, on=ANSWER_KEY, how="left", maintain_order="left")
        new.posts = self.posts.join(answers.select(THREAD).unique(), on=THREAD, how="semi")
        return new

    def leave(self, pairs: Pairs, tally: Tally, left_out: LeftOutPairs | None = None) -> Pairs:
        """Return the pairs that stay. `pairs.answers` must be, row by row, the answers that were given."""
        of_post, of_answer = self.answers["post_reason"], self.answers[REASON]
        reasons = pl.select(
            pl.coalesce(of_post[pairs.winner], of_answer[pairs.winner], of_answer[pairs.loser])
        ).to_series()
        pairs = pairs.without(reasons.is_not_null().to_numpy(), reasons, tally, left_out)
        reasons = reasons_of(self._frame(pairs), "pair", self._cleaning)
        return pairs.without(reasons.is_not_null().to_numpy(), reasons, tally, left_out)

    def count(self, tally: Tally) -> None:
        """Count the posts and answers that are left out, by reason."""
        for kind, frame in (("post", self.posts), ("answer", self.answers)):
            for reason, count in frame[REASON].drop_nulls().value_counts(sort=True).iter_rows():
                tally.drop(PAIRED[kind], reason, count)

    def left_out(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the posts and answers that are left out, with their clean texts as `body`, which forgetting empties."""
        yield "posts", self.posts.filter(pl.col(REASON).is_not_null())
        yield "answers", self.answers.filter(pl.col(REASON).is_not_null()).rename({"text": "body"})

    def _frame(self, pairs: Pairs) -> pl.DataFrame:
        winner, loser = self.answers[pairs.winner], self.answers[pairs.loser]
        return winner.select(*THREAD, "community", "question").with_columns(
            *(winner[name].alias(f"winner_{name}") for name in _SIDE),
            *(loser[name].alias(f"loser_{name}") for name in _SIDE),
            pl.Series("winner", pairs.winner),
            pl.Series("loser", pairs.loser),
            pl.Series("pair_hash", pairs.pair_hash),
        )
