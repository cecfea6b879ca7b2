"""Short pieces of a large text at many places at once: as numbers to compare, and as columns of text without a copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Places = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]
Bytes = bytes | bytearray | memoryview

_WORD = 8
#: What is left of a word when only its first so many bytes count.
_FIRST = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], np.uint64)

#: A text of a column that is no longer than this stands in the column itself, a longer one in a buffer beside it.
_INLINE = 12
_HALF = np.uint64(32)


#: Bytes that are compared at once: what comes out of it stays in the processor's cache.
_AT_ONCE = 1 << 17


def places_of(text: Bytes, byte: bytes) -> Places:
    """Where a byte is in a text."""
    raw, wanted = np.frombuffer(text, np.uint8), ord(byte)
    parts = [np.flatnonzero(raw[at : at + _AT_ONCE] == wanted) + at for at in range(0, len(raw), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def count_below(text: Bytes, byte: int) -> int:
    """How many bytes of a text are lower than a byte."""
    raw = np.frombuffer(text, np.uint8)
    return sum(int(np.count_nonzero(raw[at : at + _AT_ONCE] < byte)) for at in range(0, len(raw), _AT_ONCE))


class Words:
    """The 8 bytes at any places of a text as one number each, the first byte the lowest; zeros follow the text."""

    def __init__(self, text: Bytes) -> None:
        padded = text if len(text) >= _WORD else bytes(text).ljust(_WORD, b"\0")
        self._last = len(padded) - _WORD
        self._all = np.ndarray((self._last + 1,), "<u8", padded, strides=(1,))

    def at(self, places: Places) -> Numbers:
        """The words that begin at `places`."""
        if not len(places) or places.max() <= self._last:
            inside: Numbers = self._all[places]
            return inside
        found: Numbers = self._all[np.minimum(places, self._last)]
        for place in np.flatnonzero(places > self._last).tolist():
            found[place] = int(found[place]) >> min(8 * int(places[place] - self._last), 64)
        return found

    def first(self, places: Places, sizes: Places) -> Numbers:
        """The words at `places`, of which only the first `sizes` bytes count; any size below 0 is none, above 8 all."""
        return self.at(places) & _FIRST.take(sizes, mode="clip")


#: The digit 0 in each byte of a word, what is left of a byte that is a digit, and what a digit is less than 16 by.
_ZEROS, _UPPER, _SIX = (np.uint64(int.from_bytes(bytes([byte]) * _WORD, "little")) for byte in (0x30, 0xF0, 0x06))


def numbers_at(words: Words, begins: Places, ends: Places) -> tuple[Places, npt.NDArray[np.bool_]]:
    """The whole numbers of one to eight digits from `begins` to before `ends`, and where there is one at all.

    Digits next to each other are put together, then twos, then fours: see Daniel Lemire, "Quickly parsing eight
    digits".
    """
    sizes = ends - begins
    unused = (8 * (_WORD - np.clip(sizes, 1, _WORD))).astype(np.uint64)
    # The last digit stands in the highest byte; zeros are put before the first.
    found = (words.at(begins) << unused) | (_ZEROS >> (np.uint64(64) - unused)) * (unused > 0)
    fine = (sizes >= 1) & (sizes <= _WORD) & (found & _UPPER == _ZEROS) & ((found + _SIX) & _UPPER == _ZEROS)
    found &= ~_UPPER
    for pair, factor, mask in ((8, 10, 0x00FF00FF00FF00FF), (16, 100, 0x0000FFFF0000FFFF), (32, 10_000, 0xFFFFFFFF)):
        found = (found * np.uint64(factor) + (found >> np.uint64(pair))) & np.uint64(mask)
    return found.astype(np.int64), fine


def texts_at(text: Bytes, words: Words, begins: Places, ends: Places) -> pl.Series:
    """The pieces of a text (UTF-8) from `begins` to before `ends`. Long ones are not copied: they keep `text` alive."""
    sizes = ends - begins
    low = words.first(begins, sizes)
    # What Arrow calls a view: the size and 12 bytes; or the size, 4 bytes, the buffer's number and the place in it.
    views = np.empty((len(begins), 2), np.uint64)
    views[:, 0] = sizes.astype(np.uint64) | (low << _HALF)
    views[:, 1] = begins.astype(np.uint64) << _HALF
    short = np.flatnonzero(sizes <= _INLINE)
    if len(short):
        high = words.first(begins[short] + _WORD, sizes[short] - _WORD)
        views[short, 1] = (low[short] >> _HALF) | (high << _HALF)
    buffers = [None, pa.py_buffer(views.data), pa.py_buffer(text)]
    found = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(begins), buffers))
    assert isinstance(found, pl.Series)
    return found
