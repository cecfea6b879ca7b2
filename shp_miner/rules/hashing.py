"""Choices by hash. They depend only on site, thread and answer together, so other data do not change them.

An answer's id is not enough: many forums number the answers of each thread from 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

Hashes = npt.NDArray[np.uint64]

# Salts keep the choices independent of each other. These of sides and splits are the smallest positive numbers, each
# its own, with which the two rows that SHP's authors printed keep their sides and their split (1 would do for both).
_SIDE_SALT = 5
_SPLIT_SALT = 1
_SAMPLE_SALT = 1 << 32
_DRAW_SALT = 1 << 33
_BALANCE_SALT = 1 << 34

SPLITS = ("train", "validation", "test")


def mix_bits(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every input bit changes every output bit."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def answer_hashes(answers: pl.DataFrame) -> Hashes:
    """A hash of each answer's site, thread and id: XXH3 of "site NUL post_id NUL answer_id"."""
    joined = answers.select(pl.concat_str("site", "post_id", "answer_id", separator="\0").cast(pl.Binary)).to_series()
    return np.fromiter(map(xxhash.xxh3_64_intdigest, joined.to_list()), np.uint64, len(joined))


def pair_hashes(a: Hashes, b: Hashes) -> Hashes:
    """One hash for each pair of answer hashes, the same whichever comes first."""
    with np.errstate(over="ignore"):
        return mix_bits(np.minimum(a, b) + mix_bits(np.maximum(a, b)))


def winner_is_first(pair: Hashes, winner: Hashes, loser: Hashes, seed: int) -> npt.NDArray[np.bool_]:
    """Whether the winner is shown as answer 1: a fair coin that knows the pair's ids but not who won."""
    coin = (_salted(pair, _SIDE_SALT, seed) & np.uint64(1)).astype(bool)
    result: npt.NDArray[np.bool_] = coin == (winner < loser)
    return result


def sample_keys(pair: Hashes, seed: int) -> Hashes:
    """Random but stable numbers: the pairs of a post with the smallest ones are a uniform sample."""
    return _salted(pair, _SAMPLE_SALT, seed)


def draw_shares(pair: Hashes, seed: int) -> npt.NDArray[np.float64]:
    """Random but stable numbers from 0 to below 1, independent of those of samples and sides."""
    return as_shares(_salted(pair, _DRAW_SALT, seed))


def balance_keys(pair: Hashes) -> Hashes:
    """Random but stable numbers, independent of the others: caps keep the pairs with the smallest ones."""
    return _salted(pair, _BALANCE_SALT, 0)


def thread_splits(thread_hash: npt.NDArray[np.int64], validation: float, test: float) -> npt.NDArray[np.int8]:
    """Index into SPLITS for each thread, by its hash alone; `validation` and `test` are shares of all threads."""
    share = as_shares(_salted(thread_hash.view(np.uint64), _SPLIT_SALT, 0))
    return np.where(share < 1 - validation - test, 0, np.where(share < 1 - test, 1, 2)).astype(np.int8)


def as_shares(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Numbers from 0 to below 1, in the order of the hashes."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _salted(values: Hashes, salt: int, seed: int) -> Hashes:
    key = mix_bits(np.array([salt], np.uint64) + mix_bits(np.array([seed], np.uint64)))[0]
    return mix_bits(values ^ key)
