"""Near-equal texts: which are worth comparing (MinHash), and which are near-equal (exact Jaccard similarity).

Two texts are near-equal if at least 60 % of their runs of five characters are common to both: the Jaccard similarity of
the two sets (Jaccard 1901; Broder 1997). Case, marks and white space do not count. To find such texts among millions, a
text gets 48 numbers by MinHash, of runs of eight characters; two texts are compared if they share one of the numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
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

#: Pairs that are put together at a time: some 50 bytes each. And those whose sketches are compared: some 600 bytes.
_PAIRS_EACH, _PAIRS_COMPARED = 2_000_000, 50_000

#: Rows of one call have fewer bits.
_ROW_BITS = 31

#: Bits of a sketch, and the factor of `may_be_near`: COMMON of OF_ALL runs in common are all but a quarter of a + b.
_BITS = 2_048
_MOST_OF_ONE = np.uint64((OF_ALL + COMMON) // (OF_ALL - COMMON))


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
    import rensa  # noqa: PLC0415  (it reserves a gigabyte of address space, and most exports do without)

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
    found, start = [np.empty(0, np.int64)], 0
    while start < len(by):  # some rows at a time: each can be in as many pairs as there are bands and earlier rows
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + _PAIRS_EACH, "right")), start + 1)
        later = np.repeat(np.arange(start, stop), earlier[start:stop])
        nth = np.arange(len(later)) - np.repeat(ends[start:stop] - before - earlier[start:stop], earlier[start:stop])
        found.append(np.unique(by[first_of_row[later] + nth] << _ROW_BITS | by[later]))  # one number sorts faster
        start = stop
    pairs = np.unique(np.concatenate(found))
    return pairs >> _ROW_BITS, pairs & ((1 << _ROW_BITS) - 1)


def sketches(words: pl.Series) -> Hashes:
    """Return a sketch of each text of `plain_words`, for `may_be_near`: 33 numbers, 264 bytes.

    The first counts its different runs of five characters; the others are 2,048 bits, set where a run is hashed to.
    """
    parts = [_sketches(character_grams(batch, _DECIDING)) for batch in batches(words)]
    return np.concatenate([np.empty((0, 1 + _BITS // 64), np.uint64), *parts])


def _sketches(grams: Grams) -> Hashes:
    counts = np.diff(grams.offsets)
    bits = np.zeros(len(counts) * _BITS, bool)
    bits[np.repeat(np.arange(len(counts)) * _BITS, counts) + (grams.hashes % np.uint64(_BITS)).astype(np.int64)] = True
    packed: Hashes = np.packbits(bits).view(np.uint64).reshape(len(counts), -1)
    return np.column_stack([_different(grams).astype(np.uint64), packed])


def _different(grams: Grams) -> Rows:
    """How many different hashes each text has, by their upper bits: as many as a number has beside that of the text."""
    count = len(grams.offsets) - 1
    bits_of_text = np.uint64(max(count - 1, 1).bit_length())
    text_of = np.repeat(np.arange(count, dtype=np.uint64), np.diff(grams.offsets))
    keys = (text_of << (np.uint64(64) - bits_of_text)) | (grams.hashes >> bits_of_text)
    keys.sort()
    is_new = np.ones(len(keys), bool)
    is_new[1:] = keys[1:] != keys[:-1]
    return np.diff(np.concatenate([[0], np.cumsum(is_new)])[grams.offsets])


def may_be_near(first: Hashes, second: Hashes) -> npt.NDArray[np.bool_]:
    """Return for two columns of `sketches` whether the texts can be near-equal. False is certain.

    Texts with a and b different runs are near-equal only if at most (a + b) / 4 runs are in one of them alone. A bit
    that is set in one sketch alone is of at least one such run.
    """
    runs_of_one = np.bitwise_count(first[:, 1:] ^ second[:, 1:]).sum(axis=1, dtype=np.uint64)
    possible: npt.NDArray[np.bool_] = runs_of_one * _MOST_OF_ONE <= first[:, 0] + second[:, 0]
    return possible


def near_equal(words: pl.Series, first: Rows, second: Rows) -> npt.NDArray[np.bool_]:
    """Return for pairs of rows of `plain_words` whether the two texts are near-equal."""
    texts, numbers = words.to_list(), sketches(words)
    found = np.zeros(len(first), bool)
    for start in range(0, len(first), _PAIRS_COMPARED):
        part = slice(start, start + _PAIRS_COMPARED)
        found[part] = may_be_near(numbers[first[part]], numbers[second[part]])
    left = np.flatnonzero(found)
    used, places = np.unique(np.stack([first[left], second[left]]), return_inverse=True)
    runs = [np.empty(0, np.uint64)] * len(used)
    start = 0
    for batch in batches(words.gather(used)):
        grams = character_grams(batch, _DECIDING)
        runs[start : start + len(batch)] = (np.unique(grams.of(text)) for text in range(len(batch)))
        start += len(batch)
    for pair, a, b in zip(left, *places.reshape(2, -1), strict=True):
        found[pair] = texts[used[a]] == texts[used[b]] or _are_near(runs[a], runs[b])
    return found


def _are_near(first: Hashes, second: Hashes) -> bool:
    least, most = sorted((len(first), len(second)))
    if least * OF_ALL < most * COMMON:  # even if all of the shorter were in the longer
        return False
    both = np.concatenate([first, second])
    both.sort()
    common = int(np.count_nonzero(both[1:] == both[:-1]))
    return common > 0 and common * OF_ALL >= (least + most - common) * COMMON
