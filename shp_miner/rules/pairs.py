"""Which of two answers is preferred: one predicate over every pair of eligible answers of a thread.

Works on whole columns: the candidates of all threads are laid out as two index arrays, and each condition is one mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.model import TIERS
from shp_miner.rules.accepted import Choices
from shp_miner.rules.age import read_apart
from shp_miner.rules.calibrated import SURE, win_probability
from shp_miner.rules.comparisons import WEIGHT_MOST, attention_of, candidates, soft_label
from shp_miner.rules.eligibility import (
    THREAD,
    below_floor,
    below_floors,
    of_platform,
)
from shp_miner.rules.hashing import Hashes, answer_hashes, draw_shares, pair_hashes, sample_keys
from shp_miner.rules.left_out import LeftOutPairs
from shp_miner.rules.presets import Rule
from shp_miner.rules.readers import likelier_by_readers
from shp_miner.tally import Tally

if TYPE_CHECKING:
    pass

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

#: What names an answer, and what decides about its pairs once it is judged.
ANSWER_KEY = (*THREAD, "answer_id")


#: The probability of a pair that nothing decides.
_EVEN = 0.5


@dataclass
class Pairs:
    """Preferences as row numbers into `answers` (sorted by thread, time and id), with what decided them.

    `confidence` is the probability that the winner is better (NaN where it was not computed); `strict` says whether
    SHP would have the pair too, and it is sure.
    """

    answers: pl.DataFrame
    winner: Index
    loser: Index
    confidence: Floats
    strict: Mask
    pair_hash: Hashes
    answer_hash: Hashes

    def __len__(self) -> int:
        return len(self.winner)

    def only(self, keep: Mask) -> Pairs:
        """The pairs where `keep` holds."""
        fewer = {name: getattr(self, name)[keep] for name in ("winner", "loser", "confidence", "strict", "pair_hash")}
        return replace(self, **fewer)

    def without(self, gone: Mask, reason: str | pl.Series, tally: Tally, left_out: LeftOutPairs | None = None) -> Pairs:
        """The pairs where `gone` does not hold; the others are counted under the reason, or each under its own.

        `left_out` gets the others themselves.
        """
        reasons = pl.repeat(reason, int(gone.sum()), eager=True) if isinstance(reason, str) else reason.filter(gone)
        for name, count in reasons.value_counts(sort=True).iter_rows():
            tally.drop("pair", name, count)
        if left_out is not None:
            left_out.add(self.answers, self.winner[gone], self.loser[gone], reasons)
        return self.only(~gone)

    def in_a_pair(self) -> Mask:
        """Return which answers are in any pair."""
        paired = np.zeros(self.answers.height, dtype=bool)
        paired[self.winner] = paired[self.loser] = True
        return paired

    def among(self, answers: Mask) -> Pairs:
        """Return the same pairs with fewer answers: those where `answers` holds. All answers of pairs must stay."""
        row = np.cumsum(answers) - 1
        return replace(
            self,
            answers=self.answers.filter(answers),
            winner=row[self.winner],
            loser=row[self.loser],
            answer_hash=self.answer_hash[answers],
        )

    def worth(self) -> dict[str, pl.Series]:
        """Return `confidence`, `tier`, `target`, `weight`, `attention` and `margin`; numbers are null if unknown."""
        votes, attention, hard = (self.answers[n].to_numpy() for n in ("votes", "attention", "hard_attention"))
        target, weight = soft_label(votes[self.winner], votes[self.loser])
        known = {
            "confidence": self.confidence,
            "target": target,
            "weight": weight,
            "attention": attention_of(attention, self.winner, self.loser),
            "margin": attention_of(hard, self.loser, self.winner),
        }
        tier = pl.Series(TIERS)[(~self.strict).astype(np.int8)]
        return {name: pl.Series(values, nan_to_null=True, dtype=pl.Float64) for name, values in known.items()} | {
            "tier": tier
        }


def form_pairs(eligible: pl.DataFrame, rule: Rule, tally: Tally, left_out: LeftOutPairs | None = None) -> Pairs:
    """All pairs of one thread's answers that satisfy the rule, with their answers; others are counted by reason.

    `eligible` is ANSWER with only eligible rows, `post_score`, and what `with_theta` adds. The sample of
    max_pairs_per_post is taken later (`sample_pairs`), since pairs can still fall out when their texts are read.
    `left_out` gets the others themselves.
    """
    found = judge_pairs(eligible, rule)
    answers = found.answers
    for number, reason in enumerate(found.reasons):
        tally.drop("pair", reason, int((found.failing == number).sum()))
    kept = found.failing < 0
    if left_out is not None and found.reasons:
        why = pl.Series(found.reasons)[found.failing[~kept]]
        left_out.add(answers, found.winner[~kept], found.loser[~kept], why)
    winner, loser, confidence = found.winner[kept], found.loser[kept], found.confidence[kept]
    hashes = _hashes(answers, winner, loser)
    strict = _strict(answers, winner, loser, confidence)
    hashed = pair_hashes(hashes[winner], hashes[loser])
    pairs = Pairs(answers, winner, loser, confidence, strict, hashed, hashes)
    return pairs.among(pairs.in_a_pair())


@dataclass(frozen=True)
class JudgedPairs:
    """Every pair of eligible answers of a thread, with its first failing reason.

    `winner` and `loser` are rows of `answers` (sorted by thread, time and id). `failing` is the place of the reason in
    `reasons`, or -1 for a pair that satisfies the rule. `confidence` is NaN where it was not computed.
    """

    answers: pl.DataFrame
    winner: Index
    loser: Index
    failing: npt.NDArray[np.int8]
    reasons: list[str]
    confidence: Floats


def judge_pairs(eligible: pl.DataFrame, rule: Rule) -> JudgedPairs:
    """Every pair of answers of one thread with the first reason that keeps it from the rule's pairs, if any.

    `eligible` is as for `form_pairs`.
    """
    answers = eligible.sort(*THREAD, "created_at", "answer_id")
    earlier, later = candidates(_thread_number(answers))
    # Of each answer, or with readers of each pair: the probability that the earlier one is better.
    by_readers = rule.measure == "per-reader"
    measure = likelier_by_readers(answers, earlier, later) if by_readers else _measure(answers, rule)
    # Candidates are ordered by time, so the winner is the later one unless the earlier one measures more.
    earlier_wins = measure > _EVEN if by_readers else measure[earlier] > measure[later]
    winner, loser = np.where(earlier_wins, earlier, later), np.where(earlier_wins, later, earlier)
    failing = np.full(len(winner), -1, np.int8)
    reasons: list[str] = []
    undecided = _undecided(answers, measure, earlier, later, rule)
    for reason, fails in chain(undecided, _conditions(answers, winner, loser, rule)):
        failing[(failing < 0) & fails] = len(reasons)
        reasons.append(reason)
    kept = np.flatnonzero(failing < 0)
    confidence = np.full(len(winner), np.nan)
    confidence[kept] = _confidence(answers, winner[kept], loser[kept], rule)
    if rule.min_confidence is not None:
        failing[kept[~(confidence[kept] >= rule.min_confidence)]] = len(reasons)
        reasons.append("confidence_too_low")
    if rule.sample_by_weight:
        kept = np.flatnonzero(failing < 0)
        failing[kept[~_drawn(answers, winner[kept], loser[kept], rule.seed)]] = len(reasons)
        reasons.append("not_drawn")
    judged = JudgedPairs(answers, winner, loser, failing, reasons, confidence)
    return judged if rule.or_ is None else _with_choices(judged, rule)


def _drawn(answers: pl.DataFrame, winner: Index, loser: Index, seed: int) -> Mask:
    """Return the pairs of a sample in which the weight of a pair is its chance; other data do not change it."""
    votes = answers["votes"].to_numpy()
    _, weight = soft_label(votes[winner], votes[loser])
    hashed = pair_hashes(*(_hashes(answers, side)[side] for side in (winner, loser)))
    result: Mask = draw_shares(hashed, seed) < weight / WEIGHT_MOST  # never where it has none
    return result


def _hashes(answers: pl.DataFrame, *sides: Index) -> Hashes:
    """Return the hash of each answer in `sides`; of others 0. Hashes are made one by one in Python."""
    used = np.zeros(answers.height, dtype=bool)
    for side in sides:
        used[side] = True
    hashes = np.zeros(answers.height, np.uint64)
    hashes[used] = answer_hashes(answers.filter(used))
    return hashes


def _with_choices(judged: JudgedPairs, rule: Rule) -> JudgedPairs:
    """The pairs of the rule without those that the asker decided the other way, and all others that the asker decided.

    A pair of the asker's choice alone needs nothing else: no lowest score, age or confidence.
    """
    answers, choices = judged.answers, Choices(judged.answers, rule)
    for_winner = choices.prefers(judged.winner, judged.loser)
    for_loser = choices.prefers(judged.loser, judged.winner)
    made = judged.failing < 0
    added = ~made & (for_winner | for_loser)
    turned = added & for_loser
    winner, loser = (
        np.where(turned, other, side) for side, other in ((judged.winner, judged.loser), (judged.loser, judged.winner))
    )
    failing = np.where(added, -1, judged.failing).astype(np.int8)
    failing[made & for_loser] = len(judged.reasons)
    confidence = judged.confidence.copy()
    confidence[added] = _confidence(answers, winner[added], loser[added], rule)
    return JudgedPairs(answers, winner, loser, failing, [*judged.reasons, "choice_disagrees"], confidence)


def sample_pairs(pairs: Pairs, rule: Rule, tally: Tally, left_out: LeftOutPairs | None = None) -> Pairs:
    """At most max_pairs_per_post pairs of each thread: a uniform sample that other threads do not change."""
    if rule.max_pairs_per_post is None or not len(pairs):
        return pairs
    frame = pl.DataFrame(
        {
            "thread": _thread_number(pairs.answers)[pairs.winner],
            "key": sample_keys(pairs.pair_hash, rule.seed),
            "hash": pairs.pair_hash,
        }
    )
    rank = frame.select(pl.struct("key", "hash").rank("ordinal").over("thread"))["key"]
    keep = (rank <= rule.max_pairs_per_post).to_numpy()
    return pairs.without(~keep, "over_pair_cap", tally, left_out)


def _undecided(
    answers: pl.DataFrame, measure: Index | Floats, earlier: Index, later: Index, rule: Rule
) -> Iterator[tuple[str, Mask]]:
    """(reason, where what the rule measures does not decide); `measure` is as in `judge_pairs`."""
    if rule.measure == "accepted":
        yield from _unchosen(Choices(answers, rule), earlier, later)
    elif rule.measure == "per-reader":
        yield "no_readers", np.isnan(measure)
        yield "equal_score", measure == _EVEN
    else:
        if rule.measure == "votes":
            yield "votes_negative", np.minimum(measure[earlier], measure[later]) < 0
        yield "equal_score", measure[earlier] == measure[later]


def _unchosen(choices: Choices, a: Index, b: Index) -> Iterator[tuple[str, Mask]]:
    yield "no_choice", ~choices.only_one(a, b)
    yield "written_after_choice", choices.too_late(a, b)


def _conditions(answers: pl.DataFrame, winner: Index, loser: Index, rule: Rule) -> Iterator[tuple[str, Mask]]:
    """(reason, where the pair is not wanted), in the order in which they are counted."""
    created = answers["created_at"].to_physical().to_numpy()
    score = answers["score"].to_numpy()
    apart_us = created[winner] - created[loser]
    # Answers below the lowest scores are there only for the asker's choice.
    low = answers.select(below_floors(rule)).to_series().to_numpy() if rule.or_ else np.zeros(answers.height, bool)
    if rule.or_ is not None:
        yield "score_too_low", low[winner] | low[loser]
    if rule.order == "winner-not-older":
        yield "winner_older", apart_us < 0
    elif rule.order == "winner-older":
        yield "winner_not_older", apart_us >= 0
    if rule.neighbours_only:
        place = np.cumsum(~low)
        yield "not_neighbours", np.abs(place[winner] - place[loser]) != 1
    if rule.max_apart_s is not None:
        yield "too_far_apart", np.abs(apart_us) > rule.max_apart_s * 1e6
    votes = answers.select(of_platform("scores_are_votes")).to_series().to_numpy()
    if rule.measure != "accepted" and not votes.all():
        yield "scores_unlike", votes[winner] != votes[loser]
    # Scores of one age are of different times, and meant to be. A choice compares no scores.
    if rule.observe_at_s is None and rule.measure != "accepted":
        yield "scores_read_apart", read_apart(answers, winner, loser, rule)
    if rule.min_ratio is not None:
        yield "ratio_undefined", score[loser] <= 0
        with np.errstate(divide="ignore", invalid="ignore"):
            yield "ratio_too_low", score[winner] / score[loser] < rule.min_ratio
    if rule.and_ is not None:
        choices = Choices(answers, rule)
        yield from _unchosen(choices, winner, loser)
        yield "choice_disagrees", ~choices.prefers(winner, loser)


def _confidence(answers: pl.DataFrame, winner: Index, loser: Index, rule: Rule) -> Floats:
    """The probability that the label is right, as steep as the rule says: sigmoid(slope logit(p)).

    The slope is that of D. R. Cox 1958: what an audit's judges give (docs/audit.md).
    """
    p = win_probability(answers, winner, loser)
    if rule.confidence_slope == 1.0:
        return p
    odds = (np.clip(p, 1e-6, 1 - 1e-6) / (1 - np.clip(p, 1e-6, 1 - 1e-6))) ** rule.confidence_slope
    return np.round(odds / (1 + odds), 6)


def _strict(answers: pl.DataFrame, winner: Index, loser: Index, confidence: Floats) -> Mask:
    """Where SHP would have the pair too: scores not below the floors, more votes though not older; and it is sure."""
    low = answers.select(below_floor()).to_series().to_numpy()
    created, score = answers["created_at"].to_physical().to_numpy(), answers["score"].to_numpy()
    later = (created[winner] >= created[loser]) & (score[winner] > score[loser])
    result: Mask = later & ~low[winner] & ~low[loser] & (confidence >= SURE)
    return result


def _measure(answers: pl.DataFrame, rule: Rule) -> npt.NDArray[np.int64]:
    """What is compared: the score, v, whether accepted, or the level of the votes with 1 more if accepted.

    The level is round(log2(1 + v)), -1 for negative v (Askell 2021); v is the votes beyond the starting score.
    """
    if rule.measure == "accepted":
        return answers["accepted"].to_numpy().astype(np.int64)
    score = answers["score"].to_numpy()
    if rule.measure == "score":
        return score.astype(np.int64, copy=False)
    # As floats: whole numbers would run over at the largest score.
    votes = score - answers.select(of_platform("starting_score", dtype=pl.Float64)).to_series().to_numpy()
    if rule.measure == "log2-votes":
        levels = np.where(votes < 0, -1, np.rint(np.log2(1 + np.maximum(votes, 0))))
        votes = levels + answers["accepted"].to_numpy()
    result: Index = votes.astype(np.int64)
    return result


def _thread_number(answers: pl.DataFrame) -> Index:
    return answers.select(pl.struct(THREAD).rle_id()).to_series().to_numpy().astype(np.int64)
