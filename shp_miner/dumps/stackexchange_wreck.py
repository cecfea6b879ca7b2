"""Members of a 7z archive that has lost its table of contents, which is at its end.

They are separated by their XML declarations, as far as the compressed streams can be followed (bzip2, as published,
LZMA, LZMA2 or stored).
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from shp_miner.dumps.compressed import Decoder, Plain
from shp_miner.dumps.stackexchange_7z import BLOCK_BYTES, PieceFile
from shp_miner.dumps.stackexchange_blocks import Block, BrokenFileError

_HEADER_BYTES = 32


# In a wreck the size of LZMA's window is not known: this is 7-Zip's largest preset, and memory is only taken as used.
_WINDOW_BYTES = 256 << 20
_XML_START = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^<]{0,200}<(\w{1,40})")
_XML_START_MAX = 256


def _decoder_for(start: bytes) -> Decoder | None:
    """A decoder for a compressed stream that begins with `start` and holds XML, or None."""
    if re.match(rb"BZh[1-9]\x31\x41\x59\x26\x53\x59", start):
        return bz2.BZ2Decompressor()
    if _XML_START.match(start):
        return Plain()
    for method in (lzma.FILTER_LZMA2, lzma.FILTER_LZMA1):
        settings = [{"id": method, "dict_size": _WINDOW_BYTES}]
        try:
            trial = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=settings).decompress(start, _XML_START_MAX)
        except lzma.LZMAError:
            continue
        if _XML_START.match(trial):
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=settings)
    return None


def wreck_blocks(path: Path, at: Callable[[int], None]) -> Generator[Block, None, None]:
    """Yield the members of an archive without a table of contents, separated at XML declarations.

    A table's name is its root element's. No raw `<?xml` can be inside a table: its text has every `<` escaped. Raises
    BrokenFileError at the end of the readable part.
    """
    table, held = "", b""
    with PieceFile(path) as file:
        file.seek(_HEADER_BYTES)
        file.in_pieces = True
        for text in _wreck_text(file):
            at(file.tell())
            held += text
            while match := _XML_START.search(held):
                yield table, held[: match.start()]
                yield table, None
                table = match[1].decode()
                yield table, match[0]
                held = held[match.end() :]
            yield table, held[:-_XML_START_MAX]
            held = held[-_XML_START_MAX:]
        yield table, held
        raise BrokenFileError(file.tell(), "the archive is cut off or corrupt: it has no readable table of contents")


def _wreck_text(file: PieceFile) -> Iterator[bytes]:
    data = file.read()
    while decoder := _decoder_for(data):
        while not decoder.eof:
            try:
                text = decoder.decompress(data, BLOCK_BYTES)
            except (OSError, lzma.LZMAError, EOFError):
                return
            if text:
                yield text
            data = file.read() if decoder.needs_input and not decoder.eof else b""
            if decoder.needs_input and not data and not decoder.eof:
                return
        data = decoder.unused_data + file.read()
