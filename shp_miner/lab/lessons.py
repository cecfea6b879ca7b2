"""What models of words learn from: the pairs of each preset and of rivals, with targets, weights and offsets.

An offset is fitted on the threads that a model learns from, so that nothing of the tested threads is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import structs

from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.lab.linear import Examples, thread_weights
from shp_miner.lab.rivals import ANY, cva_pairs, second_tower, worldpm_pairs
from shp_miner.lab.threads import KEY, Threads
from shp_miner.rules.calibrated import measure_answers, with_log_shares
from shp_miner.rules.comparisons import (
    PAIRS_MAX,
    Comparisons,
    attentions,
    compare_answers,
    evaluate,
    fit_slopes,
    soft_label,
)
from shp_miner.rules.delays import COMMUNITY, SHORTEST_S, count_delays, log_shares, merge_delays
from shp_miner.rules.presets import PRESETS

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_THREAD = KEY[:3]

#: Presets that are no lesson of their own: a contrast, and rules for what other lessons have already.
_LEFT_OUT = ("older-winner",)

Kind = Literal["none", "soft", "hard"]


@dataclass(frozen=True)
class Lesson:
    """Pairs to learn from: _THREAD, `winner_id`, `loser_id`.

    soft: learn the share of votes with its weight instead of who has more. offset: the slopes that give attention as an
    offset, those for soft or for hard labels. tower: attention is learned beside the words, and thrown away.
    """

    name: str
    pairs: pl.DataFrame
    soft: bool = False
    offset: Kind = "none"
    tower: bool = False


def lessons_of(threads: Threads, seed: int) -> tuple[list[Lesson], list[str]]:
    """Return the lessons that the threads allow, and remarks on those that they do not."""
    pairs = {name: threads.pairs(rule) for name, rule in PRESETS.items() if name not in _LEFT_OUT}
    every = threads.pairs(ANY)
    # As many pairs of a post as `comparisons` has, so that these lessons differ in one thing.
    capped = threads.pairs(structs.replace(ANY, max_pairs_per_post=PAIRS_MAX))
    compared = pairs.pop("comparisons")
    lessons = [Lesson(name, found) for name, found in pairs.items()]
    unfloored = structs.replace(PRESETS["shp"], name="shp without floors", floors=False)
    lessons += [
        Lesson("shp without floors", threads.pairs(unfloored)),
        Lesson("votes with the offset", pairs["votes"], offset="hard"),
        Lesson("votes without floors", capped),
        Lesson("comparisons", compared, soft=True, offset="soft"),
        Lesson("comparisons without the offset", compared, soft=True),
        Lesson("two towers", capped, tower=True),
        Lesson("WorldPM", worldpm_pairs(every, seed)),
    ]
    judged = cva_pairs(threads, every)
    if judged is None:
        return lessons, ["CVA is not possible: no answer was read more than once with up- and down-votes apart."]
    found, (position, share) = judged
    remark = f"CVA's log-odds of an up-vote: {position:+.2f} / (1 + rank shown), {share:+.2f} times the share so far."
    return [*lessons, Lesson("CVA", found)], [remark]


class Measured:
    """The answers of threads that say something of attention, and the slopes that some of the threads give."""

    def __init__(self, threads: Threads) -> None:
        judged = judge_answers(threads.answers, judge_posts(threads.posts, ANY), ANY)
        measured = measure_answers(judged)
        measured = with_log_shares(measured, log_shares(merge_delays([count_delays(measured)])))
        own = judged[measured["row"].to_numpy()]
        delay_s = (own["created_at"] - own["post_created_at"]).dt.total_microseconds().to_numpy() / 1e6
        _, of, size = np.unique(measured["thread"].to_numpy(), return_inverse=True, return_counts=True)
        self._rows = own.select(KEY).with_row_index("measured")
        self._frame = measured
        self._pairs = compare_answers(judged, measured, ANY)
        self._thread_hash = own["thread_hash"].to_numpy()
        self._tower = second_tower(
            measured["log_rank"].to_numpy(), np.log(np.maximum(delay_s, SHORTEST_S)), np.log(size[of])
        )

    def attention(self, thread_hashes: Rows) -> Floats:
        """Return a . x of each answer (2, answers), the slopes fitted on these threads alone: for soft, hard labels."""
        among = np.isin(self._thread_hash[self._pairs.winner], thread_hashes)
        pairs = Comparisons(self._pairs.winner[among], self._pairs.loser[among])
        names = self._frame.select(COMMUNITY).unique()
        slopes = fit_slopes(names, lambda at: evaluate(self._frame, pairs, at))
        joined = self._frame.join(slopes, on=COMMUNITY, how="left", maintain_order="left")
        # A community without pairs among these threads is left alone: its offsets would be of no example.
        return np.nan_to_num(attentions(joined))

    def places(self, pairs: pl.DataFrame, of: str) -> Rows:
        """The place of each pair's "winner" or "loser" among the measured answers."""
        keys = pairs.select(*_THREAD, answer_id=f"{of}_id")
        found = keys.join(self._rows, on=KEY, how="left", maintain_order="left")["measured"]
        return found.to_numpy().astype(np.int64)

    def examples(self, lesson: Lesson, winner: Rows, loser: Rows, thread: Rows) -> Examples:
        """A lesson's pairs as examples (rows of texts as given), but for offset and thread weights."""
        w, k = self.places(lesson.pairs, "winner"), self.places(lesson.pairs, "loser")
        target = weight = None
        if lesson.soft:
            votes = self._frame["votes"].to_numpy().astype(np.float64)
            target, weight = soft_label(votes[w], votes[k])
        beside = self._tower[w] - self._tower[k] if lesson.tower else None
        return Examples(winner, loser, thread, target, weight, None, beside)


def weighed(examples: Examples) -> Examples:
    """The examples, with 1 / sqrt of a thread's pairs as a factor of their weights."""
    own = thread_weights(examples.thread)
    weight = own if examples.weight is None else examples.weight * own
    return Examples(
        examples.winner, examples.loser, examples.thread, examples.target, weight, examples.offset, examples.beside
    )
