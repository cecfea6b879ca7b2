"""Lines out of plain, .zst, .gz, .bz2 and .xz files, in bounded memory, with whole lines kept up to any damage."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from shp_miner.errors import BadInput, from_os_error
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


def blocks(path: Path, tally: Tally, advance: Advance = ignore) -> Iterator[bytes]:
    """Blocks of decompressed bytes of at most about 1 MiB, over all frames of the file.

    A truncated or corrupt file yields everything before the damage; then the damage is noted in `tally`.
    """
    make = _DECODERS[compression(path)]
    decoder = make()
    with _open(path) as file:
        data, fresh = b"", True
        while True:
            if not data:
                data = _read(file, path)
                advance(len(data))
                if not data:
                    break
            try:
                out = decoder.decompress(data, _BLOCK)
            except _DECODE_ERRORS as error:
                tally.damages.append(
                    Damage(str(path), max(file.tell() - len(data), 0), f"the archive is corrupt ({error})")
                )
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


def lines(path: Path, tally: Tally, advance: Advance = ignore) -> Iterator[tuple[int, bytes]]:
    """(offset in the decompressed text, line without its end) for every whole line that is not blank.

    A last line without an end is whole if the file is undamaged. Lines over LINE_MAX bytes are lost and counted.
    """
    offset, held, skipping = 0, [b""], False
    held_size = 0
    damages = len(tally.damages)
    for block in blocks(path, tally, advance):
        cut = block.rfind(b"\n")
        if cut < 0:
            held.append(block)
            held_size += len(block)
            if held_size > LINE_MAX:
                if not skipping:
                    tally.lose(
                        "line", "line_too_long", Damage(str(path), offset, f"a line is longer than {LINE_MAX} bytes")
                    )
                offset, held, held_size, skipping = offset + held_size, [b""], 0, True
            continue
        text = b"".join([*held, block[:cut]])
        start = offset
        offset += len(text) + 1
        held, held_size = [block[cut + 1 :]], len(block) - cut - 1
        for line in text.split(b"\n"):
            if skipping:
                skipping = False
            elif line and not line.isspace():
                yield start, line
            start += len(line) + 1
    rest = b"".join(held)
    if len(tally.damages) == damages and not skipping and rest.strip():
        yield offset, rest


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


def _read(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(_READ)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Check the disk.") from error
