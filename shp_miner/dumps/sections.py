"""Sections of one large file, each read by a task of its own: lines by their bytes, Parquet by its row groups."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from msgspec import Struct

from shp_miner.engine import Step

#: Bytes read at a time.
_READ = 1 << 20


class Section(Struct, frozen=True):
    """What lies in a file from `begin` to before `end`: bytes of whole lines, or row groups; `size` is in bytes."""

    begin: int
    end: int
    size: int


def section_blocks(
    path: Path, section: Section, advance: Callable[[int], None]
) -> Generator[bytes | memoryview, None, None]:
    """Yield the bytes of a section of lines, some at a time."""
    advance(Step(doing=path.name))
    left = section.end - section.begin
    with path.open("rb") as file:
        file.seek(section.begin)
        while left and (block := file.read(min(_READ, left))):
            left -= len(block)
            advance(len(block))
            yield block
