"""Mining one range of threads: read, judge, pair, gather text. The result is ready for every export format.

A range is the unit of work. Mining it needs the store and the rule, and no files; ranges are independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from msgspec import UNSET, Struct, UnsetType

from shp_miner.clean.balance import Quotas
from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.clusters import own_splits, without_near
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.clean.evaluation import Decontamination
from shp_miner.clean.overlap import Screen
from shp_miner.mining.cleaned import HELD, Cleaned, answer_texts, people_of, post_texts
from shp_miner.model import NUMBERS
from shp_miner.rules.age import at_age
from shp_miner.rules.arrival import Arrival
from shp_miner.rules.calibrated import Calibration, with_theta
from shp_miner.rules.eligibility import HELPERS, REASON, THREAD
from shp_miner.rules.hashing import SPLITS, thread_splits, winner_is_first
from shp_miner.rules.left_out import LeftOutPairs
from shp_miner.rules.pairs import ANSWER_KEY, Index, Pairs, form_pairs, sample_pairs
from shp_miner.rules.presets import Rule
from shp_miner.rules.recommended import Comparable, count_comparable
from shp_miner.store import HashRange, Snapshot, Within
from shp_miner.tally import Tally

#: The note under which pairs of equal texts are counted.
SAME_TEXT = "same_text"

#: The note under which items are counted that could not be read when last asked for, and are as last read.
UNREADABLE = "unreadable"


#: The order of threads: a data set that grows gets new rows at the end of each split, not among the others.
POST_ORDER = ("community", "split", "created_at", *THREAD)


class Selection(Struct, frozen=True, kw_only=True):
    """What to mine and how: the rule, where (as in `Within`), and the shares of validation and test.

    A manifest has the fields from `sites` on only where they were chosen. `layout` is that of an
    export's files, and `margin` a column of them; they are here so that an export that is made again stays as it was
    asked for.
    """

    rule: Rule
    communities: tuple[str, ...] = ()
    validation: float = 0.05
    test: float = 0.05
    sites: tuple[str, ...] | UnsetType = UNSET
    places: tuple[tuple[str, tuple[str, ...]], ...] | UnsetType = UNSET
    layout: Literal["compact"] | UnsetType = UNSET
    margin: Literal[True] | UnsetType = UNSET
    clean: Cleaning | UnsetType = UNSET
    decontaminate: Decontamination | UnsetType = UNSET

    @property
    def within(self) -> Within:
        """Return the part of the store to mine."""
        return Within(self.sites or (), self.communities, self.places or ())


@dataclass
class Threads:
    """Threads with at least one pair, of any communities or of one; the input of every format.

    posts: POST without its body's markup: title and body as clean Markdown, plus `split`; one row a thread.
    answers: ANSWER likewise (`text` is the clean body), sorted by thread, time and id, plus `post_row`, and `wins` and
    `losses`: how many of the rule's pairs, before sampling, the answer won and lost.
    pairs: `winner` and `loser` (rows of answers), `winner_first` (whether the winner is answer 1 or A), `same_text`,
    `confidence` and `tier`.
    """

    posts: pl.DataFrame
    answers: pl.DataFrame
    pairs: pl.DataFrame


@dataclass
class Mined:
    """The result of one range: its threads and the counts. `digest` sums the live rows, in any order.

    `arrival` has the votes of its answers by the order in which they came.
    """

    threads: Threads
    tally: Tally
    digest: int = 0
    newest_us: int | None = None
    comparable: Comparable = field(default_factory=Comparable)
    dropped: dict[str, pl.DataFrame] = field(default_factory=dict)
    arrival: Arrival = field(default_factory=Arrival)
    traits: pl.DataFrame | None = None


@dataclass
class Judged:
    """The posts and answers of one range with the rule's reasons, and the number of contradicting items."""

    posts: pl.DataFrame
    answers: pl.DataFrame
    contradicting_posts: int
    contradicting_answers: int


