"""Mining one range of threads: read, judge, pair, gather text. What comes out is ready for every export format.

This is the unit of work: it knows the store and the rule, and no files; ranges are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from msgspec import Struct

from shp_miner.rules.eligibility import REASON, THREAD, judge_answers, judge_posts
from shp_miner.rules.hashing import SPLITS, splits, winner_is_first
from shp_miner.rules.pairs import Pairs, form_pairs, sample
from shp_miner.rules.presets import Rule
from shp_miner.store import HashRange, Snapshot
from shp_miner.tally import Tally
from shp_miner.text.clean import clean

#: The note under which pairs of equal texts are counted.
SAME_TEXT = "same_text"


class Selection(Struct, frozen=True, kw_only=True):
    """What to mine and how: the rule, the communities (none means all), and the shares of validation and test."""

    rule: Rule
    communities: tuple[str, ...] = ()
    validation: float = 0.05
    test: float = 0.05


@dataclass
class Threads:
    """Threads with at least one pair, of any communities or of one; the input of every format.

    posts: POST without its body's markup: title and body as clean Markdown, plus `split`; one row a thread.
    answers: ANSWER likewise (`text` is the clean body), sorted by thread, time and id, plus `post_row`, and `wins` and
    `losses`: how many of the rule's pairs, before sampling, the answer won and lost.
    pairs: `winner` and `loser` (rows of answers), `winner_first` (whether the winner is answer 1 or A), `same_text`.
    """

    posts: pl.DataFrame
    answers: pl.DataFrame
    pairs: pl.DataFrame


@dataclass
class Mined:
    """What one range gave: its threads and the counts. `digest` sums what was read, in any order."""

    threads: Threads
    tally: Tally
    digest: int = 0
    newest_us: int | None = None
    dropped: dict[str, pl.DataFrame] = field(default_factory=dict)


def mine(snapshot: Snapshot, part: HashRange, selection: Selection) -> Mined:
    """Read the threads of one range and apply the rule to them."""
    rule, tally = selection.rule, Tally()
    posts, post_conflicts = snapshot.posts(part, selection.communities)
    answers, answer_conflicts = snapshot.answers(part, selection.communities)
    tally.note("post", "observations_contradict", post_conflicts)
    tally.note("answer", "observations_contradict", answer_conflicts)
    judged_posts = judge_posts(posts, rule)
    judged_answers = judge_answers(answers, judged_posts, rule)
    for kind, judged in (("post", judged_posts), ("answer", judged_answers)):
        for reason, count in judged.group_by(REASON).len().iter_rows():
            if reason is None:
                tally.keep(f"eligible {kind}", count)
            else:
                tally.drop(kind, reason, count)
    pairs = form_pairs(judged_answers.filter(pl.col(REASON).is_null()).drop(REASON), rule, tally)
    threads = _with_text(snapshot, part, pairs, judged_posts.drop(REASON), selection, tally)
    tally.keep("pair", threads.pairs.height)
    tally.keep("post", threads.posts.height)
    digest = sum(int(frame["content_hash"].to_numpy().view(np.uint64).sum()) for frame in (posts, answers))
    observed = [frame["observed_at"].to_physical().max() for frame in (posts, answers)]
    newest = max((int(value) for value in observed if isinstance(value, int)), default=None)
    dropped = {
        kind: frame.filter(pl.col(REASON).is_not_null())
        for kind, frame in (("posts", judged_posts), ("answers", judged_answers))
    }
    return Mined(threads, tally, digest % (1 << 64), newest, dropped)


def _with_text(
    snapshot: Snapshot, part: HashRange, pairs: Pairs, posts: pl.DataFrame, selection: Selection, tally: Tally
) -> Threads:
    """Gather the texts of what is in a pair, drop pairs that lack one, sample, and number the rows."""
    # Only answers that are in some pair are read: text is most of the bytes.
    needed = np.unique(np.concatenate([pairs.winner, pairs.loser]))
    answers = snapshot.bodies("answers", part, pairs.answers[needed])
    answers = answers.with_columns(clean(answers["body"], answers["body_format"]).alias("text")).drop("body")
    pairs = Pairs(
        answers,
        np.searchsorted(needed, pairs.winner),
        np.searchsorted(needed, pairs.loser),
        pairs.pair_hash,
        pairs.item_hash[needed],
    )
    pairs = _with_both_texts(pairs, tally)
    wins = np.bincount(pairs.winner, minlength=answers.height)
    losses = np.bincount(pairs.loser, minlength=answers.height)
    pairs = sample(pairs, selection.rule, tally)
    answers = answers.with_columns(wins=pl.Series(wins, dtype=pl.Int32), losses=pl.Series(losses, dtype=pl.Int32))
    in_pair = (answers["wins"] + answers["losses"] > 0).to_numpy()
    new_row = np.cumsum(in_pair) - 1
    first = winner_is_first(
        pairs.pair_hash, pairs.item_hash[pairs.winner], pairs.item_hash[pairs.loser], selection.rule.seed
    )
    answers = answers.filter(in_pair)
    posts = _posts_of(snapshot, part, posts, answers, selection)
    keys = posts.select(*THREAD).with_row_index("post_row")
    answers = answers.join(keys, on=THREAD, how="left", maintain_order="left")
    # Answers follow their posts' order, so that the rows of one community and split lie together.
    order = answers["post_row"].arg_sort()
    place = np.empty(len(order), np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    table = pl.DataFrame(
        {
            "winner": place[new_row[pairs.winner]],
            "loser": place[new_row[pairs.loser]],
            "winner_first": first,
            "same_text": _same_text(pairs, tally),
        }
    )
    return Threads(posts, answers[order], table.sort("winner", "loser"))


def _with_both_texts(pairs: Pairs, tally: Tally) -> Pairs:
    """The pairs whose two texts are there: a body can turn out empty only when its markup is taken off."""
    empty = (pairs.answers["text"] == "").to_numpy()
    has_empty = empty[pairs.winner] | empty[pairs.loser]
    tally.drop("pair", "empty_text", int(has_empty.sum()))
    return pairs.only(~has_empty)


def _same_text(pairs: Pairs, tally: Tally) -> pl.Series:
    """Where the two texts are equal. Such a pair is SHP's like any other; formats for trainers leave it out."""
    text = pairs.answers["text"]
    same = text[pairs.winner] == text[pairs.loser]
    tally.note("pair", SAME_TEXT, int(same.sum()))
    return same


