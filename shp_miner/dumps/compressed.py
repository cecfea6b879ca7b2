"""The text of plain, .zst, .zst_blocks, .gz, .bz2 and .xz files, in limited memory, up to any damage.

`ring` has a drawing of how the decoder's window, the blocks and their readers move.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

import zstandard

from shp_miner.dumps.boundaries import next_boundary
from shp_miner.dumps.plain_lines import plain_lines
from shp_miner.dumps.ring import Ring
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

#: An archive that gives more than this, and so many times its size, holds next to nothing: it is not read further.
UNPACKED, PACKED = 256 << 20, 1000
_BOMB = f"the archive unpacks to more than {PACKED:,} times its size and is not read further"

#: How far a decoder may read damaged bytes as if they were sound: blocks are smaller and have checks of their own.
_MISREAD = 64 << 20

Advance = Callable[[int], None]


def ignore_progress(count: int) -> None:
    """Ignore progress."""


class Decoder(Protocol):
    """What bz2, lzma and zstd decoders have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came behind the end of the stream."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more data."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most `max_length` bytes of text."""
        ...


class Plain:
    """A decoder that changes nothing, so that plain files take the same way."""

    eof = False
    unused_data = b""
    needs_input = True

    def decompress(self, data: bytes, max_length: int, /) -> bytes:  # noqa: ARG002
        """Return the data."""
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


def _zstd() -> Decoder:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "plain": Plain,
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
    yield from plain_lines(Frames(path).blocks(tally, advance))


class Frames:
    """The text of a file's frames that begin from byte `begin` to before `end`; a plain file is one frame.

    `broken` is None until damage is met, then where the frame begins that has it, and the damage.
    """

    def __init__(self, path: Path, begin: int = 0, end: int | None = None) -> None:
        self.path, self.kind, self.size = path, compression_of(path), path.stat().st_size
        self.begin, self.end = begin, self.size if end is None else end
        self.broken: tuple[int, Damage] | None = None
        self._frame = begin

    def blocks(self, tally: Tally, advance: Advance) -> Generator[bytes | memoryview, None, None]:
        """Yield the text as it is, up to the very byte of any damage, which is noted in `tally`. Call it once."""
        advance(Step(doing=self.path.name))
        done = 0
        if self.kind == "zst":
            try:
                for block in self._zstd_fast(advance):
                    done += len(block)
                    if self._is_bomb(done):
                        self._breaks(tally, self.size, _BOMB)
                        return
                    yield block
            except zstandard.ZstdError:
                advance = ignore_progress  # the bytes have been counted; what follows reads them again
            else:
                return
        total = 0
        for block in (self._rows_of_blocks if self.kind == _IN_BLOCKS else self._exact)(tally, advance):
            total += len(block)
            if self._is_bomb(total):
                self._breaks(tally, self.size, _BOMB)
                return
            if done >= len(block):
                done -= len(block)
            else:
                yield block[done:]
                done = 0

    @property
    def of_whole_lines(self) -> bool:
        """Whether no line begins in one frame and ends in another."""
        return self.kind == _IN_BLOCKS

    def after_damage(self) -> int | None:
        """Return where the next frame begins after the one with the damage; None where nothing can be read on."""
        if self.broken is None or self.broken[1].what == _BOMB:
            return None
        frame, place = self.broken[0], self.broken[1].offset or 0
        return next_boundary(self.path, self.kind, max(frame + 1, place - _MISREAD), self.end)

    def _is_bomb(self, text_bytes: int) -> bool:
        return text_bytes > UNPACKED and text_bytes > PACKED * (self.end - self.begin)

    def _breaks(self, tally: Tally, place: int, what: str) -> None:
        damage = Damage(str(self.path), place, what)
        self.broken = self._frame, damage
        tally.damages.append(damage)

    def _opened(self) -> BinaryIO:
        file = _open(self.path)
        if self.begin:
            file.seek(self.begin)
        return file

    def _zstd_fast(self, advance: Advance) -> Generator[bytes | memoryview, None, None]:
        """The text of undamaged zstd frames at the speed of the decoder itself. Raises ZstdError at any damage.

        This decoder writes into a few buffers that stay in the processor's cache, twice as fast as one that makes new
        bytes, but it does not notice that a file ends too early. So the file is given an end of our own, a frame that
        holds a mark: only if the mark comes out was the file whole.
        """
        toucher, ring = WindowToucher(), Ring(BLOCKS_VALID, _BLOCK)
        with self._opened() as file, closing(toucher):
            source = _Marked(file, self.path, self.end - self.begin, advance)
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
                    # Whole lines need not be put together again, which would copy every byte twice more. Without a
                    # line end, what may be a part of the mark is kept back.
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

    def _exact(self, tally: Tally, advance: Advance) -> Generator[bytes, None, None]:
        """The text of any frames up to the very byte of their damage.

        Bytes are read in the same pieces wherever reading began, so that damage is met in the same place.
        """
        make = _DECODERS[self.kind]
        decoder = make()
        with self._opened() as file:
            data, fresh = b"", True
            while self._frame < self.end:
                if not data:
                    data = _read(file, self.path, _READ - file.tell() % _READ)
                    advance(len(data))
                    if not data:
                        break
                try:
                    out = decoder.decompress(data, _BLOCK)
                except _DECODE_ERRORS as error:
                    self._breaks(tally, max(file.tell() - len(data), 0), f"the archive is corrupt ({error})")
                    return
                data, fresh = b"", False
                if out:
                    yield out
                while not decoder.eof and not decoder.needs_input:
                    try:
                        out = decoder.decompress(b"", _BLOCK)
                    except _DECODE_ERRORS as error:
                        self._breaks(tally, file.tell(), f"the archive is corrupt ({error})")
                        return
                    yield out
                if decoder.eof:
                    data, decoder, fresh = decoder.unused_data, make(), True
                    self._frame = file.tell() - len(data)
            if not fresh and not isinstance(decoder, Plain):
                self._breaks(tally, file.tell(), "the archive ends in the middle (truncated)")

    def _rows_of_blocks(self, tally: Tally, advance: Advance) -> Generator[bytes, None, None]:
        """The rows of the blocks of a .zst_blocks file up to its damage."""
        with self._opened() as file:
            try:
                for count, text in unpacked_blocks(file, self.begin, self.end):
                    advance(count)
                    yield text
            except BrokenBlock as broken:
                self._frame = broken.offset
                self._breaks(tally, broken.offset, broken.what)


#: What the frame that we add holds: bytes that are no UTF-8, so no dump of ours can end in them.
_MARK = b"\xff\xfeshp-miner end mark\xfe\xff"
_MARK_FRAME = zstandard.ZstdCompressor().compress(_MARK)


class _Marked:
    """So many bytes of a file, and our frame behind them."""

    def __init__(self, file: BinaryIO, path: Path, size: int, advance: Advance) -> None:
        self._file, self._path, self._left, self._advance = file, path, size, advance
        self._end = _MARK_FRAME

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = _read(self._file, self._path, self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._advance(len(data))
        if not data:
            data, self._end = self._end, b""
        return data


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