@dataclass(frozen=True)
class Beyond:
    """What must be known of more than one range.

    Near-equal items (SETTLED, of this range), what to screen for, and the quotas of a cleaning that balances.
    """

    near: pl.DataFrame | None = None
    screen: Screen | None = None
    quotas: Quotas | None = None


def judge_threads(snapshot: Snapshot, part: HashRange, selection: Selection) -> Judged:
    """Read the threads of one range, without their bodies, and decide which are eligible."""
    rule = selection.rule
    posts, contradicting_posts = snapshot.posts(part, selection.within, keep_unreadable=rule.keep_unreadable)
    answers, contradicting_answers = snapshot.answers(part, selection.within, keep_unreadable=rule.keep_unreadable)
    if rule.observe_at_s is not None:
        numbers = [name for name in NUMBERS if name in answers.columns]
        seen = snapshot.scan("answers", part).select(*ANSWER_KEY, "observed_at", *numbers).collect()
        answers = at_age(answers, seen, ANSWER_KEY, rule.observe_at_s)
    posts = judge_posts(posts, rule)
    return Judged(posts, judge_answers(answers, posts, rule), contradicting_posts, contradicting_answers)


def mine_threads(
    snapshot: Snapshot,
    part: HashRange,
    selection: Selection,
    calibration: Calibration,
    *,
    keep_dropped: bool = False,
    beyond: Beyond = Beyond(),
) -> Mined:
    """Read the threads of one range and apply the rule to them.

    A cleaning that balances over all pairs needs quotas; without them the result has the `traits` they are found by.
    """
    rule, tally = selection.rule, Tally()
    judged = judge_threads(snapshot, part, selection)
    tally.note("post", "observations_contradict", judged.contradicting_posts)
    tally.note("answer", "observations_contradict", judged.contradicting_answers)
    if rule.keep_unreadable:
        for kind, name in (("post", "posts"), ("answer", "answers")):
            tally.note(kind, UNREADABLE, snapshot.unreadable(name, part, selection.within))
    posts, answers = judged.posts, judged.answers
    # When somebody noticed that an item is gone changes nothing of an export.
    live = [frame.filter(pl.col("state") == "live")["content_hash"] for frame in (posts, answers)]
    digest = sum(int(hashes.to_numpy().view(np.uint64).sum()) for hashes in live)
    observed = [frame["observed_at"].to_physical().max() for frame in (posts, answers)]
    newest = max((int(value) for value in observed if isinstance(value, int)), default=None)
    if beyond.near is not None:
        posts, answers = without_near(posts, answers, beyond.near)
    tally_reasons(tally, posts, answers)
    out = LeftOut(tally, {"posts": posts, "answers": answers} if keep_dropped else None)
    arrival = Arrival()
    eligible = with_theta(answers, calibration, arrival).filter(pl.col(REASON).is_null()).drop(REASON)
    pairs = form_pairs(eligible, rule, tally, out.pairs)
    threads, traits = _with_text(snapshot, part, pairs, posts.drop(REASON), selection, out, beyond=beyond)
    tally.keep("pair", threads.pairs.height)
    tally.keep("post", threads.posts.height)
    dropped, people = out.frames(), people_of(snapshot, selection.clean)
    if people is not None:
        dropped = {kind: people.columns(frame) for kind, frame in dropped.items()}
    digest %= 1 << 64
    return Mined(threads, tally, digest, newest, count_comparable(answers, rule), dropped, arrival, traits)


def tally_reasons(tally: Tally, posts: pl.DataFrame, answers: pl.DataFrame) -> None:
    """Count judged posts and answers: those that are eligible, and the others by their reason."""
    for kind, frame in (("post", posts), ("answer", answers)):
        for reason, count in frame.group_by(REASON).len().iter_rows():
            if reason is None:
                tally.keep(f"eligible {kind}", count)
            else:
                tally.drop(kind, reason, count)


