"""Streams of bzip2 that are decompressed block by block, and archives of one such stream."""

from __future__ import annotations

import bz2
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shp_miner.dumps import bzip2_blocks, stackexchange_7z
from shp_miner.dumps.bzip2_blocks import NotSoError, texts_of_blocks

from .stackexchange_dump import archive, long_members, read_all

TEXT = bytes(random.Random(1).choices(b"abcdefgh\n", k=350_000))  # four blocks of level 1


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, len(TEXT)), st.integers(1, 9), st.sampled_from([7, 999, 1 << 20]))
def test_blocks_are_the_text(size: int, level: int, at_once: int) -> None:
    data = bz2.compress(TEXT[:size], level)
    assert b"".join(texts_of_blocks(pieces(data, max(at_once, len(data) // 500)), 2)) == TEXT[:size]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**9), st.booleans())
def test_damage_is_found_and_what_comes_before_it_is_sound(place: int, cut: bool) -> None:
    data = bytearray(bz2.compress(TEXT, 1))
    place %= len(data) * 8 - 7  # the last bits mean nothing
    data = data[: place // 8] if cut else data
    if not cut:
        data[place // 8] ^= 1 << 7 - place % 8
    found: list[bytes] = []
    with pytest.raises(NotSoError):
        found.extend(texts_of_blocks(pieces(bytes(data), 9_999), 2))
    assert TEXT.startswith(b"".join(found))


@pytest.mark.parametrize("damaged", [None, 0.0, 0.5])
def test_an_archive_of_one_stream_is_read_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: float | None
) -> None:
    path = archive(tmp_path / "a.meta.7z", long_members(900))
    if damaged is not None:
        data = bytearray(path.read_bytes())
        data[32 + int(damaged * (len(data) - 400))] ^= 16
        path.write_bytes(data)
    at_once: list[bytes] = []

    def counted(*what: Any) -> Iterator[bytes]:
        for text in bzip2_blocks.texts_of_blocks(*what):
            at_once.append(text)
            yield text

    with monkeypatch.context() as patch:
        patch.setattr(stackexchange_7z, "texts_of_blocks", counted)
        found = read_all(path)
    assert bool(at_once) == (damaged != 0.0)

    def none(*_: Any) -> Iterator[bytes]:
        raise NotSoError
        yield b""

    monkeypatch.setattr(stackexchange_7z, "texts_of_blocks", none)
    assert read_all(path) == found
