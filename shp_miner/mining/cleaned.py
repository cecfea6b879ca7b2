"""Cleaning the threads of one range: which posts, answers and pairs the filters of `clean/` leave out."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import polars as pl
from msgspec import UnsetType

from shp_miner.clean.balance import Quotas, needs_all, traits
from shp_miner.clean.chain import edited, reasons_of
from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.overlap import Screen
from shp_miner.clean.people import People
from shp_miner.clean.personal import mask_personal
from shp_miner.rules.eligibility import REASON, THREAD
from shp_miner.rules.left_out import LeftOutPairs
from shp_miner.rules.pairs import ANSWER_KEY, Pairs
from shp_miner.store import HashRange, Snapshot
from shp_miner.store.people_key import people_key
from shp_miner.tally import Tally
from shp_miner.text.clean import clean_bodies, clean_titles
from shp_miner.text.modes import in_mode, titles_in_mode
from shp_miner.text.titles import abbreviations

#: What a pair filter sees of either side.
_SIDE = ("answer_id", "author", "author_id", "text")

#: The reason of a text that holds an item of an evaluation set; which item, as "file:line", and how much of it.
IN_EVALUATION_SET = "in_evaluation_set"
HELD = ("evaluation_item", "evaluation_share")

#: What posts and answers are counted as that were eligible, in a pair of the rule, and then cleaned.
PAIRED = {"post": "paired post", "answer": "paired answer"}


def answer_texts(
    snapshot: Snapshot, part: HashRange, rows: pl.DataFrame, cleaning: Cleaning | UnsetType, tally: Tally
) -> pl.DataFrame:
    """Return answers of a range with their clean, edited `text`."""
    rows = snapshot.bodies("answers", part, rows)
    return rows.with_columns(_Texts(snapshot, rows, cleaning, tally).of("body", "answer").alias("text")).drop("body")


def post_texts(
    snapshot: Snapshot, part: HashRange, rows: pl.DataFrame, cleaning: Cleaning | UnsetType, tally: Tally
) -> pl.DataFrame:
    """Return posts of a range with a clean, edited `title` and `body`."""
    rows = snapshot.bodies("posts", part, rows)
    texts = _Texts(snapshot, rows, cleaning, tally)
    return rows.with_columns(texts.of("body", "post").alias("body"), texts.of("title", "title").alias("title"))


def people_of(snapshot: Snapshot, cleaning: Cleaning | UnsetType) -> People | None:
    """Return how the names of people are written; None where they stay as they are."""
    if not cleaning or cleaning.authors == "keep":
        return None
    return People(people_key(snapshot.folder) if cleaning.authors == "hash" else None)


class _Texts:
    """Cleans columns of some rows: first as the platform wrote them, then by the parameters that are on."""

    def __init__(self, snapshot: Snapshot, rows: pl.DataFrame, cleaning: Cleaning | UnsetType, tally: Tally) -> None:
        self._rows, self._cleaning, self._tally = rows, cleaning or Cleaning(), tally
        self._people = people_of(snapshot, cleaning)

    def of(self, column: str, kind: str) -> pl.Series:
        """Return a column's texts, of the kind "title", "post" or "answer"; what changes in them is counted."""
        mode, formats = self._cleaning.text_mode, self._rows["body_format"]
        bodies = self._rows[column]
        if kind == "title":
            titles = self._edited(clean_titles(bodies, formats), bodies, kind)
            return titles_in_mode(titles, mode, abbreviations(self._cleaning.abbreviations) if mode == "shp" else {})
        texts = clean_bodies(bodies, formats, keep_maths=mode != "markdown" or self._cleaning.keep_maths)
        return in_mode(self._edited(texts, bodies, kind), formats, mode)

    def _edited(self, texts: pl.Series, bodies: pl.Series, kind: str) -> pl.Series:
        if self._cleaning.personal == "mask":
            personal = mask_personal(texts)
            texts = personal.texts
            for name, count in personal.counts.items():
                self._tally.note(kind, f"masked_{name}", count)
        if self._people is not None:
            texts, count = self._people.texts(texts, bodies, self._rows["site"])
            self._tally.note(kind, "mention_hidden", count)
        return edited(texts, kind, self._cleaning, self._tally)


class Cleaned:
    """The posts and answers that are in pairs, judged by the filters: `posts` and `answers` with the column `reason`.

    Posts come with clean title and body, answers with a clean `text`.
    """

    def __init__(
        self, posts: pl.DataFrame, answers: pl.DataFrame, cleaning: Cleaning, screen: Screen | None = None
    ) -> None:
        self._cleaning = cleaning
        asked = posts.with_columns(text=pl.concat_str("title", "body", separator="\n\n").str.strip_chars())
        self.posts = _screened(asked.with_columns(reasons_of(asked, "post", cleaning)), screen)
        question = self.posts.select(*THREAD, pl.col("text").alias("question"), pl.col(REASON).alias("post_reason"))
        joined = answers.join(question, on=THREAD, how="left", maintain_order="left")
        self.answers = _screened(joined.with_columns(reasons_of(joined, "answer", cleaning)), screen)

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
        pairs = self._without(pairs, reasons, tally, left_out)
        return self._without(pairs, reasons_of(self._frame(pairs), "pair", self._cleaning), tally, left_out)

    def balance(
        self, pairs: Pairs, quotas: Quotas | None, tally: Tally, left_out: LeftOutPairs | None = None
    ) -> tuple[Pairs, pl.DataFrame | None]:
        """Return the pairs of a sample that stay within caps and quotas; and their `traits`, if quotas are to be found.

        `pairs.answers` are any of the answers.
        """
        own, cleaning = self.of(pairs.answers), self._cleaning
        reasons = reasons_of(own._frame(pairs), "sample", cleaning)
        pairs = self._without(pairs, reasons, tally, left_out)
        if not needs_all(cleaning):
            return pairs, None
        found = traits(own._frame(pairs))
        if quotas is None:
            return pairs, found
        return self._without(pairs, quotas.reasons(found), tally, left_out), None

    @staticmethod
    def _without(pairs: Pairs, reasons: pl.Series, tally: Tally, left_out: LeftOutPairs | None) -> Pairs:
        return pairs.without(reasons.is_not_null().to_numpy(), reasons, tally, left_out)

    def count(self, tally: Tally) -> None:
        """Count the posts and answers that stay, and those that are left out by reason."""
        for kind, frame in (("post", self.posts), ("answer", self.answers)):
            tally.keep(PAIRED[kind], frame[REASON].null_count())
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


def _screened(judged: pl.DataFrame, screen: Screen | None) -> pl.DataFrame:
    """Return judged texts with a reason and HELD where one that stays holds an item."""
    if screen is None:
        return judged
    left = judged[REASON].is_null().arg_true()
    hits = screen.hits(judged["text"].gather(left))
    rows = left.gather(hits["row"])
    item, share = HELD
    empty = (
        pl.repeat(None, judged.height, dtype=pl.String, eager=True),
        pl.repeat(None, judged.height, dtype=pl.Float64, eager=True),
    )
    return judged.with_columns(
        judged[REASON].scatter(rows, IN_EVALUATION_SET).alias(REASON),
        empty[0].scatter(rows, screen.labels.gather(hits["item"])).alias(item),
        empty[1].scatter(rows, hits["share"]).alias(share),
    )