class LeftOut:
    """What a range leaves out: the counts, and the rows of judged posts and answers, of cleaned ones, and of pairs.

    Without judged rows only the counts are kept, and `pairs` is None.
    """

    def __init__(self, tally: Tally, judged: dict[str, pl.DataFrame] | None) -> None:
        self.tally = tally
        self.pairs = None if judged is None else LeftOutPairs()
        self._items = {kind: [_left_out(frame)] for kind, frame in (judged or {}).items()}

    def add(self, cleaned: Cleaned) -> None:
        """Add what cleaning leaves out; those rows have their texts, too."""
        cleaned.count(self.tally)
        for kind, frame in cleaned.left_out() if self._items else ():
            self._items[kind].append(_left_out(frame))

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the rows by kind: "posts", "answers" and "pairs"."""
        found = {}
        for kind, frames in self._items.items():
            key = () if kind == "posts" else ("answer_id",)
            columns = [*frames[0].columns, *(name for name in ("body", *HELD) if name in frames[-1].columns)]
            both = pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]
            found[kind] = both.select(columns).sort(*THREAD, *key)
        pairs = None if self.pairs is None else self.pairs.frame()
        return found if pairs is None else found | {"pairs": pairs}


def _left_out(judged: pl.DataFrame) -> pl.DataFrame:
    return judged.filter(pl.col(REASON).is_not_null()).drop(HELPERS, strict=False)


def _with_text(
    snapshot: Snapshot,
    part: HashRange,
    pairs: Pairs,
    posts: pl.DataFrame,
    selection: Selection,
    out: LeftOut,
    *,
    beyond: Beyond,
) -> tuple[Threads, pl.DataFrame | None]:
    """Gather the texts of what is in a pair, drop pairs that lack one or are cleaned, sample, and number the rows."""
    clean, tally = selection.clean, out.tally
    # Only answers that are in some pair are read: text is most of the bytes.
    pairs.answers = answer_texts(snapshot, part, pairs.answers, clean, tally)
    pairs = _with_both_texts(pairs, out)
    posts = _posts_of(snapshot, part, posts, pairs, selection, tally)
    number = thread_splits(posts["thread_hash"].to_numpy(), selection.validation, selection.test)
    split = pl.Series("split", SPLITS)[own_splits(posts, number, beyond.near)]
    posts = posts.with_columns(split).sort(*POST_ORDER)
    cleaned, traits = None, None
    if clean or beyond.screen is not None:
        cleaned = Cleaned(posts, pairs.answers, clean or Cleaning(), beyond.screen)
        out.add(cleaned)
        pairs = cleaned.leave(pairs, tally, out.pairs)
        pairs = pairs.among(pairs.in_a_pair())
    wins, losses = (np.bincount(side, minlength=pairs.answers.height) for side in (pairs.winner, pairs.loser))
    pairs.answers = pairs.answers.with_columns(
        wins=pl.Series(wins, dtype=pl.Int32), losses=pl.Series(losses, dtype=pl.Int32)
    )
    pairs = sample_pairs(pairs, selection.rule, tally, out.pairs)
    if cleaned is not None:
        pairs, traits = cleaned.balance(pairs, beyond.quotas, tally, out.pairs)
        thread = pairs.answers["thread_hash"].to_numpy()
        pairs = pairs.among(np.isin(thread, thread[pairs.winner]))
        posts = posts.join(pairs.answers.select(THREAD).unique(), on=THREAD, how="semi", maintain_order="left")
    keys = posts.select(*THREAD).with_row_index("post_row")
    post_row = pairs.answers.join(keys, on=THREAD, how="left", maintain_order="left")["post_row"].to_numpy()
    answers, place = _by_post(pairs.answers, post_row)
    table = pl.DataFrame(
        {
            "winner": place[pairs.winner],
            "loser": place[pairs.loser],
            "winner_first": winner_is_first(
                pairs.pair_hash, pairs.answer_hash[pairs.winner], pairs.answer_hash[pairs.loser], selection.rule.seed
            ),
            "same_text": _same_text(pairs, tally),
            **pairs.worth(),
        }
    )
    people = people_of(snapshot, clean)
    if people is not None:
        posts, answers = people.columns(posts), people.columns(answers)
    return Threads(posts, answers, table.sort("winner", "loser")), traits


def _with_both_texts(pairs: Pairs, out: LeftOut) -> Pairs:
    """The pairs whose two texts are there, among their answers: a body can be empty without its markup."""
    empty = (pairs.answers["text"] == "").to_numpy()
    pairs = pairs.without(empty[pairs.winner] | empty[pairs.loser], "empty_text", out.tally, out.pairs)
    return pairs.among(pairs.in_a_pair())


def _same_text(pairs: Pairs, tally: Tally) -> pl.Series:
    """Where the two texts are equal. Such a pair is SHP's like any other; formats for trainers leave it out."""
    text = pairs.answers["text"]
    same = text[pairs.winner] == text[pairs.loser]
    tally.note("pair", SAME_TEXT, int(same.sum()))
    return same


