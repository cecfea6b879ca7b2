"""Xet storage, as far as a client needs it to send files: xorbs of chunks, and shards that say which chunks a file has.

Written after the protocol's specification. Every chunk is unpacked and every file put together and held against its
SHA-256, so a client that sends too little does not pass.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pyarrow as pa

#: Flags of a file in a shard: it has hashes to verify its parts, it has a SHA-256.
_VERIFIED, _WITH_SHA256 = 1 << 31, 1 << 30

_ENTRY = 48
_BOOKMARK = b"\xff" * 32


def name_of(hash_: bytes) -> str:
    """The text of a hash: four numbers of 64 bits, the lowest byte first, in hexadecimal digits."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", hash_))


def chunks_of(xorb: bytes) -> list[bytes]:
    """The chunks of a xorb, unpacked. What follows them, where something does, is a footer for the client."""
    chunks, at = [], 0
    while at < len(xorb) and xorb[at : at + 7] != b"XETBLOB":
        version, method = xorb[at], xorb[at + 4]
        packed, size = (int.from_bytes(xorb[at + start : at + start + 3], "little") for start in (1, 5))
        assert version == 0
        data = xorb[at + 8 : at + 8 + packed]
        at += 8 + packed
        if method:
            data = pa.decompress(data, size, codec="lz4", asbytes=True)
        if method == 2:  # the first bytes of each group of four, then the second ones, and so on
            parts = np.array_split(np.frombuffer(data, np.uint8), 4)
            grouped = np.empty(size, np.uint8)
            for offset, part in enumerate(parts):
                grouped[offset::4] = part
            data = grouped.tobytes()
        assert len(data) == size
        chunks.append(data)
    return chunks


def files_of(shard: bytes, xorbs: dict[str, list[bytes]]) -> dict[str, bytes]:
    """The files of a shard by SHA-256, put together of chunks. KeyError: a xorb was not sent."""
    files, at = {}, _ENTRY
    while shard[at : at + 32] != _BOOKMARK:
        flags, count = struct.unpack_from("<2I", shard, at + 32)
        at += _ENTRY
        parts = []
        for entry in range(at, at + count * _ENTRY, _ENTRY):
            _, size, first, last = struct.unpack_from("<4I", shard, entry + 32)
            part = b"".join(xorbs[name_of(shard[entry : entry + 32])][first:last])
            assert len(part) == size
            parts.append(part)
        at += count * _ENTRY * (2 if flags & _VERIFIED else 1)
        assert flags & _WITH_SHA256
        content, sha256 = b"".join(parts), name_of(shard[at : at + 32])
        assert hashlib.sha256(content).hexdigest() == sha256
        files[sha256] = content
        at += _ENTRY
    return files
