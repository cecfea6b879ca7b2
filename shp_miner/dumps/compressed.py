"""Lines out of plain, .zst, .gz, .bz2 and .xz files, in bounded memory, with whole lines kept up to any damage."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import IO, BinaryIO, Protocol, cast

import zstandard

from shp_miner.errors import BadInput, from_os_error
from shp_miner.tally import Damage, Tally

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Reddit's monthly files are compressed with a window of 2^31 bytes; decoders refuse that unless told.
WINDOW_LOG_MAX = 31

#: Bytes read from disk at a time, and bytes of text handed on at a time. Larger blocks are slower: memory for them is
#: asked for anew each time, and its first touch costs more than the copy.
_READ = 1 << 17
_BLOCK = 1 << 18
_PIECE = 1 << 18

#: A line longer than this is lost (counted), so that a file without line ends cannot fill the memory.
LINE_MAX = 64 << 20

Advance = Callable[[int], None]


def ignore(count: int) -> None:
    """Take no notice of progress."""


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

# A zstd skippable frame has 16 possible first bytes; 0x50 to 0x5f.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "zst"),
    *((bytes([0x50 + i]) + b"\x2a\x4d\x18", "zst") for i in range(16)),
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
)

_DECODE_ERRORS = (zstd.ZstdError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def compression(path: Path) -> str:
    """How the file is compressed, by its first bytes and not by its name: a key of the decoders, or "plain"."""
    with _open(path) as file:
        start = file.read(8)
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "plain")


def blocks(path: Path, tally: Tally, advance: Advance = ignore) -> Generator[bytes, None, None]:
    """Blocks of decompressed bytes of at most about 256 KiB, over all frames of the file.

    A truncated or corrupt file yields everything before the damage; then the damage is noted in `tally`.
    """
    kind = compression(path)
    done = 0
    if kind == "zst":
        try:
            for block in _zstd_fast(path, advance):
                done += len(block)
                yield block
        except zstandard.ZstdError:
            advance = ignore  # the bytes have been counted; what follows reads them again
        else:
            return
    for block in _exact_blocks(path, _DECODERS[kind], tally, advance):
        if done >= len(block):
            done -= len(block)
        else:
            yield block[done:]
            done = 0


def _zstd_fast(path: Path, advance: Advance) -> Generator[bytes, None, None]:
    """The text of an undamaged .zst file at the speed of the decoder itself. Raises ZstdError at any damage.

    This decoder writes into one small buffer that stays in the processor's cache, twice as fast as one that makes new
    bytes, but it does not notice that a file ends too early. So the file is given an end of our own, a frame that holds
    a mark: only if the mark comes out was the file whole.
    """
    with _open(path) as file:
        source = _Marked(file, path, advance)
        reader = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG_MAX).stream_reader(
            cast("IO[bytes]", source), read_size=_READ, read_across_frames=True
        )
        memory = bytearray(_BLOCK)
        buffer = memoryview(memory)
        held, filled = b"", 0
        while True:
            count = reader.readinto(buffer[filled : filled + _PIECE])
            filled += count
            if source.ended:
                held += buffer[:filled]
                filled = 0
                if not count:
                    break
            elif filled + _PIECE > _BLOCK:
                # Whole lines need not be put together again, which would copy every byte twice more.
                cut = memory.rfind(b"\n", 0, filled) + 1 or filled
                yield bytes(buffer[:cut])
                buffer[: filled - cut] = bytes(buffer[cut:filled])
                filled -= cut
    if not held.endswith(_MARK):
        raise zstandard.ZstdError("the file ends in the middle")
    yield held.removesuffix(_MARK)


#: What the frame that we add holds: bytes that are no UTF-8, so no dump of ours can end in them.
_MARK = b"\xff\xfeshp-miner end mark\xfe\xff"
_MARK_FRAME = zstandard.ZstdCompressor().compress(_MARK)


class _Marked:
    """A file that goes on with our frame where it ends."""

    def __init__(self, file: BinaryIO, path: Path, advance: Advance) -> None:
        self._file, self._path, self._advance = file, path, advance
        self.ended = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if self.ended:
            return b""
        data = _read(self._file, self._path, size)
        self._advance(len(data))
        if not data:
            self.ended = True
            return _MARK_FRAME
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


def line_blocks(path: Path, tally: Tally, advance: Advance = ignore) -> Iterator[tuple[int, bytes]]:
    """(offset in the decompressed text, some whole lines) until the end of the file or its damage.

    Every block ends with a line end, but for the last one of a file that lacks it. Decompressing runs ahead in a thread
    of its own. Lines over LINE_MAX bytes are lost and counted.
    """
    held: list[bytes] = []
    offset, held_size, skipping = 0, 0, False
    damages = len(tally.damages)
    for block in _ahead(blocks(path, tally, advance)):
        cut = block.rfind(b"\n") + 1
        if not cut:
            held.append(block)
            held_size += len(block)
            if held_size > LINE_MAX:
                if not skipping:
                    what = f"a line is longer than {LINE_MAX} bytes"
                    tally.lose("line", "line_too_long", Damage(str(path), offset, what))
                offset, held, held_size, skipping = offset + held_size, [], 0, True
            continue
        text = b"".join([*held, block[:cut]]) if held_size else block[:cut]
        if skipping:
            rest = text.index(b"\n") + 1
            offset, text, skipping = offset + rest, text[rest:], False
        if text:
            yield offset, text
        offset += len(text)
        held_size = len(block) - cut
        held = [block[cut:]] if held_size else []
    last = b"".join(held)
    if len(tally.damages) == damages and not skipping and last.strip():
        yield offset, last


def lines(path: Path, tally: Tally, advance: Advance = ignore) -> Iterator[tuple[int, bytes]]:
    """(offset in the decompressed text, line without its end) for every whole line that is not blank."""
    for start, text in line_blocks(path, tally, advance):
        yield from split_lines(start, text)


def split_lines(start: int, text: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a block that are not blank, with their offsets."""
    for line in text.split(b"\n"):
        if line and not line.isspace():
            yield start, line
        start += len(line) + 1


def _ahead(source: Generator[bytes, None, None]) -> Iterator[bytes]:
    """The same items, made in a thread that is up to two items ahead; decoders let other threads run meanwhile."""
    ready: Queue[bytes | BaseException | None] = Queue(maxsize=2)
    stopped = Event()

    def make() -> None:
        try:
            for item in source:
                ready.put(item)
                if stopped.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # noqa: BLE001  (it is raised again where the items are taken)
            ready.put(error)

    maker = Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        while maker.is_alive():
            with suppress(Empty):
                ready.get(timeout=0.01)
        source.close()


def head(path: Path, size: int = 4096) -> bytes:
    """The first `size` decompressed bytes, for telling what kind of file this is. Damage is not noted here."""
    got = b""
    for block in blocks(path, Tally()):
        got += block
        if len(got) >= size:
            break
    return got[:size]


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.", "Check the path.") from error
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
