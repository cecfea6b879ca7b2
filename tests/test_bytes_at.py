"""Pieces of a text at many places at once, held against plain slices."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.dumps.bytes_at import Words, count_below, numbers_at, places_of, texts_at


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=9))
def test_pieces_at_places_are_the_slices(text: str, asked: list[tuple[int, int]]) -> None:
    # Only whole characters are text, so places are those of characters.
    places = np.cumsum([0, *(len(char.encode()) for char in text)])
    pairs = [sorted((places[min(a, len(text))], places[min(b, len(text))])) for a, b in asked]
    begins, ends = np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)
    raw = text.encode()
    words = Words(raw)
    assert texts_at(raw, words, begins, ends).to_list() == [raw[a:b].decode() for a, b in pairs]
    assert words.at(begins).tolist() == [int.from_bytes(raw[a : a + 8], "little") for a in begins.tolist()]
    assert places_of(raw, b"a").tolist() == [at for at, byte in enumerate(raw) if byte == ord("a")]
    assert count_below(raw, 0x20) == sum(byte < 0x20 for byte in raw)


@given(st.lists(st.text("0123456789/:-x\xb2", max_size=10) | st.integers(0, 10**9).map(str), max_size=9))
def test_numbers_at_places_are_those_of_one_to_eight_digits(texts: list[str]) -> None:
    pieces = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, pieces)])
    numbers, fine = numbers_at(Words(b"".join(pieces)), ends[:-1], ends[1:])
    expected = [int(text) if re.fullmatch("[0-9]{1,8}", text) else None for text in texts]
    assert [int(number) if good else None for number, good in zip(numbers, fine, strict=True)] == expected