def _posts_of(
    snapshot: Snapshot, part: HashRange, posts: pl.DataFrame, answers: pl.DataFrame, selection: Selection
) -> pl.DataFrame:
    """The posts of `answers` with clean text and their split, ordered by community, split and hash."""
    posts = posts.join(answers.select(THREAD).unique(), on=THREAD, how="semi")
    posts = snapshot.bodies("posts", part, posts)
    number = splits(posts["thread_hash"].to_numpy(), selection.validation, selection.test)
    return posts.with_columns(
        clean(posts["body"], posts["body_format"]).alias("body"),
        clean(posts["title"], posts["body_format"].replace("html", "text")).alias("title"),
        pl.Series("split", [SPLITS[i] for i in number], dtype=pl.String),
    ).sort("community", "split", *THREAD)


class Bounds(Struct, frozen=True):
    """Where one community and split ends in the frames of Threads, which are ordered by them."""

    community: str
    split: str
    posts: int
    answers: int
    pairs: int


def bounds(threads: Threads) -> list[Bounds]:
    """The community-and-split groups of some threads, in their order."""
    groups = threads.posts.group_by("community", "split", maintain_order=True).len()
    stops = groups["len"].cum_sum().to_numpy()
    answers = np.searchsorted(threads.answers["post_row"].to_numpy(), stops)
    pairs = np.searchsorted(threads.pairs["winner"].to_numpy(), answers)
    names = zip(groups["community"], groups["split"], strict=True)
    return [Bounds(*name, *map(int, at)) for name, *at in zip(names, stops, answers, pairs, strict=True)]


def cut(threads: Threads, after: Bounds | None, to: Bounds) -> Threads:
    """The threads behind `after` (None: from the beginning) up to `to`; row numbers fit the smaller frames."""
    post, answer, pair = (after.posts, after.answers, after.pairs) if after else (0, 0, 0)
    return Threads(
        threads.posts[post : to.posts],
        threads.answers[answer : to.answers].with_columns(pl.col("post_row") - post),
        threads.pairs[pair : to.pairs].with_columns(pl.col("winner", "loser") - answer),
    )
