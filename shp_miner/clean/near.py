"""Near-equal texts: which are worth comparing (MinHash), and which are near-equal (exact Jaccard similarity).

Two texts are near-equal if at least 60 % of their runs of five characters are common to both: the Jaccard similarity of
the two sets (Jaccard 1901; Broder 1997). Case, marks and white space do not count. To find such texts among millions, a
text gets 48 numbers by MinHash, of runs of eight characters; two texts are compared if they share one of the numbers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl
import rensa
import xxhash

from shp_miner.clean.grams import Grams, Rows, batches, character_grams
from shp_miner.rules.hashing import Hashes, mix_bits

#: Texts are near-equal from this share on: common runs of all runs, as numerator and denominator.
COMMON, OF_ALL = 3, 5

#: Answers of fewer characters are never near-equal: "thank you" would link threads that have nothing in common.
LEAST_ANSWER_CHARS = 100

#: Characters in the runs that decide, and in those that find: longer runs are rarer, so fewer texts are compared.
_DECIDING, _FINDING = 5, 8

#: The numbers of a text, and how many values of MinHash each is made of. Of texts at .6 they miss one in 50, at .65 one
#: in 1,000; of unrelated texts they compare one pair in a million.
BANDS, _ROWS = 48, 4

_SEED = 1

#: The most texts of a bucket with which each other text of it is compared: the earliest. A message that a bot writes in
#: ten thousand variants would otherwise be fifty million comparisons.
_MOST_COMPARED = 64

#: Pairs that are put together at a time: some 50 bytes each.
_PAIRS_EACH = 2_000_000


def text_numbers(words: pl.Series) -> Hashes:
    """Return a number for each text of `plain_words`, equal for equal texts: XXH3."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, words.cast(pl.Binary).to_list()), np.uint64, len(words))


def band_numbers(words: pl.Series) -> tuple[Hashes, Rows]:
    """Return the MinHash numbers of texts of `plain_words`, and of which row each is: BANDS for each text.

    Texts of fewer than eight characters have none.
    """
    numbers, rows, start = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
    for batch in batches(words):
        grams = character_grams(batch, _FINDING)
        long_enough = np.flatnonzero(np.diff(grams.offsets))
        if len(long_enough):
            numbers.append(_bands(grams)[long_enough].ravel())
            rows.append(np.repeat(long_enough + start, BANDS))
        start += len(batch)
    return np.concatenate(numbers), np.concatenate(rows)


def _bands(grams: Grams) -> Hashes:
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        grams.hashes, grams.offsets, num_perm=BANDS * _ROWS, seed=_SEED
    )
    values = np.array(matrix.to_rows(), np.uint64).reshape(-1, BANDS, _ROWS)
    # Each band has numbers of its own, or texts would meet in different bands.
    numbers = np.tile(np.arange(1, BANDS + 1, dtype=np.uint64), (len(values), 1))
    for row in range(_ROWS):
        numbers = mix_bits(numbers ^ values[:, :, row])
    return numbers


def pairs_in_buckets(bucket: Hashes, order: Rows) -> tuple[Rows, Rows]:
    """Return the rows to compare with each other: pairs (earlier, later) of rows with the same number, each once.

    `order` says which row is earlier. In a large bucket, each row is compared with the earliest ones only.
    """
    by = np.lexsort((order, bucket))
    numbers = bucket[by]
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]])[: len(by)])
    first_of_row = np.repeat(starts, np.diff(np.append(starts, len(by))))
    earlier = np.minimum(np.arange(len(by)) - first_of_row, _MOST_COMPARED)
    ends = np.cumsum(earlier)
    found, start = [np.empty((0, 2), np.int64)], 0
    while start < len(by):  # some rows at a time: each can be in as many pairs as there are bands and earlier rows
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + _PAIRS_EACH, "right")), start + 1)
        later = np.repeat(np.arange(start, stop), earlier[start:stop])
        nth = np.arange(len(later)) - np.repeat(ends[start:stop] - before - earlier[start:stop], earlier[start:stop])
        found.append(np.unique(np.column_stack([by[first_of_row[later] + nth], by[later]]), axis=0))
        start = stop
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def near_equal(words: pl.Series, first: Rows, second: Rows) -> npt.NDArray[np.bool_]:
    """Return for pairs of rows of `plain_words` whether the two texts are near-equal."""
    texts = words.to_list()

    @cache
    def runs(row: int) -> Hashes:
        return np.unique(character_grams(pl.Series([texts[row]]), _DECIDING).hashes)

    return np.fromiter(
        (texts[a] == texts[b] or _are_near(runs(a), runs(b)) for a, b in zip(first, second, strict=True)),
        bool,
        len(first),
    )


def _are_near(first: Hashes, second: Hashes) -> bool:
    least, most = sorted((len(first), len(second)))
    if least * OF_ALL < most * COMMON:  # even if all of the shorter were in the longer
        return False
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common > 0 and common * OF_ALL >= (least + most - common) * COMMON
