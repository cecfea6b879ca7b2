"""One thread of a store as a rule sees it: readings, eligible answers, and why each pair is made or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
from msgspec import Struct

from shp_miner.clean.balance import require_local
from shp_miner.clean.cleaning import Clean, as_cleaning
from shp_miner.engine import Steps, Threads, cores
from shp_miner.mining.cleaned import answer_texts, post_texts
from shp_miner.mining.mine import Beyond, Mined, Selection, judge_threads, mine_threads
from shp_miner.model import NO_TIME_US
from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.presets import Rule
from shp_miner.rules.reasons import sentence
from shp_miner.show.find import ThreadKey
from shp_miner.show.fit import Places, fitted
from shp_miner.show.near import near_in, near_in_steps
from shp_miner.store import Snapshot, Store
from shp_miner.tally import Tally
from shp_miner.units import to_us


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
    created_at: datetime | None
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
    clean: Clean = None,
) -> ThreadShown:
    """Return a thread of a store with everything that the rule decides about it, as an export decides it.

    `fits` gives the calibration of the thread's communities, for callers that keep those of earlier threads. `clean` is
    as for `export_dataset`; where it compares texts, they are those of the whole store.
    """
    selection = Selection(rule=rule, sites=(thread.site,), clean=as_cleaning(clean))
    require_local(selection.clean)
    everything = Selection(rule=rule, clean=selection.clean)
    steps = Steps(near_in_steps(snapshot, everything), advance)
    near = near_in(store, snapshot, everything, engine=Threads(cores()), advance=steps)
    judged = judge_threads(snapshot, thread.part, selection)
    own = pl.col("post_id") == thread.post_id
    posts, answers = (
        texts(snapshot, thread.part, rows.filter(own), selection.clean, Tally())
        for texts, rows in ((post_texts, judged.posts), (answer_texts, judged.answers))
    )
    posts, answers = posts.rename({"body": "text"}), answers.sort("created_at", "answer_id")
    places = {(thread.site, name) for frame in (posts, answers) for name in frame["community"]}
    calibration = fitted(store, snapshot, rule, places, advance) if fits is None else fits(places)
    number = {answer_id: place for place, answer_id in enumerate(answers["answer_id"], start=1)}
    readings = {name: _readings(snapshot, name, thread) for name in ("posts", "answers")}
    post = posts.row(0, named=True) if posts.height else None
    beyond = Beyond(near=None if near is None else near.filter(thread.part.holds()))
    mined = mine_threads(snapshot, thread.part, selection, calibration, keep_dropped=True, beyond=beyond)
    left_out = {kind: _reasons(mined, kind, thread) for kind in readings}
    pairs, not_made = _pairs(mined, thread, number)
    return ThreadShown(
        site=thread.site,
        community=next(iter([*posts["community"], *answers["community"]])),
        url=None if post is None else post["url"],
        rule=rule.name,
        version=snapshot.version,
        title="" if post is None else post["title"],
        post=None if post is None else ShownItem(**_item(post, thread.post_id, readings["posts"], left_out["posts"])),
        answers=[
            ShownAnswer(
                **_item(row, row["answer_id"], readings["answers"], left_out["answers"]),
                number=place,
                accepted=row["accepted"],
            )
            for place, row in enumerate(answers.iter_rows(named=True), start=1)
        ],
        pairs=pairs,
        not_made=not_made,
    )


def _reasons(mined: Mined, kind: str, thread: ThreadKey) -> dict[str, str]:
    """Why posts or answers of the thread are left out, by the rule or by cleaning."""
    rows = mined.dropped[kind].filter(pl.col("site") == thread.site, pl.col("post_id") == thread.post_id)
    return dict(rows.select("post_id" if kind == "posts" else "answer_id", REASON).iter_rows())


def _item(
    row: dict[str, Any], item_id: str, readings: dict[str, list[ShownReading]], left_out: dict[str, str]
) -> dict[str, Any]:
    reason = left_out.get(item_id)
    shown = {name: row[name] for name in ("text", "score", "state")} | {"created_at": _known(row["created_at"])}
    why = None if reason is None else sentence(reason)
    return {"id": item_id, **shown, "readings": readings[item_id], "reason": reason, "why": why}


def _readings(snapshot: Snapshot, name: str, thread: ThreadKey) -> dict[str, list[ShownReading]]:
    """The readings of each item of a thread, the oldest first; those of the same time, score and state once."""
    key = "post_id" if name == "posts" else "answer_id"
    own = (pl.col("site") == thread.site) & (pl.col("post_id") == thread.post_id)
    columns = [key, "observed_at", "created_at", "score", "state"]
    rows = snapshot.scan(name, thread.part).filter(own).select(columns).unique().collect()
    found: dict[str, list[ShownReading]] = defaultdict(list)
    for item_id, observed_at, created_at, score, state in rows.sort(columns, nulls_last=False).iter_rows():
        written_at = _known(created_at)
        age_s = None if observed_at is None or written_at is None else (observed_at - written_at).total_seconds()
        found[item_id].append(ShownReading(observed_at, age_s, score, state))
    return found


def _known(created_at: datetime) -> datetime | None:
    return None if to_us(created_at) == NO_TIME_US else created_at


def _pairs(mined: Mined, thread: ThreadKey, number: dict[str, int]) -> tuple[list[Made], list[NotMade]]:
    """The pairs of the thread that an export has, and all others of its eligible answers."""
    own = (pl.col("site") == thread.site) & (pl.col("post_id") == thread.post_id)
    ids, is_own = (mined.threads.answers.select(column).to_series() for column in ("answer_id", own))
    pairs = mined.threads.pairs.filter(is_own[mined.threads.pairs["winner"]])
    made = [
        Made(number[ids[winner]], number[ids[loser]], confidence, tier)
        for winner, loser, confidence, tier in pairs.select("winner", "loser", "confidence", "tier").iter_rows()
    ]
    left_out = mined.dropped.get("pairs")
    rows = [] if left_out is None else left_out.filter(own).select("winner_id", "loser_id", REASON).rows()
    not_made = [NotMade(number[more], number[less], reason, sentence(reason)) for more, less, reason in rows]
    return sorted(made, key=lambda pair: (pair.winner, pair.loser)), sorted(
        not_made, key=lambda pair: (pair.more, pair.less)
    )
