"""Where a compressed file can be entered: beginnings of frames that are compressed apart, found without unpacking.

Writers of such frames: pzstd and the seekable format of zstd, bgzip, pbzip2, pixz, and .zst_blocks. A candidate is a
frame's first bytes. It counts if what its headers say of its end is true as well, so that chance makes none:

- zstd: the headers of its blocks lead to its end, and there is another frame or the file's end (RFC 8878, section 3)
- gzip of bgzip (BGZF): its header says its size, and there is another, or the file's end (SAM specification, 4.1)
- bzip2 and xz: the beginning alone has 80 bits, or a checksum of its own
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

#: Bytes read at a time.
_READ = 1 << 20

_ZST = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"

#: Blocks of a zstd frame whose headers are looked at; who wrote so many true ones wrote a frame.
_BLOCKS = 256
_BLOCK_MAX = 128 << 10
_RESERVED = 3
_REPEATED = 1

_BGZF = b"\x1f\x8b\x08\x04"
_BZIP2, _BZIP2_BLOCK = b"BZh", b"1AY&SY"
_XZ = b"\xfd7zXZ\x00"


class _Bytes:
    """A file of which a few bytes are looked at here and there; what lies near is read together."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = path.stat().st_size
        self._begin, self._held = 0, b""

    def close(self) -> None:
        self._file.close()

    def at(self, place: int, count: int) -> bytes:
        """Return `count` bytes at a place, fewer at the end of the file."""
        if not self._begin <= place or place + count > self._begin + len(self._held):
            self._file.seek(place)
            self._begin, self._held = place, self._file.read(max(_READ, count))
        return self._held[place - self._begin : place - self._begin + count]


def next_boundary(path: Path, kind: str, begin: int, end: int) -> int | None:
    """Return the first place from `begin` to before `end` where a frame begins that can be read by itself.

    `kind` is that of `compression_of`. None if there is none, or if files of the kind cannot be entered.
    """
    if kind not in _KINDS:
        return None
    magic, before, is_frame = _KINDS[kind]
    file = _Bytes(path)
    try:
        for place in _places(file, magic, begin + before, min(end + before, file.size)):
            if is_frame(file, place):
                return place - before
    finally:
        file.close()
    return None


def has_frames(kind: str) -> bool:
    """Whether files compressed in this way can be of frames at which they can be entered."""
    return kind in _KINDS


def _places(file: _Bytes, magic: bytes, begin: int, end: int) -> Iterator[int]:
    """Yield where `magic` is, from `begin` to before `end`."""
    for start in range(begin, end, _READ):
        data = file.at(start, min(_READ, end - start) + len(magic) - 1)
        found = data.find(magic)
        while found >= 0:
            yield start + found
            found = data.find(magic, found + 1)


def _is_zst(file: _Bytes, place: int) -> bool:
    end = _end_of_zst(file, place)
    return end < 0 or (end > place and _is_followed(file, end))


def _end_of_zst(file: _Bytes, place: int) -> int:
    """Return where a frame ends by the headers of its blocks; `place` if it is none, -1 if it is one and goes on."""
    try:
        start = file.at(place, 32)
        checksum = 4 if zstandard.get_frame_parameters(start).has_checksum else 0
        at = place + zstandard.frame_header_size(start)
    except zstandard.ZstdError:
        return place
    for _ in range(_BLOCKS):
        header = int.from_bytes(file.at(at, 3), "little")
        is_last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED or size > _BLOCK_MAX:
            return place
        at += 3 + (1 if kind == _REPEATED else size)
        if is_last:
            return at + checksum
        if at >= file.size:
            return place
    return -1


def _is_followed(file: _Bytes, end: int) -> bool:
    following = file.at(end, 4)
    return end == file.size or following == _ZST or (following[1:] == _SKIPPABLE and following[0] >> 4 == 5)


def _is_in_block(file: _Bytes, place: int) -> bool:
    """Whether the frame at a place is that of a block of .zst_blocks, whose size is in the 4 bytes before."""
    size = int.from_bytes(file.at(place - 4, 4), "little")
    end = _end_of_zst(file, place)
    if end not in (-1, place + size) or place + size > file.size:
        return False
    return place + size == file.size or file.at(place + size + 4, 4) == _ZST


def _is_bgzf(file: _Bytes, place: int) -> bool:
    size = _bgzf_size(file, place)
    return bool(size) and (place + size == file.size or bool(_bgzf_size(file, place + size)))


def _bgzf_size(file: _Bytes, place: int) -> int:
    """Return the bytes of the BGZF block at a place; 0 if there is none."""
    header = file.at(place, 18)
    if len(header) < 18 or not header.startswith(_BGZF) or header[10:16] != b"\x06\0BC\x02\0":
        return 0
    return int(struct.unpack_from("<H", header, 16)[0]) + 1


def _is_bzip2(file: _Bytes, place: int) -> bool:
    start = file.at(place, 10)
    return start[3:4] in b"123456789" and start[4:] == _BZIP2_BLOCK


def _is_xz(file: _Bytes, place: int) -> bool:
    start = file.at(place, 12)
    return len(start) == 12 and zlib.crc32(start[6:8]) == int.from_bytes(start[8:], "little")


#: How a kind of frame begins, the bytes that belong to it before that, and what says whether it is one.
_KINDS: dict[str, tuple[bytes, int, Callable[[_Bytes, int], bool]]] = {
    "zst": (_ZST, 0, _is_zst),
    "zst_blocks": (_ZST, 4, _is_in_block),
    "gz": (_BGZF, 0, _is_bgzf),
    "bz2": (_BZIP2, 0, _is_bzip2),
    "xz": (_XZ, 0, _is_xz),
}
