"""Near-equal texts, decided exactly: by runs of five characters, or by pairs of words.

Two texts are near-equal if at least 60 % of their runs of five characters, or half of their pairs of adjacent words,
are common to both: the Jaccard similarity of two sets (Jaccard 1901; Broder 1997). Runs see texts with many small
changes, and languages without spaces; pairs see texts in which a few words were replaced by much longer ones. Case,
marks and white space do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.clean.grams import FEW_CHARS, Grams, Rows, batches, character_grams, word_grams, word_numbers
from shp_miner.rules.hashing import Hashes

#: Answers of fewer characters are never near-equal: "thank you" would link threads that have nothing in common.
LEAST_ANSWER_CHARS = 100


@dataclass(frozen=True)
class Measure:
    """One kind of parts of a text: texts are near-equal from `common` of `of_all` parts on, if both have `least`.

    `bits` are those of a text's sketch.
    """

    common: int
    of_all: int
    least: int
    bits: int
    parts: Callable[[pl.Series], Grams]

    @property
    def most_of_one(self) -> np.uint64:
        """Return how many times the parts of one text alone must fit into those of both texts counted together."""
        return np.uint64((self.of_all + self.common) // (self.of_all - self.common))


#: Short texts have too few pairs of words: half of them are in common by chance.
MEASURES = (
    Measure(3, 5, least=0, bits=2_048, parts=lambda words: character_grams(words, 5)),
    Measure(1, 2, least=12, bits=512, parts=lambda words: word_grams(word_numbers(words), 2)),
)

#: The numbers of a sketch: of each measure how many different parts the text has, and its bits.
SKETCH = sum(1 + measure.bits // 64 for measure in MEASURES)

#: Pairs whose sketches are compared at a time: some 700 bytes each.
_PAIRS_COMPARED = 50_000


def sketches(words: pl.Series) -> Hashes:
    """Return a sketch of each text of `plain_words`, for `may_be_near`: SKETCH numbers.

    Of each measure the first counts its different parts; the others are bits, set where a part is hashed to.
    """
    rows = [
        np.column_stack([_sketch(measure.parts(batch), measure.bits) for measure in MEASURES])
        for batch in batches(words, FEW_CHARS)
    ]
    return np.concatenate([np.empty((0, SKETCH), np.uint64), *rows])


def _sketch(parts: Grams, size: int) -> Hashes:
    counts = np.diff(parts.offsets)
    bits = np.zeros(len(counts) * size, bool)
    bits[np.repeat(np.arange(len(counts)) * size, counts) + (parts.hashes % np.uint64(size)).astype(np.int64)] = True
    packed: Hashes = np.packbits(bits).view(np.uint64).reshape(len(counts), -1)
    return np.column_stack([_different(parts).astype(np.uint64), packed])


def _different(parts: Grams) -> Rows:
    """How many different hashes each text has, by their upper bits: as many as a number has beside that of the text."""
    count = len(parts.offsets) - 1
    bits_of_text = np.uint64(max(count - 1, 1).bit_length())
    text_of = np.repeat(np.arange(count, dtype=np.uint64), np.diff(parts.offsets))
    keys = (text_of << (np.uint64(64) - bits_of_text)) | (parts.hashes >> bits_of_text)
    keys.sort()
    is_new = np.ones(len(keys), bool)
    is_new[1:] = keys[1:] != keys[:-1]
    return np.diff(np.concatenate([[0], np.cumsum(is_new)])[parts.offsets])


def may_be_near(first: Hashes, second: Hashes) -> npt.NDArray[np.bool_]:
    """Return for two columns of `sketches` whether the texts can be near-equal. False is certain.

    Texts with a and b different runs are near-equal only if at most (a + b) / 4 runs are in one of them alone; of pairs
    of words it is (a + b) / 3. A bit that is set in one sketch alone is of at least one such part.
    """
    possible = np.zeros(len(first), bool)
    start = 0
    for measure in MEASURES:
        stop = start + 1 + measure.bits // 64
        a, b = first[:, start], second[:, start]
        of_one = np.bitwise_count(first[:, start + 1 : stop] ^ second[:, start + 1 : stop]).sum(1, dtype=np.uint64)
        possible |= (of_one * measure.most_of_one <= a + b) & (np.minimum(a, b) >= measure.least)
        start = stop
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
    of_text = [_different_parts(words.gather(used), measure) for measure in MEASURES]
    for pair, a, b in zip(left, *places.reshape(2, -1), strict=True):
        found[pair] = texts[used[a]] == texts[used[b]] or any(
            _are_near(parts[a], parts[b], measure) for measure, parts in zip(MEASURES, of_text, strict=True)
        )
    return found


def _different_parts(words: pl.Series, measure: Measure) -> list[Hashes]:
    found: list[Hashes] = []
    for batch in batches(words, FEW_CHARS):
        parts = measure.parts(batch)
        found += [np.unique(parts.of(text)) for text in range(len(batch))]
    return found


def _are_near(first: Hashes, second: Hashes, measure: Measure) -> bool:
    least, most = sorted((len(first), len(second)))
    if least < measure.least or least * measure.of_all < most * measure.common:  # even if all of it were in the longer
        return False
    both = np.concatenate([first, second])
    both.sort()
    common = int(np.count_nonzero(both[1:] == both[:-1]))
    return common > 0 and common * measure.of_all >= (least + most - common) * measure.common
