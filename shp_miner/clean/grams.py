"""Texts as numbers: hashes of their words, and of runs of characters or words. Whole columns at a time.

The hashes are of this module alone, so they are the same on every machine and with every version of the libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.rules.hashing import Hashes, mix_bits

Offsets = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

#: Characters that are hashed together: their numbers take some 40 bytes each, and fit into a processor's cache.
_CHARS_EACH = 500_000

#: Where little is done with each batch, smaller ones are faster: their memory is used again, not given back.
FEW_CHARS = 64_000

_SEVERAL_FORMS = r"[^\x00-\x7f\u2010-\u2015\u2018-\u2026]"
#: All that is between two words but one space, which is there already.
_BETWEEN_WORDS = r" *[^\p{L}\p{M}\p{N} ][^\p{L}\p{M}\p{N}]*| {2,}"

_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER_ODD = np.uint64(0xD6E8FEB86659FD93)

#: An odd number and what it must be multiplied with to give 1, modulo 2**64; and a number for each byte.
_BASE = np.uint64(0x5851F42D4C957F2D)
_INVERSE = np.uint64(pow(0x5851F42D4C957F2D, -1, 1 << 64))
_OF_BYTE = mix_bits(np.arange(256, dtype=np.uint64))


class Grams(NamedTuple):
    """Hashes of several texts: those of text i are `hashes[offsets[i]:offsets[i + 1]]`, in the order of the text."""

    hashes: Hashes
    offsets: Offsets

    def of(self, text: int) -> Hashes:
        """Return the hashes of one text."""
        return self.hashes[self.offsets[text] : self.offsets[text + 1]]


def plain_words(texts: pl.Series) -> pl.Series:
    """Return texts in small letters with one space between words: marks, markup and line breaks make no difference.

    Letters, digits and the accents on them stay; equivalent forms of a character (NFKC) become one.
    """
    # Most texts have no sign with another form: ASCII, quotation marks and dashes have none, or none with letters.
    several = texts.str.contains(_SEVERAL_FORMS).fill_null(value=False).arg_true()
    if len(several):
        texts = texts.clone().scatter(several, texts.gather(several).str.normalize("NFKC"))
    return texts.str.to_lowercase().str.replace_all(_BETWEEN_WORDS, " ").str.strip_chars()


def batches(texts: pl.Series, chars: int = _CHARS_EACH) -> Iterator[pl.Series]:
    """Yield parts of a column of texts, one after the other, each of about as many `chars` as are hashed together."""
    ends = np.cumsum(texts.str.len_bytes().to_numpy())
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + chars, "right")), start + 1)
        yield texts[start:stop]
        start = stop


def character_grams(texts: pl.Series, size: int) -> Grams:
    """Return the hashes of all runs of `size` characters of each text. A shorter text has none."""
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    joined = "".join(texts.to_list()).encode("utf-32-le")
    return _runs(np.frombuffer(joined, np.uint32).astype(np.uint64), lengths, size)


def word_numbers(words: pl.Series) -> Grams:
    """Return a hash of each word of texts of `plain_words`, in order. Equal words have equal hashes."""
    # Each word is the value of a polynomial at its bytes, modulo 2**64: the difference of two sums, shifted to 0.
    joined = " ".join([*words.to_list(), ""]).encode()
    letters = np.frombuffer(joined, np.uint8)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(len(letters), _BASE))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_OF_BYTE[letters] * powers)])
    ends = np.flatnonzero(letters == ord(" "))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    is_word = ends > starts  # an empty text has an empty word
    starts, ends = starts[is_word], ends[is_word]
    with np.errstate(over="ignore"):
        values = (sums[ends] - sums[starts]) * np.cumprod(np.full(len(letters), _INVERSE))[starts]
    counts = words.str.count_matches(" ", literal=True).to_numpy().astype(np.int64) + (words != "").to_numpy()
    return Grams(mix_bits(values), _offsets(counts))


def word_grams(words: Grams, size: int) -> Grams:
    """Return the hashes of all runs of `size` words of each text, from the hashes of its words."""
    return _runs(words.hashes, np.diff(words.offsets), size)


def _runs(values: Hashes, lengths: Offsets, size: int) -> Grams:
    """Return the hashes of runs of values within each of several adjacent texts."""
    counts = np.maximum(lengths - size + 1, 0)
    offsets = _offsets(counts)
    if not offsets[-1]:
        return Grams(np.empty(0, np.uint64), offsets)
    with np.errstate(over="ignore"):
        hashes = values[: len(values) - size + 1] * _ODD
        for place in range(1, size):
            hashes = (hashes ^ (hashes >> np.uint64(31))) * _OTHER_ODD
            hashes += values[place : len(values) - size + 1 + place] * _ODD
    ends = np.cumsum(lengths)
    inside = np.ones(len(hashes) + 1, bool)
    for before in range(1, size):  # runs that begin in one text and end in another
        cut = ends - before
        inside[np.minimum(cut[cut >= 0], len(hashes))] = False
    return Grams(mix_bits(hashes[inside[:-1]]), offsets)


def _offsets(counts: Offsets) -> Offsets:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
