"""Plain decompression: the floor in Python, and what the other files here read dumps with.

Run as a module it decompresses the named files one after the other and does nothing with the bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["blocks", "zstd"]

#: A monthly dump's window is 2^31 bytes; decoders refuse that unless told.
WINDOW_LOG_MAX = 31
_READ_BYTES = 1 << 17
_BLOCK_BYTES = 1 << 20


def blocks(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a .zst file of one frame, in blocks of at most 1 MiB."""
    decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})
    with path.open("rb") as file:
        while not decoder.eof:
            data = file.read(_READ_BYTES) if decoder.needs_input else b""
            if decoder.needs_input and not data:
                raise EOFError(f"{path.name} ends in the middle")
            block = decoder.decompress(data, _BLOCK_BYTES)
            if block:
                yield block


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for _ in blocks(Path(name)):
            pass
