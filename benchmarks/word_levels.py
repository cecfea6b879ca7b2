"""What moves the level of the lab's model of words on a store: the test pairs, the data, the strength, the features.

    python -m benchmarks.word_levels STORE

One thing at a time against the check itself (docs/real-checks.md), whose folds, pairs and model these are. Prints a
Markdown table of accuracies.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.lab import linear, words
from shp_miner.lab.threads import KEY, Threads, pair_side
from shp_miner.rules.hashing import mix_bits
from shp_miner.rules.presets import PRESETS
from shp_miner.store import Store

SEED = 0
TRAINED = ("shp", "calibrated", "votes", "older-winner")
COLUMNS = (*TRAINED, "(longer text)")
MINUTES_15 = 900

Floats = npt.NDArray[np.float64]
Folds = dict[str, list[words.Rows]]


class Levels:
    """The check's pairs and texts of a store, and whether models trained on some of them tell each test pair right."""

    def __init__(self, threads: Threads) -> None:
        pairs = {name: threads.pairs(PRESETS[name]) for name in TRAINED}
        self.tests = threads.pairs(words.TEST)
        self.texts = words._texts(threads, [self.tests, *pairs.values()])
        self.training = {name: words._rows_of(found, self.texts, SEED) for name, found in pairs.items()}
        self.test = words._rows_of(self.tests, self.texts, SEED)
        self.chosen = words._chosen(self.training)
        created = threads.answers.select(*KEY, "created_at")
        winner, loser = (pair_side(self.tests, of, created)["created_at"].dt.epoch("s") for of in ("winner", "loser"))
        self.later_s = (winner - loser).to_numpy()

    def hits(self, chosen: Folds | None = None) -> dict[str, Floats]:
        """By column, of each test pair: 1 for right, 0 for wrong."""
        with linear.one_thread():
            matrix = linear.word_matrix(self.texts["text"])
            found = words._hits(matrix, self.training, self.chosen if chosen is None else chosen, self.test)
        chars = self.texts["text"].str.len_chars().to_numpy().astype(np.int64)
        return found | {COLUMNS[-1]: (np.sign(chars[self.test.winner] - chars[self.test.loser]) + 1) / 2}

    def of_threads(self, parts: int) -> Folds:
        """The pairs to train on of one in so many threads, a random sample."""
        of_part = {
            name: mix_bits(pairs.thread.to_numpy().view(np.uint64)) % np.uint64(parts) == 0
            for name, pairs in self.training.items()
        }
        return {name: [rows[of_part[name][rows]] for rows in folds] for name, folds in self.chosen.items()}

    def capped(self, most: int) -> Folds:
        """At most so many pairs to train on of each thread: the first ones, for the rows are in random order."""

        def first(thread: pl.Series) -> words.Bools:
            number = thread.to_frame("thread").select(pl.int_range(pl.len()).over("thread"))
            return (number.to_series() < most).to_numpy()

        return {
            name: [rows[first(self.training[name].thread[rows])] for rows in folds]
            for name, folds in self.chosen.items()
        }


def report(levels: Levels) -> None:
    """Print the table, row by row."""
    columns = ("changed", "test pairs", *COLUMNS)
    print(f"| {' | '.join(columns)} |\n| {' | '.join(['---', *['---:'] * (len(columns) - 1)])} |")
    tests, later_s = levels.tests, levels.later_s
    ratio = (tests["winner_score"] / tests["loser_score"]).to_numpy()
    alike = 1 / tests.select(pl.len().over("thread_hash")).to_series().to_numpy()
    all_of_them = np.ones(len(alike), np.bool_)
    found = levels.hits()
    _row("nothing", found, all_of_them)
    _row("test: each thread weighs alike", found, all_of_them, alike)
    _row("test: at most 15 minutes apart", found, np.abs(later_s) <= MINUTES_15)
    _row("test: winner has twice the score", found, ratio >= 2)
    _row("test: winner has 5 times the score", found, ratio >= 5)
    _row("test: winner is not older", found, later_s >= 0)
    _row("test: winner is older", found, later_s < 0)
    for parts in (2, 4, 8):
        _row(f"training: 1 of {parts} threads", levels.hits(levels.of_threads(parts)), all_of_them)
    _row("training: at most 50 pairs a thread", levels.hits(levels.capped(50)), all_of_them)
    for name, value in (("a third of", words._STRENGTH / 3), ("3 times", words._STRENGTH * 3)):
        with patch.object(words, "_STRENGTH", value):
            _row(f"model: {name} the penalty", levels.hits(), all_of_them)
    with patch.object(words, "Learner", partial(linear.Learner, steps_max=1000)):
        _row("model: up to 1,000 steps", levels.hits(), all_of_them)
    with patch.object(linear, "_FEATURES", 1 << 20):
        _row("model: 2^20 features", levels.hits(), all_of_them)
    with patch.object(linear, "_WORD", r"\b\w\w+\b"):
        _row("model: no marks, no single letters", levels.hits(), all_of_them)


def _row(name: str, hits: dict[str, Any], kept: words.Bools, weights: Floats | None = None) -> None:
    shares = [np.average(hits[column][kept], weights=weights) for column in COLUMNS]
    print(f"| {name} | {kept.sum():,} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)


def main() -> int:
    """Print the table of a store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store")
    report(Levels(Threads.read(Store(parser.parse_args().store).snapshot())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
