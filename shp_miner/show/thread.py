"""One thread of a store as a rule sees it: readings, eligible answers, and why each pair is made or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
from msgspec import Struct

from shp_miner.mining.mine import Selection, judge_threads, mine_threads
from shp_miner.rules.calibrated import Calibration, with_theta
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.pairs import judge_pairs
from shp_miner.rules.presets import Rule
from shp_miner.rules.reasons import sentence
from shp_miner.show.find import ThreadKey
from shp_miner.show.fit import Places, fitted
from shp_miner.store import HashRange, Snapshot, Store
from shp_miner.text.clean import clean_bodies, clean_titles


class ShownReading(Struct):
    """A score and state as a platform reported them at one time; `age_s` is the age of the item then, in seconds."""

    observed_at: datetime | None
    age_s: float | None
    score: int | None
    state: str


class ShownItem(Struct, kw_only=True):
    """A post or an answer: its text as exports have it, its readings, and why the rule leaves it out, if it does."""

    id: str
    text: str
    created_at: datetime
    score: int | None
    state: str
    readings: list[ShownReading]
    reason: str | None
    why: str | None


class ShownAnswer(ShownItem, kw_only=True):
    """An answer with its number in the order of time, from 1."""

    number: int
    accepted: bool


class Made(Struct):
    """A pair that the rule makes, by the numbers of its answers."""

    winner: int
    loser: int
    confidence: float | None
    tier: str


class NotMade(Struct):
    """A pair that the rule does not make, by the numbers of its answers, and why. `more` would be the winner."""

    more: int
    less: int
    reason: str
    why: str


class ThreadShown(Struct):
    """A thread under a rule."""

    site: str
    community: str
    url: str | None
    rule: str
    version: str
    title: str
    post: ShownItem | None
    answers: list[ShownAnswer]
    pairs: list[Made]
    not_made: list[NotMade]


def show_thread(
    store: Store,
    snapshot: Snapshot,
    thread: ThreadKey,
    rule: Rule,
    advance: Callable[[int, int], None] | None = None,
    *,
    fits: Callable[[Places], Calibration] | None = None,
) -> ThreadShown:
    """Return a thread of a store with everything that the rule decides about it, as an export decides it.

    `fits` gives the calibration of the thread's communities, for callers that keep those of earlier threads.
    """
    selection = Selection(rule=rule, sites=(thread.site,))
    judged = judge_threads(snapshot, thread.part, selection)
    own = pl.col("post_id") == thread.post_id
    posts = _texts(snapshot, "posts", thread.part, judged.posts.filter(own))
    answers = _texts(snapshot, "answers", thread.part, judged.answers.filter(own)).sort("created_at", "answer_id")
    places = {(thread.site, name) for frame in (posts, answers) for name in frame["community"]}
    calibration = fitted(store, snapshot, rule, places, advance) if fits is None else fits(places)
    number = {answer_id: place for place, answer_id in enumerate(answers["answer_id"], start=1)}
    readings = {name: _readings(snapshot, name, thread) for name in ("posts", "answers")}
    post = posts.row(0, named=True) if posts.height else None
    pairs, not_made = _pairs(snapshot, thread, selection, calibration, answers, number)
    return ThreadShown(
        site=thread.site,
        community=next(iter([*posts["community"], *answers["community"]])),
        url=None if post is None else post["url"],
        rule=rule.name,
        version=snapshot.version,
        title=_title(post),
        post=None if post is None else ShownItem(**_item(post, thread.post_id, readings["posts"])),
        answers=[
            ShownAnswer(**_item(row, row["answer_id"], readings["answers"]), number=place, accepted=row["accepted"])
            for place, row in enumerate(answers.iter_rows(named=True), start=1)
        ],
        pairs=pairs,
        not_made=not_made,
    )


def _texts(snapshot: Snapshot, name: str, part: HashRange, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `text`, their body as exports have it."""
    rows = snapshot.bodies(name, part, rows)
    return rows.with_columns(clean_bodies(rows["body"], rows["body_format"]).alias("text")).drop("body")


def _title(post: dict[str, Any] | None) -> str:
    if post is None:
        return ""
    return str(clean_titles(pl.Series([post["title"]]), pl.Series([post["body_format"]]))[0])


def _item(row: dict[str, Any], item_id: str, readings: dict[str, list[ShownReading]]) -> dict[str, Any]:
    why = None if row[REASON] is None else sentence(row[REASON])
    shown = {name: row[name] for name in ("text", "created_at", "score", "state")}
    return {"id": item_id, **shown, "readings": readings[item_id], "reason": row[REASON], "why": why}


def _readings(snapshot: Snapshot, name: str, thread: ThreadKey) -> dict[str, list[ShownReading]]:
    """The readings of each item of a thread, the oldest first; those of the same time, score and state once."""
    key = "post_id" if name == "posts" else "answer_id"
    own = (pl.col("site") == thread.site) & (pl.col("post_id") == thread.post_id)
    columns = [key, "observed_at", "created_at", "score", "state"]
    rows = snapshot.scan(name, thread.part).filter(own).select(columns).unique().collect()
    found: dict[str, list[ShownReading]] = defaultdict(list)
    for item_id, observed_at, created_at, score, state in rows.sort(columns, nulls_last=False).iter_rows():
        age_s = None if observed_at is None else (observed_at - created_at).total_seconds()
        found[item_id].append(ShownReading(observed_at, age_s, score, state))
    return found


def _pairs(
    snapshot: Snapshot,
    thread: ThreadKey,
    selection: Selection,
    calibration: Calibration,
    answers: pl.DataFrame,
    number: dict[str, int],
) -> tuple[list[Made], list[NotMade]]:
    """The pairs of the thread that an export has, and all others of its eligible answers."""
    threads = mine_threads(snapshot, thread.part, selection, calibration).threads
    ids = threads.answers["answer_id"].to_list()
    made = {
        (ids[winner], ids[loser]): Made(number[ids[winner]], number[ids[loser]], confidence, tier)
        for winner, loser, confidence, tier in threads.pairs.select("winner", "loser", "confidence", "tier").iter_rows()
    }
    eligible = with_theta(answers, calibration).filter(pl.col(REASON).is_null())
    judged = judge_pairs(eligible.drop(REASON), selection.rule)
    ids, texts = (judged.answers[name].to_list() for name in ("answer_id", "text"))
    not_made = []
    for winner, loser, failing in zip(
        *(column.tolist() for column in (judged.winner, judged.loser, judged.failing)), strict=True
    ):
        if (ids[winner], ids[loser]) in made:
            continue
        empty = not (texts[winner] and texts[loser])
        late = "empty_text" if empty else "over_pair_cap"  # decided once texts are read
        reason = judged.reasons[failing] if failing >= 0 else late
        not_made.append(NotMade(number[ids[winner]], number[ids[loser]], reason, sentence(reason)))
    return sorted(made.values(), key=lambda pair: (pair.winner, pair.loser)), sorted(
        not_made, key=lambda pair: (pair.more, pair.less)
    )
