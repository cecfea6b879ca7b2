"""Files in blocks that are compressed apart (.zst_blocks), as Arctic Shift released months until April 2024.

A block is the size of its data in 4 bytes, the lowest first, and a zstd frame. The frame holds the number of its rows
in 4 bytes, for each row 4 bytes of its offset in what follows and 4 of its size, and the rows themselves
(github.com/ArthurHeitmann/zst_blocks_format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

#: The most bytes of a block, packed and unpacked: its rows are read at once.
BLOCK_MAX = 256 << 20

_FRAME = b"\x28\xb5\x2f\xfd"
_NUMBER = struct.Struct("<I")


class BrokenBlock(Exception):
    """A block cannot be read; `offset` is its byte in the file."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset, self.what = offset, what


def is_in_blocks(start: bytes) -> bool:
    """Whether the first 8 bytes of a file are those of a block."""
    return start[4:8] == _FRAME and not start.startswith(_FRAME)


def unpacked_blocks(file: BinaryIO, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (bytes of the file, rows with their line ends) for each block from `offset` to before `end`.

    The file is at `offset`. Raises BrokenBlock.
    """
    while offset < end and (head := file.read(_NUMBER.size)):
        size = _NUMBER.unpack(head)[0] if len(head) == _NUMBER.size else 0
        data = file.read(size) if size <= BLOCK_MAX else b""
        if not size or len(data) < size:
            raise BrokenBlock(offset, "the archive ends in the middle (truncated)")
        try:
            reader = zstandard.ZstdDecompressor(max_window_size=BLOCK_MAX).stream_reader(data)
            text = reader.read(BLOCK_MAX + 1)
        except zstandard.ZstdError as error:
            raise BrokenBlock(offset, f"the archive is corrupt ({error})") from error
        yield len(head) + size, _rows(text, offset)
        offset += len(head) + size


def _rows(text: bytes, offset: int) -> bytes:
    count = _NUMBER.unpack(text[: _NUMBER.size])[0] if len(text) >= _NUMBER.size else 0
    begin = _NUMBER.size * (1 + 2 * count)
    if not count or len(text) > BLOCK_MAX or begin > len(text):
        raise BrokenBlock(offset, "the archive is corrupt (a block does not hold its rows)")
    places = struct.unpack_from(f"<{2 * count}I", text, _NUMBER.size)
    if sum(places[1::2]) > len(text):
        raise BrokenBlock(offset, "the archive is corrupt (the rows of a block are larger than the block)")
    rows = (text[begin + at : begin + at + size] for at, size in zip(places[::2], places[1::2], strict=True))
    return b"\n".join([*(row.replace(b"\n", b" ") for row in rows), b""])
