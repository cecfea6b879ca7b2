"""What a model learned from: views of the input, other threads' questions, and labels that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from msgspec import Struct

from shp_miner.training.linear import Numbers, Pairs, Recipe, fit
from shp_miner.training.measures import Bootstrap, Estimate, hits, usable_bits
from shp_miner.training.pairs import Split
from shp_miner.training.words import VIEWS

#: Shares of training labels that are turned round.
FLIPPED = (0.1, 0.2, 0.3)

#: Scores of answers to questions, equally many: one number each.
Scorer = Callable[[pl.Series, pl.Series], np.ndarray[tuple[int], np.dtype[np.float64]]]

Margins = np.ndarray[tuple[int], np.dtype[np.float64]]


class ViewResult(Struct, frozen=True):
    """A model that sees a part of the input: its usable information in bits per pair, and its accuracy."""

    view: str
    bits: Estimate
    accuracy: Estimate


class Swapped(Struct, frozen=True):
    """Accuracy with the own question, with another thread's question, and their difference, on the same pairs."""

    pairs: int
    own: Estimate
    other: Estimate
    gap: Estimate


class Flipped(Struct, frozen=True):
    """Accuracy after training with a share of the labels turned round."""

    share: float
    accuracy: Estimate


def view_result(view: str, margins: Margins, split: Split, seed: int) -> ViewResult:
    """Return what a model that sees `view` makes of the pairs of a split."""
    draws = Bootstrap(split.pairs.thread, seed)
    return ViewResult(view, draws.mean(usable_bits(margins)), draws.mean(hits(margins)))


def swapped_questions(score: Scorer, split: Split, seed: int) -> Swapped | None:
    """Return what becomes of the accuracy when each answer is scored with another question of its community.

    The split needs its texts. The threads of a community stand in a circle in a random order, and each takes the
    question of the next: none keeps its own. A community with one thread is left out; None if no pairs are left.
    """
    pairs = split.pairs
    source = _next_thread(pairs.thread, split.community, seed)
    row_of_thread = np.zeros(int(pairs.thread.max()) + 1, np.int64)
    row_of_thread[pairs.thread] = pairs.winner
    other = np.arange(len(split.chars))
    for rows in (pairs.winner, pairs.loser):
        other[rows] = row_of_thread[source[pairs.thread]]
    moved = source[pairs.thread] != pairs.thread
    if not moved.any():
        return None
    kept = pairs.take(moved)
    own_scores = score(split.questions, split.answers)
    other_scores = score(split.questions.gather(other), split.answers)
    own, swapped = (hits(scores[kept.winner] - scores[kept.loser]) for scores in (own_scores, other_scores))
    draws = Bootstrap(kept.thread, seed)
    return Swapped(len(kept), draws.mean(own), draws.mean(swapped), draws.mean(own - swapped))


def _next_thread(thread: Numbers, community: Numbers, seed: int) -> Numbers:
    """Return for each thread's number another thread of the same community, itself if there is none."""
    source = np.arange(int(thread.max()) + 1)
    random = np.random.default_rng(seed)
    for number in np.unique(community):
        circle = random.permutation(np.unique(thread[community == number]))
        source[circle] = np.roll(circle, -1)
    return source


def flip_curve(
    train: Pairs, split: Split, recipe: Recipe, penalty: float, advance: Callable[[int], object]
) -> list[Flipped]:
    """Return the accuracy after training with each share of FLIPPED. The pairs of a smaller share are in the larger."""
    chance = np.random.default_rng(recipe.seed).random(len(train))
    draws = Bootstrap(split.pairs.thread, recipe.seed)
    results = []
    for share in FLIPPED:
        fitted = fit(train.turned(chance < share), recipe, VIEWS[0], penalty)
        results.append(Flipped(share, draws.mean(hits(split.pairs.margins(fitted.weights)))))
        advance(1)
    return results
