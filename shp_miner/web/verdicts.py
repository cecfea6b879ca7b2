"""What every preset says of some pairs of a store: which answer it prefers, or why it does not keep the pair."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import polars as pl
from msgspec import Struct

from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.rules.calibrated import Calibration, with_theta
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.pairs import form_pairs, judge_pairs, sample_pairs
from shp_miner.rules.presets import PRESETS, Rule
from shp_miner.rules.reasons import sentence
from shp_miner.show.find import ThreadKey
from shp_miner.show.fit import fitted
from shp_miner.store import Snapshot, Store
from shp_miner.tally import Tally


class PairKey(Struct, frozen=True):
    """A pair by its thread and the ids of its answers, in any order."""

    site: str
    post_id: str
    answers: frozenset[str]

    @property
    def thread(self) -> ThreadKey:
        """Return the key of the pair's thread."""
        return ThreadKey(self.site, self.post_id)


class Verdict(Struct, frozen=True):
    """What a rule says of a pair: the answer that it prefers and how sure it is, or why the pair is not kept."""

    rule: str
    preferred_id: str | None
    confidence: float | None = None
    why: str | None = None


def key_of(row: dict[str, Any]) -> PairKey:
    """Return the key of a row of the format "pairs"."""
    ids = [row["answer1_id"], row["answer2_id"]]
    ends = [f"/{row['post_id']}/{first}-{second}" for first, second in (ids, ids[::-1])]
    end = next(end for end in ends if row["pair_id"].endswith(end))
    return PairKey(row["pair_id"].removesuffix(end), row["post_id"], frozenset(ids))


def verdicts(
    store: Store, snapshot: Snapshot, pairs: Sequence[PairKey], rules: Collection[Rule] = tuple(PRESETS.values())
) -> dict[PairKey, list[Verdict]]:
    """Return what each rule says of each pair. Every thread is read once, without its texts.

    A pair that the store does not have is left out. All rules must agree in what fits depend on, as the presets do.
    """
    posts, answers = _threads(snapshot, {pair.thread for pair in pairs})
    if answers.is_empty():
        return {}
    places = set(answers.select("site", "community").unique().iter_rows())
    calibration = fitted(store, snapshot, next(iter(rules)), places)
    known = {(site, post, answer) for site, post, answer in answers.select("site", "post_id", "answer_id").iter_rows()}
    there = [pair for pair in pairs if all((pair.site, pair.post_id, answer) in known for answer in pair.answers)]
    found: dict[PairKey, list[Verdict]] = {pair: [] for pair in there}
    for rule in rules:
        judged = judge_answers(answers, judge_posts(posts, rule), rule)
        of_rule = _of_rule(judged, calibration, rule)
        reasons = {
            (site, post, answer): reason
            for site, post, answer, reason in judged.select("site", "post_id", "answer_id", REASON).iter_rows()
        }
        for pair in there:
            out = [reasons[pair.site, pair.post_id, answer] for answer in sorted(pair.answers)]
            why = next((sentence(reason) for reason in out if reason is not None), None)
            unknown = Verdict(rule.name, None, why=why or "The two answers are not compared.")
            found[pair].append(of_rule.get(pair, unknown))
    return found


def _threads(snapshot: Snapshot, threads: Collection[ThreadKey]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The posts and answers of some threads, as they were last seen; only files that can have them are read."""
    frames: dict[str, list[pl.DataFrame]] = {"posts": [], "answers": []}
    for thread in sorted(threads, key=lambda thread: thread.part.start):
        own = (pl.col("site") == thread.site) & (pl.col("post_id") == thread.post_id)
        frames["posts"].append(snapshot.posts(thread.part)[0].filter(own))
        frames["answers"].append(snapshot.answers(thread.part)[0].filter(own))
    return pl.concat(frames["posts"]), pl.concat(frames["answers"])


def _of_rule(judged: pl.DataFrame, calibration: Calibration, rule: Rule) -> dict[PairKey, Verdict]:
    """What a rule says of every pair of eligible answers."""
    eligible = with_theta(judged, calibration).filter(pl.col(REASON).is_null()).drop(REASON)
    all_pairs, tally = judge_pairs(eligible, rule), Tally()
    keys = list(all_pairs.answers.select("site", "post_id", "answer_id").iter_rows())
    found: dict[PairKey, Verdict] = {}
    for winner, loser, failing in zip(
        *(column.tolist() for column in (all_pairs.winner, all_pairs.loser, all_pairs.failing)), strict=True
    ):
        reason = all_pairs.reasons[failing] if failing >= 0 else "over_pair_cap"
        found[_key(keys[winner], keys[loser])] = Verdict(rule.name, None, why=sentence(reason))
    made = sample_pairs(form_pairs(eligible, rule, tally), rule, tally)
    keys = list(made.answers.select("site", "post_id", "answer_id").iter_rows())
    sure = made.worth()["confidence"].to_list()
    for winner, loser, confidence in zip(made.winner.tolist(), made.loser.tolist(), sure, strict=True):
        found[_key(keys[winner], keys[loser])] = Verdict(rule.name, keys[winner][2], confidence)
    return found


def _key(one: tuple[str, str, str], other: tuple[str, str, str]) -> PairKey:
    return PairKey(one[0], one[1], frozenset((one[2], other[2])))
