"""Which threads a model learns from and which it is tested on: by chance, or earlier threads for later ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shp_miner.rules.hashing import mix_bits

Rows = npt.NDArray[np.int64]
Times = npt.NDArray[np.int64]

#: Parts of a random split.
FOLDS = 5

#: A time split: the earliest half of the threads, the next fifth (for choosing a penalty), and the rest.
_UNTIL = (0.5, 0.7)


@dataclass(frozen=True)
class Round:
    """Folds that a model learns from, and the one that tests it; `inner` has the same for the choice of a penalty."""

    train: frozenset[int]
    test: int
    inner: tuple[tuple[frozenset[int], int], ...]


@dataclass(frozen=True, eq=False)
class Split:
    """A fold for each thread, by number, and the rounds of learning and testing."""

    name: str
    fold: Rows
    rounds: tuple[Round, ...]

    def among(self, thread: Rows, folds: frozenset[int] | set[int]) -> npt.NDArray[np.bool_]:
        """Whether each of some threads lies in one of the folds."""
        return np.isin(self.fold[thread], sorted(folds))


def random_split(thread_hash: Rows, seed: int, folds: int = FOLDS) -> Split:
    """Each thread tests models of the other folds' threads once. A penalty is chosen without the fold that tests."""
    key = mix_bits(np.array([seed], np.uint64))
    fold = (mix_bits(thread_hash.view(np.uint64) ^ key) % np.uint64(folds)).astype(np.int64)
    every = frozenset(range(folds))
    rounds = tuple(
        Round(every - {test}, test, tuple((every - {test, held}, held) for held in sorted(every - {test})))
        for test in range(folds)
    )
    return Split("random split", fold, rounds)


def time_split(created: Times) -> Split:
    """Models of earlier threads are tested on later ones; those of the same moment stay together."""
    edges = np.quantile(created, _UNTIL, method="lower") if len(created) else np.zeros(len(_UNTIL))
    fold = np.searchsorted(edges, created, side="left").astype(np.int64)
    return Split("time split", fold, (Round(frozenset({0, 1}), 2, ((frozenset({0}), 1),)),))
