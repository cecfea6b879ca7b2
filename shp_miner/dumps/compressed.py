"""Lines of plain, .zst, .zst_blocks, .gz, .bz2 and .xz files, in limited memory, up to the line before any damage.

`ring` has a drawing of how the decoder's window, the blocks and their readers move.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

import stringzilla as sz
import zstandard

from shp_miner.dumps.ahead import read_ahead
from shp_miner.dumps.plain_lines import plain_lines
from shp_miner.dumps.ring import Ring
from shp_miner.dumps.sections import Section, section_blocks
from shp_miner.dumps.window import WindowToucher
from shp_miner.dumps.zst_blocks import BrokenBlock, is_in_blocks, unpacked_blocks
from shp_miner.engine import Step
from shp_miner.errors import BadInput, from_os_error
from shp_miner.paths import whole
from shp_miner.tally import Damage, Tally

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Reddit's monthly files are compressed with a window of 2^31 bytes; decoders refuse that unless told.
WINDOW_LOG_MAX = 31

#: Bytes read from disk at a time, and bytes of text handed on at a time.
_READ = 1 << 17
_BLOCK = 1 << 20

#: Blocks that are whole at the same time: one being made, two made ahead, and the one that somebody works on.
BLOCKS_VALID = 4
_AHEAD = BLOCKS_VALID - 2

#: A line longer than this is lost (counted), so that a file without line ends cannot fill the memory.
LINE_MAX = 64 << 20

#: An archive that gives more than this, and so many times its size, holds next to nothing: it is not read further.
UNPACKED, PACKED = 256 << 20, 1000
_BOMB = f"the archive unpacks to more than {PACKED:,} times its size and is not read further"

Advance = Callable[[int], None]


def ignore_progress(count: int) -> None:
    """Ignore progress."""


class _Decoder(Protocol):
    """What bz2, lzma and zstd decoders have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Plain:
    """A decoder that changes nothing, so that plain files take the same way."""

    eof = False
    unused_data = b""
    needs_input = True

    def decompress(self, data: bytes, max_length: int, /) -> bytes:  # noqa: ARG002
        return data


