"""Whole lines of files of any compression, of a section of one, and of what is left of a damaged one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import stringzilla as sz

from shp_miner.dumps.ahead import read_ahead
from shp_miner.dumps.compressed import BLOCKS_VALID, Advance, Frames, compression_of, decompressed_head, ignore_progress
from shp_miner.dumps.plain_lines import LOOKED_AT, is_in_lines, plain_lines
from shp_miner.dumps.sections import Section, section_blocks
from shp_miner.tally import Damage, Tally

#: Blocks made ahead: others are being made, and worked on.
_AHEAD = BLOCKS_VALID - 2

#: A line longer than this is lost (counted), so that a file without line ends cannot fill the memory.
LINE_MAX = 64 << 20


class _Gap:
    """Text is missing here: the line before has no end, and the line after has no beginning."""


def line_blocks(
    path: Path,
    tally: Tally,
    advance: Advance = ignore_progress,
    section: Section | None = None,
    *,
    beyond_damage: bool = False,
) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield (offset in the decompressed text, some whole lines) until the end of the file, its section or its damage.

    A block is valid until the next is taken, and cannot be read after that (see `ring`). Every block ends with a line
    end, except the last one of a file that lacks it. Decompression runs ahead in its own thread. Lines over LINE_MAX
    bytes are lost and counted.

    The lines of a section are those that begin in it behind a line end. If it is compressed, offsets count from the
    section's first byte of text, and `tally.text_bytes` gets the bytes of its text. With `beyond_damage`, a file in
    frames is read on behind a damaged frame; its offsets do not count the text that was lost.
    """
    held: list[bytes] = []
    offset, held_size, skipping = 0, 0, False
    blocks: Generator[bytes | memoryview | _Gap, None, None]
    if section and compression_of(path) == "plain":
        offset, blocks = section.begin, section_blocks(path, section, advance)
    else:
        blocks = _text(path, section, tally, advance, beyond_damage=beyond_damage)
    for block in read_ahead(blocks, _AHEAD):
        if isinstance(block, _Gap):
            offset, held, held_size, skipping = offset + held_size, [], 0, True
            continue
        cut = sz.rfind(block, b"\n") + 1
        if not cut:
            held.append(bytes(block))
            held_size += len(block)
            if held_size > LINE_MAX:
                if not skipping:
                    what = f"a line is longer than {LINE_MAX} bytes"
                    tally.lose("line", "line_too_long", Damage(str(path), offset, what))
                offset, held, held_size, skipping = offset + held_size, [], 0, True
            continue
        text = b"".join([*held, block[:cut]]) if held_size else block[:cut]
        if skipping:
            rest = sz.find(text, b"\n") + 1
            offset, text, skipping = offset + rest, text[rest:], False
        size = len(text)
        if text:
            yield offset, text
        if isinstance(text, memoryview):
            with suppress(BufferError):  # a reader holds a part of it, which the ring leaves as it is
                text.release()
        offset += size
        held_size = len(block) - cut
        held = [bytes(block[cut:])] if held_size else []
    last = b"".join(held)
    if not skipping and last.strip():
        yield offset, last


def _text(
    path: Path, section: Section | None, tally: Tally, advance: Advance, *, beyond_damage: bool
) -> Generator[bytes | memoryview | _Gap, None, None]:
    """Yield the text of a file, or of a section up to the line end behind it, with a gap where text is missing."""
    frames = Frames(path, section.begin, section.end) if section else Frames(path)
    count = 0
    if frames.begin and not frames.of_whole_lines:
        yield _Gap()
    blocks = frames.blocks(tally, advance)
    for block in blocks if section else plain_lines(blocks):
        count += len(block)
        yield block
    while frames.broken:
        if not frames.of_whole_lines:
            yield _Gap()
        begin = frames.after_damage() if section or (beyond_damage and _is_in_lines(path)) else None
        if begin is None:
            break
        frames = Frames(path, begin, frames.end)
        for block in frames.blocks(tally, advance):
            count += len(block)
            yield block
    if section:
        tally.text_bytes[str(path)] = count
        if not (frames.broken or frames.of_whole_lines) and section.end < frames.size:
            yield from _until_line_end(Frames(path, section.end))


def _until_line_end(frames: Frames) -> Generator[bytes | memoryview | _Gap, None, None]:
    """Yield the text up to its first line end. Damage on the way is for the section that has it to report."""
    for block in frames.blocks(Tally(), ignore_progress):
        end = sz.find(block, b"\n") + 1
        yield block[:end] if end else block
        if end:
            return
    if frames.broken:
        yield _Gap()


def _is_in_lines(path: Path) -> bool:
    """Whether the text of a file is records, one to a line, as it is."""
    start = decompressed_head(path, LOOKED_AT)
    return is_in_lines(start, ends=len(start) < LOOKED_AT)


def decompressed_lines(path: Path, tally: Tally, advance: Advance = ignore_progress) -> Iterator[tuple[int, bytes]]:
    """(offset in the decompressed text, line without its end) for every whole line that is not blank."""
    for start, text in line_blocks(path, tally, advance):
        yield from split_lines(start, text)


def split_lines(start: int, text: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """The lines of a block that are not blank, with their offsets."""
    for line in bytes(text).split(b"\n"):
        if line and not line.isspace():
            yield start, line
        start += len(line) + 1
