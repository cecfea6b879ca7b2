"""Which texts are worth comparing: numbers that near-equal texts probably share, and the pairs of rows that do.

A text gets 64 numbers by MinHash (Broder 1997) of its runs of eight characters; two texts are compared if they share
one. All 256 values of a text come from one hash of each run ("one permutation hashing": Li, Owen and Zhang 2012): the
hash's upper bits choose a bin, and a bin's value is the smallest hash in it. An empty bin takes the value of another
("optimal densification": Shrivastava 2017). Everything is made of the text alone, by this module alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from shp_miner.clean.grams import FEW_CHARS, Rows, batches
from shp_miner.rules.hashing import Hashes, mix_bits

#: The numbers of a text, and how many values of MinHash each is made of.
BANDS, _ROWS = 64, 4

#: Characters of a run: longer runs are rarer than those of five that decide, so fewer texts are compared.
RUN_CHARS = 8

_BINS = BANDS * _ROWS
_BIN_SHIFT = np.uint32(32 - (_BINS - 1).bit_length())
#: Larger than every value: a bin without a run.
_EMPTY = np.uint32(0xFFFFFFFF)

#: The bins from which each empty bin takes a value, by turn: an order of its own for each bin.
_DONORS = np.argsort(mix_bits(np.arange(_BINS * _BINS, dtype=np.uint64)).reshape(_BINS, _BINS), axis=0)

#: The most texts of a bucket with which each other text of it is compared: the earliest. A message that a bot writes in
#: ten thousand variants would otherwise be fifty million comparisons.
_MOST_COMPARED = 64

#: Pairs that are put together at a time: some 50 bytes each.
_PAIRS_EACH = 2_000_000

#: Rows of one call have fewer bits.
_ROW_BITS = 31

Values = npt.NDArray[np.uint32]


def text_numbers(words: pl.Series) -> Hashes:
    """Return a number for each text of `plain_words`, equal for equal texts: XXH3."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, words.cast(pl.Binary).to_list()), np.uint64, len(words))


def band_numbers(words: pl.Series) -> tuple[Hashes, Rows]:
    """Return the MinHash numbers of texts of `plain_words`, and of which row each is: BANDS for each text.

    Texts of fewer than eight characters have none.
    """
    numbers, rows, start = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
    for batch in batches(words, FEW_CHARS):
        values = _smallest(batch)
        long_enough = np.flatnonzero((values != _EMPTY).any(axis=1))
        numbers.append(_bands(_densified(values[long_enough])).ravel())
        rows.append(np.repeat(long_enough + start, BANDS))
        start += len(batch)
    return np.concatenate(numbers), np.concatenate(rows)


def _smallest(words: pl.Series) -> Values:
    """The smallest hash of a run in each bin: one row a text."""
    lengths = words.str.len_chars().to_numpy().astype(np.int64)
    signs = np.frombuffer("".join(words.to_list()).encode("utf-32-le"), np.uint32)
    values = np.full(len(words) * _BINS + 1, _EMPTY)  # the last takes the runs that are of two texts
    if len(signs) >= RUN_CHARS:
        hashes, span = signs * np.uint32(0xC2B2AE3D), 1
        while span < RUN_CHARS:  # of runs of two, four, eight characters
            hashes = _joined(hashes[:-span], hashes[span:])
            span *= 2
        hashes = np.minimum(_mixed(hashes), _EMPTY - np.uint32(1))
        place = np.repeat(np.arange(len(words)) * _BINS, lengths)[: len(hashes)]
        place += (hashes >> _BIN_SHIFT).astype(np.int64)
        ends = np.cumsum(lengths)
        for before in range(1, RUN_CHARS):
            cut = ends - before
            place[cut[(cut >= 0) & (cut < len(hashes))]] = len(values) - 1
        np.minimum.at(values, place, hashes)
    return values[:-1].reshape(-1, _BINS)


def _joined(first: Values, second: Values) -> Values:
    both = first * np.uint32(0x9E3779B1)
    both += second
    both ^= both >> np.uint32(15)
    both *= np.uint32(0x85EBCA77)
    return both


def _mixed(values: Values) -> Values:
    """The end of MurmurHash3's finalizer (Appleby 2011): all bits of a value reach its upper bits."""
    values = values ^ (values >> np.uint32(13))
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values


def _densified(values: Values) -> Values:
    """The values with those of other bins of the same text in empty bins."""
    given, filled = values.ravel(), values.flatten()
    left = np.flatnonzero(given == _EMPTY)
    for donors in _DONORS:
        if not len(left):
            break
        filled[left] = given[(left & -_BINS) | donors[left & (_BINS - 1)]]
        left = left[filled[left] == _EMPTY]
    return filled.reshape(values.shape)


def _bands(values: Values) -> Hashes:
    # Of bins far from each other. Each band has numbers of its own, or texts would meet in different bands.
    parts = values.reshape(-1, _ROWS, BANDS).astype(np.uint64)
    numbers = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), (len(values), BANDS))
    for row in range(0, _ROWS, 2):
        numbers = mix_bits(numbers ^ (parts[:, row] << np.uint64(32) | parts[:, row + 1]))
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
