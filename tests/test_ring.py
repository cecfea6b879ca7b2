"""A stale block refuses to be read, and a part of a block that is held is never overwritten."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from shp_miner.dumps import compressed, reddit
from shp_miner.dumps.ring import Ring
from shp_miner.dumps.whole_lines import line_blocks
from shp_miner.tally import Tally

from .build import comment, write_dump

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dump of many blocks, since they are small here."""
    monkeypatch.setattr(compressed, "_BLOCK", 1 << 12)
    return write_dump(tmp_path / "RC.zst", [comment(f"c{number}") for number in range(500)])


def test_a_stale_block_refuses_to_be_read(dump: Path) -> None:
    taken = []
    for number, block in enumerate(compressed.decompressed_blocks(dump, Tally())):
        assert isinstance(block, memoryview | bytes)
        assert len(block) > 0
        taken.append(block)
        for stale in taken[: max(0, number + 1 - compressed.BLOCKS_VALID)]:
            with pytest.raises(ValueError, match="released"):
                bytes(stale)
    assert len(taken) > 4 * compressed.BLOCKS_VALID


def test_whole_lines_refuse_to_be_read_when_the_next_are_taken(dump: Path) -> None:
    (_, first), (_, second) = islice(line_blocks(dump, Tally()), 2)
    with pytest.raises(ValueError, match="released"):
        bytes(first)
    assert bytes(second).endswith(b"\n")


def test_a_part_that_is_held_is_never_overwritten(dump: Path) -> None:
    held = []
    for block in compressed.decompressed_blocks(dump, Tally()):
        part, array = block[1:9], np.frombuffer(block, np.uint8)
        held.append((bytes(block), part, array))
    assert all((bytes(part), array.tobytes()) == (text[1:9], text) for text, part, array in held)


@pytest.mark.parametrize("communities", [(), ("asktest",), ("nobody",)])
@pytest.mark.parametrize("thorough", [False, True])
def test_an_import_holds_no_part_of_a_stale_block(
    communities: tuple[str, ...], thorough: bool, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ring, "_replace", lambda _: pytest.fail("a part of a block is held"))
    tally = Tally()
    list(reddit.read([dump], tally, now=NOW, communities=communities, thorough=thorough))
    assert tally.complete