class _Gzip:
    """zlib's decoder with the attributes that the other decoders have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._held = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._held

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = self._inner.decompress(self._held + data, max_length)
        self._held = self._inner.unconsumed_tail
        return out


def _zstd() -> _Decoder:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "plain": _Plain,
    "zst": _zstd,
    "gz": _Gzip,
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}

#: A file of blocks that are compressed apart.
_IN_BLOCKS = "zst_blocks"

# A zstd skippable frame has 16 possible first bytes; 0x50 to 0x5f.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "zst"),
    *((bytes([0x50 + i]) + b"\x2a\x4d\x18", "zst") for i in range(16)),
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
)

_DECODE_ERRORS = (zstd.ZstdError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def compression_of(path: Path) -> str:
    """Return how the file is compressed, by its first bytes and not by its name: a key of the decoders, or "plain"."""
    with _open(path) as file:
        start = file.read(8)
    found = next((name for magic, name in _MAGIC if start.startswith(magic)), "plain")
    return _IN_BLOCKS if found == "plain" and is_in_blocks(start) else found


def decompressed_blocks(
    path: Path, tally: Tally, advance: Advance = ignore_progress
) -> Generator[bytes | memoryview, None, None]:
    """Yield blocks of decompressed bytes of at most about 1 MiB, over all frames of the file, one record to a line.

    JSON in other forms is rewritten (see `plain_lines`). A block cannot be read any more after BLOCKS_VALID more were
    taken (see `ring`). A truncated or corrupt file yields everything before the damage; then the damage is noted in
    `tally`.
    """
    yield from plain_lines(_as_they_are(path, tally, advance))


def _as_they_are(path: Path, tally: Tally, advance: Advance) -> Generator[bytes | memoryview, None, None]:
    kind = compression_of(path)
    advance(Step(doing=path.name))
    done = 0
    if kind == "zst":
        try:
            for block in _zstd_fast(path, advance):
                done += len(block)
                if done > UNPACKED and done > PACKED * path.stat().st_size:
                    tally.damages.append(Damage(str(path), path.stat().st_size, _BOMB))
                    return
                yield block
        except zstandard.ZstdError:
            advance = ignore_progress  # the bytes have been counted; what follows reads them again
        else:
            return
    total = 0
    stream = _rows_of_blocks(path, tally, advance)
    for block in stream if kind == _IN_BLOCKS else _exact_blocks(path, _DECODERS[kind], tally, advance):
        total += len(block)
        if total > UNPACKED and total > PACKED * path.stat().st_size:
            tally.damages.append(Damage(str(path), path.stat().st_size, _BOMB))
            return
        if done >= len(block):
            done -= len(block)
        else:
            yield block[done:]
            done = 0


def _zstd_fast(path: Path, advance: Advance) -> Generator[bytes | memoryview, None, None]:
    """The text of an undamaged .zst file at the speed of the decoder itself. Raises ZstdError at any damage.

    This decoder writes into a few buffers that stay in the processor's cache, twice as fast as one that makes new
    bytes, but it does not notice that a file ends too early. So the file is given an end of our own, a frame that holds
    a mark: only if the mark comes out was the file whole.
    """
    toucher, ring = WindowToucher(), Ring(BLOCKS_VALID, _BLOCK)
    with _open(path) as file, closing(toucher):
        source = _Marked(file, path, advance)
        reader = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG_MAX).stream_reader(
            cast("IO[bytes]", source), read_size=_READ, read_across_frames=True
        )
        text = ring.next_buffer()
        buffer = memoryview(text)
        filled = count = toucher.watch(partial(reader.readinto, buffer[:1]))
        while count:
            count = reader.readinto(buffer[filled:])
            toucher.decoded(count)
            filled += count
            if filled == _BLOCK:
                # Whole lines need not be put together again, which would copy every byte twice more. Without a line
                # end, what may be a part of the mark is kept back.
                cut = text.rfind(b"\n") + 1 or filled - len(_MARK)
                rest = bytes(buffer[cut:])
                buffer.release()
                yield ring.block(0, cut)
                text, filled = ring.next_buffer(), len(rest)
                buffer = memoryview(text)
                buffer[:filled] = rest
    last = bytes(buffer[:filled])
    if not last.endswith(_MARK):
        raise zstandard.ZstdError("the file ends in the middle")
    yield last.removesuffix(_MARK)


#: What the frame that we add holds: bytes that are no UTF-8, so no dump of ours can end in them.
_MARK = b"\xff\xfeshp-miner end mark\xfe\xff"
_MARK_FRAME = zstandard.ZstdCompressor().compress(_MARK)


class _Marked:
    """A file that goes on with our frame where it ends."""

    def __init__(self, file: BinaryIO, path: Path, advance: Advance) -> None:
        self._file, self._path, self._advance = file, path, advance
        self._end = _MARK_FRAME

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = _read(self._file, self._path, size)
        self._advance(len(data))
        if not data:
            data, self._end = self._end, b""
        return data


def _exact_blocks(
    path: Path, make: Callable[[], _Decoder], tally: Tally, advance: Advance
) -> Generator[bytes, None, None]:
    """The text of any file up to the very byte of its damage, which is noted in `tally`."""
    decoder = make()
    with _open(path) as file:
        data, fresh = b"", True
        while True:
            if not data:
                data = _read(file, path, _READ)
                advance(len(data))
                if not data:
                    break
            try:
                out = decoder.decompress(data, _BLOCK)
            except _DECODE_ERRORS as error:
                place = max(file.tell() - len(data), 0)
                tally.damages.append(Damage(str(path), place, f"the archive is corrupt ({error})"))
                return
            data, fresh = b"", False
            if out:
                yield out
            while not decoder.eof and not decoder.needs_input:
                try:
                    out = decoder.decompress(b"", _BLOCK)
                except _DECODE_ERRORS as error:
                    tally.damages.append(Damage(str(path), file.tell(), f"the archive is corrupt ({error})"))
                    return
                yield out
            if decoder.eof:
                data, decoder, fresh = decoder.unused_data, make(), True
        if not fresh and not isinstance(decoder, _Plain):
            tally.damages.append(Damage(str(path), file.tell(), "the archive ends in the middle (truncated)"))


def _rows_of_blocks(path: Path, tally: Tally, advance: Advance) -> Generator[bytes, None, None]:
    """The rows of a .zst_blocks file up to its damage, which is noted in `tally`."""
    with _open(path) as file:
        try:
            for count, text in unpacked_blocks(file):
                advance(count)
                yield text
        except BrokenBlock as broken:
            tally.damages.append(Damage(str(path), broken.offset, broken.what))


def line_blocks(
    path: Path, tally: Tally, advance: Advance = ignore_progress, section: Section | None = None
) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield (offset in the decompressed text, some whole lines) until the end of the file, its section or its damage.

    A block is valid until the next is taken, and cannot be read after that (see `ring`). Every block ends with a line
    end, except the last one of a file that lacks it. Decompression runs ahead in its own thread. Lines over LINE_MAX
    bytes are lost and counted.
    """
    held: list[bytes] = []
    offset, held_size, skipping = section.begin if section else 0, 0, False
    blocks = section_blocks(path, section, advance) if section else decompressed_blocks(path, tally, advance)
    damages = len(tally.damages)
    for block in read_ahead(blocks, _AHEAD):
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
    if len(tally.damages) == damages and not skipping and last.strip():
        yield offset, last


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


def decompressed_head(path: Path, size: int = 4096) -> bytes:
    """Return the first `size` decompressed bytes, to detect the kind of file. Damage is not noted here."""
    got = b""
    for block in decompressed_blocks(path, Tally()):
        got += block
        if len(got) >= size:
            break
    return got[:size]


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {whole(path)}.", "Check the path.") from error
    except IsADirectoryError as error:
        raise BadInput(f"{path} is a folder, not a file.", "Name the files in it.") from error
    except OSError as error:
        raise from_os_error(error, f"reading {path}") or BadInput(
            f"{path} cannot be read: {error}.", "Check the disk."
        ) from error


def _read(file: BinaryIO, path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Check the disk.") from error