def _posts_of(
    snapshot: Snapshot, part: HashRange, posts: pl.DataFrame, pairs: Pairs, selection: Selection, tally: Tally
) -> pl.DataFrame:
    """The posts of `pairs` with clean text."""
    posts = posts.join(pairs.answers.select(THREAD).unique(), on=THREAD, how="semi")
    return post_texts(snapshot, part, posts, selection.clean, tally)


def part_bounds(threads: Threads, *, by_day: bool = False) -> pl.DataFrame:
    """Return where each `community` and `split` ends in the frames `posts`, `answers` and `pairs`, in order.

    With `by_day`, where each `day` (Date) of a community and split ends: the day on which a thread began.
    """
    keys: list[str | pl.Expr] = ["community", "split"]
    if by_day:
        keys.append(pl.col("created_at").dt.date().alias("day"))
    groups = threads.posts.group_by(keys, maintain_order=True).len("posts")
    posts = groups["posts"].cum_sum().cast(pl.Int64)
    answers = np.searchsorted(threads.answers["post_row"].to_numpy(), posts.to_numpy())
    pairs = np.searchsorted(threads.pairs["winner"].to_numpy(), answers)
    return groups.with_columns(posts, answers=answers, pairs=pairs)


def joined_threads(parts: Sequence[Threads]) -> Threads:
    """Join the threads of several ranges into one, in the order of a single range."""
    posts = pl.concat([part.posts for part in parts])
    order = posts.select(pl.arg_sort_by(*POST_ORDER)).to_series()
    starts = np.cumsum([0, *(part.posts.height for part in parts)])
    rows = [part.answers["post_row"].to_numpy() + start for part, start in zip(parts, starts, strict=False)]
    answers, place = _by_post(pl.concat([part.answers for part in parts]), _places(order)[np.concatenate(rows)])
    starts = np.cumsum([0, *(part.answers.height for part in parts)])
    pairs = pl.concat(
        part.pairs.with_columns(
            winner=place[part.pairs["winner"].to_numpy() + start], loser=place[part.pairs["loser"].to_numpy() + start]
        )
        for part, start in zip(parts, starts, strict=False)
    )
    return Threads(posts[order], answers, pairs.sort("winner", "loser"))


def _by_post(answers: pl.DataFrame, post_row: Index) -> tuple[pl.DataFrame, Index]:
    """Answers in the order of their posts, so that a community and split lie together; and where each went."""
    order = np.argsort(post_row, kind="stable")
    return answers.with_columns(post_row=pl.Series(post_row, dtype=pl.UInt32))[order], _places(order)


def _places(order: Index | pl.Series) -> Index:
    """Where each row goes when rows are taken in the given order."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place
