"""The bench on which models of words learn and are tested: texts, lessons and tests of one site.

Each model learns from threads that do not test it. Its penalty is chosen among the threads that it learns from, and a
thread with n pairs weighs sqrt(n) in learning. Of the test pairs those with an older and with a newer winner weigh
alike: where the older answer wins more often, being early would otherwise be worth learning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.lab.judges import accepted_judge
from shp_miner.lab.lessons import Lesson, Measured, lessons_of, weighed
from shp_miner.lab.linear import Examples, Learner, word_matrix
from shp_miner.lab.linear import Floats as Weights
from shp_miner.lab.rivals import ANY
from shp_miner.lab.splits import Split
from shp_miner.lab.threads import KEY, Shares, Threads
from shp_miner.lab.words import TEST
from shp_miner.text.clean import clean_bodies

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Folds to learn from and the one that says how well.
Inner = tuple[frozenset[int], int]

#: Penalties to choose among, from strong to weak; and how much worse a weaker one may be before the search ends.
PENALTIES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
_HOPELESS = 0.004

#: Pairs within an hour are what a test needs; with fewer of them, any two answers of a thread are taken.
_TEST_MIN = 1000
_FEWEST = 60
_TRAIN_MIN = 30

LONGER = "(longer answer)"

_THREAD = KEY[:3]


@dataclass(frozen=True, eq=False)
class Test:
    """Pairs that test: rows of texts and thread numbers; what each weighs, and whether each thread weighs alike."""

    name: str
    winner: Rows
    loser: Rows
    thread: Rows
    newer: Mask
    by_thread: bool
    note: str

    def weights(self, among: Mask) -> Floats:
        """Weights of some of the pairs: older and newer winners weigh alike."""
        newer = self.newer[among]
        counts = np.bincount(newer, minlength=2)
        weights: Floats = np.where(counts.min() == 0, 1.0, 0.5 / np.maximum(counts, 1)[newer.astype(np.int64)])
        return weights


@dataclass(frozen=True, eq=False)
class Learned:
    """A lesson's models: whether they tell test pairs right (of each test, NaN where untested), and what was learned.

    `tested` says which pairs of each test were tested.
    """

    hits: list[Floats]
    tested: list[Mask]
    pairs: int
    penalties: str


class Bench:
    """Texts, lessons and tests of a site."""

    def __init__(self, threads: Threads, seed: int) -> None:
        self.why_not = ""
        self.lessons, self.remarks = lessons_of(threads, seed)
        self._measured = Measured(threads)
        posts = threads.posts.select("thread_hash", "created_at").unique("thread_hash").sort("thread_hash")
        self.hashes: Rows = posts["thread_hash"].to_numpy()
        self.created: Rows = posts["created_at"].to_physical().to_numpy()
        chosen = self._test_pairs(threads)
        texts = _texts(threads, [*(lesson.pairs for lesson in self.lessons), *(pairs for _, pairs, *_ in chosen)])
        self._index = texts.select(KEY).with_row_index("row")
        created = threads.answers.select(*KEY, "created_at")
        self.tests = [self._as_test(*test, created) for test in chosen if test[1].height >= _FEWEST]
        if not self.tests:
            self.why_not = f"there are fewer than {_FEWEST} pairs to test on"
        elif texts["text"].n_unique() < 2:
            self.why_not = "the answers have no texts that differ"
        else:
            self._learner = Learner(word_matrix(texts["text"]))
            self._chars = texts["text"].str.len_chars().to_numpy().astype(np.int64)
            self._examples = {lesson.name: self._to_examples(lesson) for lesson in self.lessons}

    def _test_pairs(self, threads: Threads) -> list[tuple[str, pl.DataFrame, bool, str]]:
        near = threads.pairs(TEST)
        every = threads.pairs(ANY)
        if near.height >= _TEST_MIN:
            votes = (
                "by votes",
                near,
                False,
                "Any two eligible answers that were written within an hour of each other.",
            )
        else:
            few = f"There are only {near.height:,} pairs within an hour, so these are any two answers of a thread"
            votes = ("by votes", every, False, f"{few} with different scores, whatever the scores.")
        sides = [every.select(*_THREAD, answer_id=f"{of}_id") for of in ("winner", "loser")]
        known = pl.concat(sides).unique()
        better = accepted_judge(threads).better.rename({"better_id": "winner_id", "worse_id": "loser_id"})
        for of in ("winner", "loser"):
            better = better.join(known.rename({"answer_id": f"{of}_id"}), on=[*_THREAD, f"{of}_id"], how="semi")
        note = "The asker's accepted answer against the others that stood there; each thread weighs alike."
        return [votes, ("by accepted answers", better.sort(*_THREAD, "winner_id", "loser_id"), True, note)]

    def _as_test(self, name: str, pairs: pl.DataFrame, by_thread: bool, note: str, created: pl.DataFrame) -> Test:
        winner, loser = (self._rows(pairs, of) for of in ("winner", "loser"))
        keys = (pairs.select(*_THREAD, answer_id=f"{of}_id") for of in ("winner", "loser"))
        born = [key.join(created, on=KEY, how="left", maintain_order="left")["created_at"] for key in keys]
        if not by_thread:
            note += " Those with an older and a newer winner weigh alike."
        newer = (born[0] >= born[1]).to_numpy()
        return Test(name, winner, loser, self._threads(pairs), newer, by_thread, note)

    def _rows(self, pairs: pl.DataFrame, of: str) -> Rows:
        keys = pairs.select(*_THREAD, answer_id=f"{of}_id")
        found = keys.join(self._index, on=KEY, how="left", maintain_order="left")["row"]
        return found.to_numpy().astype(np.int64)

    def _threads(self, pairs: pl.DataFrame) -> Rows:
        return np.searchsorted(self.hashes, pairs["thread_hash"].to_numpy()).astype(np.int64)

    def _to_examples(self, lesson: Lesson) -> Examples:
        winner, loser = (self._rows(lesson.pairs, of) for of in ("winner", "loser"))
        return self._measured.examples(lesson, winner, loser, self._threads(lesson.pairs))

    def taught(self, lesson: Lesson, split: Split) -> Learned | None:
        """Learn in every round of a split and test; null where there are too few pairs to learn from."""
        parts = {part for turn in split.rounds for part in (turn.train, *(inner for inner, _ in turn.inner))}
        material = {part: self._material(lesson, split, part) for part in sorted(parts, key=sorted)}
        if min(len(examples) for examples in material.values()) < _TRAIN_MIN:
            return None
        chosen = self._chosen(split, material)
        hits = [np.full(len(test.winner), np.nan) for test in self.tests]
        for turn, penalty in zip(split.rounds, chosen, strict=True):
            weights = self._learner.fit(material[turn.train], penalty)
            for test, found in zip(self.tests, hits, strict=True):
                among = split.among(test.thread, {turn.test})
                found[among] = self._learner.hits(weights, test.winner[among], test.loser[among])
        pairs = round(float(np.mean([len(material[turn.train]) for turn in split.rounds])))
        low, high = min(chosen), max(chosen)
        penalties = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return Learned(hits, [~np.isnan(found) for found in hits], pairs, penalties)

    def _material(self, lesson: Lesson, split: Split, part: frozenset[int]) -> Examples:
        examples = self._examples[lesson.name]
        examples = weighed(examples.take(split.among(examples.thread, part)))
        if lesson.offset == "none":
            return examples
        inside = split.among(np.arange(len(self.hashes)), part)
        own = self._measured.attention(self.hashes[inside])[0 if lesson.offset == "soft" else 1]
        rows = split.among(self._examples[lesson.name].thread, part)
        pairs = lesson.pairs.filter(pl.Series(rows))
        winner, loser = (self._measured.places(pairs, of) for of in ("winner", "loser"))
        return replace(examples, offset=own[winner] - own[loser])

    def _chosen(self, split: Split, material: dict[frozenset[int], Examples]) -> list[float]:
        """The penalty of each round: the best on the votes' test pairs of the folds that are held out inside."""
        held = {inner for turn in split.rounds for inner in turn.inner}
        parts = sorted({part for part, _ in held}, key=sorted)
        results: dict[float, dict[Inner, float]] = {}
        weights: dict[frozenset[int], Weights] = {}
        best = 0.0
        for penalty in PENALTIES:
            for part in parts:
                weights[part] = self._learner.fit(material[part], penalty, weights.get(part))
            results[penalty] = {inner: self._accuracy(split, weights[inner[0]], inner[1]) for inner in held}
            mean = fmean(results[penalty].values())
            best = max(best, mean)
            if mean < best - _HOPELESS:
                break
        return [
            max(results, key=lambda penalty: fmean(results[penalty][inner] for inner in turn.inner))
            for turn in split.rounds
        ]

    def _accuracy(self, split: Split, weights: Weights, fold: int) -> float:
        test = self.tests[0]
        among = split.among(test.thread, {fold})
        if not among.any():
            return 0.5
        hits = self._learner.hits(weights, test.winner[among], test.loser[among])
        return float(np.average(hits, weights=test.weights(among)))

    def add(self, shares: dict[str, Shares], name: str, tested: list[Mask], hits: list[Floats]) -> None:
        """Add a column to the shares of each test."""
        for test, among, found in zip(self.tests, tested, hits, strict=True):
            weight = None if test.by_thread else test.weights(among)
            shares[test.name].add(name, pl.Series(test.thread[among]), found[among], weight)

    def add_longer(self, shares: dict[str, Shares], split: Split) -> None:
        """Add what preferring the longer answer gives on the same test pairs."""
        folds = {turn.test for turn in split.rounds}
        tested = [split.among(test.thread, folds) for test in self.tests]
        hits = [(np.sign(self._chars[test.winner] - self._chars[test.loser]) + 1.0) / 2 for test in self.tests]
        self.add(shares, LONGER, tested, hits)


def _texts(threads: Threads, tables: list[pl.DataFrame]) -> pl.DataFrame:
    """KEY and `text` of each answer in any of the tables of pairs."""
    keys = [table.select(*_THREAD, answer_id=f"{of}_id") for table in tables for of in ("winner", "loser")]
    wanted = threads.answers.join(pl.concat(keys).unique(), on=KEY, how="semi", maintain_order="left")
    bodies = threads.snapshot.bodies("answers", threads.part, wanted)
    return bodies.select(KEY).with_columns(clean_bodies(bodies["body"], bodies["body_format"]).alias("text"))
