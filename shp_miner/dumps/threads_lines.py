"""Lines of JSON, one record each: as many at a time as are turned into columns at once, or record by record."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.dumps.compressed import Advance
from shp_miner.dumps.lines import Lines, all_lines
from shp_miner.dumps.plain_lines import UTF8_MARK
from shp_miner.dumps.sections import Section
from shp_miner.dumps.whole_lines import line_blocks
from shp_miner.platforms.records import lenient_json
from shp_miner.tally import Damage, Lost, Tally

#: Bytes of lines that are turned into columns at once.
_BATCH_BYTES = 12_000_000


def batches(
    path: Path, tally: Tally, advance: Advance, section: Section | None = None, *, beyond_damage: bool = True
) -> Generator[Lines, None, None]:
    """The lines of a file in their order, as many at a time as are turned into columns at once.

    With `beyond_damage` also those behind a damaged place.
    """
    held: list[bytes] = []
    begin = end = 0
    for offset, text in line_blocks(path, tally, advance, section, beyond_damage=beyond_damage):
        if held and (offset != end or end - begin >= _BATCH_BYTES):
            yield all_lines(begin, b"".join(held))
            held = []
        if not held:
            begin = offset
        held.append(bytes(text))
        end = offset + len(text)
    if held:
        yield all_lines(begin, b"".join(held))


def records(path: Path, tally: Tally, advance: Advance) -> Iterator[tuple[Damage, Any]]:
    """Yield the record of each line, or Lost, with its place."""
    for lines in batches(path, tally, advance):
        for offset, line in lines:
            if line.strip():
                yield Damage(str(path), offset, ""), decoded(offset, line, tally)


def decoded(offset: int, line: bytes, tally: Tally) -> Any:
    """The JSON value of the line at an offset of its file, or Lost."""
    text = line.removeprefix(UTF8_MARK) if offset == 0 else line
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return lenient_json(text, tally)
        except Lost as lost:
            return lost
