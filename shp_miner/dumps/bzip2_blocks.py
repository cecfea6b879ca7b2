"""A bzip2 stream decompressed block by block, several blocks at once, in limited memory.

A stream is a header, blocks that know nothing of each other, and an end. Where a block begins is not said: its first 48
bits are looked for, and they need not begin at a byte. Each block is moved to a byte, made a stream of its own, and
decompressed by a thread; Python's decoder lets others run meanwhile.

    BZh9 block block ... end      ->      BZh9 block end,  BZh9 block end,  ...

Whatever is not exactly so raises NotSoError, and another decoder has to say what is wrong with it.
"""

from __future__ import annotations

import bz2
from collections.abc import Generator, Iterable, Iterator
from itertools import pairwise

import numpy as np
import stringzilla as sz

from shp_miner.dumps.ahead import worked_ahead

_HEADER_BYTES = 4
#: What a block and the end of a stream begin with; the block's checksum, or that of the whole, comes behind it.
_BLOCK, _END = 0x314159265359, 0x177245385090
_MARK_BITS, _CHECK_BITS = 48, 32
_END_BITS = _MARK_BITS + _CHECK_BITS
#: A block holds at most 900,000 bytes, and bzip2 makes none of them much longer.
_HELD_MAX = 4 << 20
#: What is no longer than this may have no mark that is whole.
_SHORT = 16

#: (bit in a text, whether the end begins there)
_Mark = tuple[int, bool]


class NotSoError(Exception):
    """The stream is damaged, or it is not one header with its blocks and one end."""


def texts_of_blocks(source: Iterable[bytes], threads: int) -> Generator[bytes, None, None]:
    """Yield the text of each block of a stream that comes in pieces; all checksums are held against it.

    Raises NotSoError where the stream is not such a one, behind the texts before that.
    """
    whole = 0
    for checksum, text in worked_ahead(_decompressed, _blocks(source), threads):
        if text is None:
            if checksum != whole:
                raise NotSoError
            return
        whole = ((whole << 1 | whole >> 31) & 0xFFFFFFFF) ^ checksum
        yield text
    raise NotSoError


def _blocks(source: Iterable[bytes]) -> Iterator[tuple[bytes, bytes, int, int]]:
    """For each block and for the end: the header, bytes that hold it, the bit in them where it begins, and its bits."""
    header, held, begun = b"", b"", 0
    for data in source:
        held += data
        if not header:
            header, held = held[:_HEADER_BYTES], held[_HEADER_BYTES:]
            if header not in (b"BZh%d" % level for level in range(1, 10)):
                raise NotSoError
        if len(held) < _SHORT:
            continue
        marks = _marks(held)
        if not marks or marks[0][0] != begun or any(is_end for _, is_end in marks[:-1]) or len(held) > _HELD_MAX:
            raise NotSoError
        for (place, _), (following, _) in pairwise(marks):
            yield header, held[place // 8 : following // 8 + 1], place % 8, following - place
        last = marks[-1][0]
        held, begun = held[last // 8 :], last % 8
    if _marks(held) != [(begun, True)] or len(held) != (begun + _END_BITS + 7) // 8:
        raise NotSoError
    yield header, held, begun, _END_BITS


def _marks(text: bytes) -> list[_Mark]:
    """Where blocks and the end begin, in their order."""
    found: list[_Mark] = []
    for mark in (_BLOCK, _END):
        for shift in range(8):
            # Of the mark's bytes, five are whole wherever it begins.
            inside = (mark >> shift & (1 << 40) - 1).to_bytes(5, "big")
            at = sz.find(text, inside, 1)
            while at >= 0:
                around = int.from_bytes(text[at - 1 : at + 6].ljust(7, b"\0"), "big")
                if around >> 8 - shift & (1 << _MARK_BITS) - 1 == mark and (shift == 0 or at + 5 < len(text)):
                    found.append((8 * (at - 1) + shift, mark == _END))
                at = sz.find(text, inside, at + 1)
    return sorted(found)


def _decompressed(block: tuple[bytes, bytes, int, int]) -> tuple[int, bytes | None]:
    """The checksum and the text of a block; of the end, the checksum alone."""
    header, data, shift, bits = block
    raw = np.frombuffer(data + b"\0", np.uint8)
    moved = ((raw[:-1] << shift) | (raw[1:] >> (8 - shift))).tobytes() if shift else data
    checksum = int.from_bytes(moved[_MARK_BITS // 8 : _END_BITS // 8], "big")
    if moved.startswith(_END.to_bytes(6, "big")):
        return checksum, None
    size, more = divmod(bits, 8)
    # What is left of the last byte comes before the end, and zeros fill up the byte behind it.
    end = (moved[size] >> 8 - more if more else 0) << _END_BITS | _END << _CHECK_BITS | checksum
    end_bytes = (more + _END_BITS + 7) // 8
    end <<= 8 * end_bytes - more - _END_BITS
    try:
        text = bz2.decompress(header + moved[:size] + end.to_bytes(end_bytes, "big"))
    except (OSError, ValueError) as error:
        raise NotSoError from error
    return checksum, text
