"""Members of a 7z archive as blocks of bytes, in limited memory, as far as they can be read.

Archives are decompressed piece by piece in a thread that waits for the reader; neither a member nor the archive is ever
in memory as a whole. An archive has its table of contents at its end, so a truncated one has none. Its members are then
separated by their XML declarations, as far as the compressed streams can be followed (bzip2, as published, LZMA, LZMA2
or stored).
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import queue
import re
import threading
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import Protocol

import py7zr

from shp_miner.dumps.stackexchange_blocks import Block, BrokenFileError
from shp_miner.errors import BadInput, is_our_own
from shp_miner.paths import is_remote

#: The most bytes handed on at a time.
BLOCK_BYTES = 256 << 10

_BLOCKS_AHEAD = 2
# What is given to the decompressor at a time. A small piece bounds what a hostile archive can blow it up to, and how
# much sound text is lost with a damage that follows it in the same piece.
_PIECE_BYTES = 4 << 10
_HEADER_BYTES = 32
_WAIT_S = 0.1

# Published archives use bzip2. Others that py7zr knows are left out on purpose: its decoder of PPMd takes the whole
# process down when the data are damaged.
_METHODS = frozenset({"BZip2", "LZMA", "LZMA2", "DEFLATE", "ZStandard", "COPY", "delta", "BCJ", "ARM", "ARMT", "PPC"})


def list_archive(path: Path) -> list[str] | None:
    """Return the members' names of a 7z archive, or None if its table of contents cannot be read.

    Raises BadInput for an archive that is encrypted or uses an unsupported compression, and OSError.
    """
    with _PieceFile(path) as file:
        try:
            archive = _open(file)
            encrypted, methods = archive.needs_password(), archive.archiveinfo().method_names
            names = [member.filename for member in archive.list() if member.is_file]
        except BadInput:
            raise
        except Exception as error:  # a damaged table of contents can lead py7zr to raise anything
            if isinstance(error, OSError) and error.errno:
                raise
            return None
    if encrypted:
        raise _encrypted(path)
    unknown = [method for method in methods if method not in _METHODS]
    if unknown:
        raise BadInput(
            f"{path} is compressed with {unknown[0].rstrip('*')}, which is not supported.",
            "Unpack it with 7-Zip and name the folder.",
        )
    return names


def posts_bytes(path: Path) -> int:
    """Return the unpacked bytes of an archive's posts as its table of contents says; 0 if that cannot be read."""
    with _PieceFile(path) as file:
        try:
            return sum(member.uncompressed for member in _open(file).list() if _table_of(member.filename) == "posts")
        except Exception:  # noqa: BLE001  (as in `list_archive`; the reader reports it)
            return 0


class _PieceFile(io.RawIOBase):
    """A file that, once `in_pieces` is set, gives at most a small piece at a time, whatever is asked for."""

    in_pieces = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        # py7zr also asks the system for the times of a file of this name, which nobody needs.
        self.name = os.devnull if is_remote(path) else str(path)
        self._file = path.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.in_pieces and (size is None or size < 0 or size > _PIECE_BYTES):
            size = _PIECE_BYTES
        return self._file.read(-1 if size is None else size) or b""

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(file: _PieceFile) -> py7zr.SevenZipFile:
    try:
        return py7zr.SevenZipFile(file)  # type: ignore[arg-type]  # what it reads by is there
    except py7zr.PasswordRequired as error:
        raise _encrypted(file.path) from error


def _encrypted(path: Path) -> BadInput:
    return BadInput(f"{path} is encrypted.", "Unpack it with its password and name the folder.")


_Item = Block | BaseException | None


class _Outbox:
    """Hands blocks from the decompressing thread to the reader and holds the thread back when the reader is slow."""

    def __init__(self) -> None:
        self.queue: queue.Queue[_Item] = queue.Queue(_BLOCKS_AHEAD)
        self.stopped = threading.Event()

    def put(self, item: _Item) -> None:
        """Wait until there is room. Raises InterruptedError when nobody reads any more."""
        while not self.stopped.is_set():
            try:
                self.queue.put(item, timeout=_WAIT_S)
                return
            except queue.Full:
                continue
        raise InterruptedError


class _BlockWriter(py7zr.Py7zIO):
    """What py7zr writes a member to."""

    def __init__(self, table: str, outbox: _Outbox) -> None:
        self._table, self._outbox = table, outbox
        self._held = bytearray()

    def write(self, s: bytes | bytearray) -> int:
        self._held += s
        while len(self._held) >= BLOCK_BYTES:
            self._outbox.put((self._table, bytes(self._held[:BLOCK_BYTES])))
            del self._held[:BLOCK_BYTES]
        return len(s)

    def put_rest(self, ended: bool) -> None:
        self._outbox.put((self._table, bytes(self._held)))
        if ended:
            self._outbox.put((self._table, None))

    def read(self, size: int | None = None) -> bytes:  # noqa: ARG002
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002
        return 0

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return 0


class _Writers(py7zr.WriterFactory):
    """Makes the writer of one member after the other, as py7zr comes to them."""

    def __init__(self, outbox: _Outbox) -> None:
        self._outbox = outbox
        self._writer: _BlockWriter | None = None

    def create(self, filename: str) -> py7zr.Py7zIO:
        self.end(ended=True)
        self._writer = _BlockWriter(_table_of(filename), self._outbox)
        return self._writer

    def end(self, ended: bool) -> None:
        if self._writer is not None:
            self._writer.put_rest(ended)
            self._writer = None


def _table_of(member: str) -> str:
    return Path(member).name.lower().removesuffix(".xml")


def _extract(archive: py7zr.SevenZipFile, members: Collection[str], outbox: _Outbox) -> None:
    writers = _Writers(outbox)
    try:
        try:
            archive.extract(targets=members, factory=writers)
            writers.end(ended=True)
        except InterruptedError:
            raise
        except BaseException as error:  # noqa: BLE001  (it is handed to the reader, who says what it means)
            writers.end(ended=False)
            outbox.put(error)
        else:
            outbox.put(None)
    except InterruptedError:
        return


def archive_blocks(path: Path, members: Collection[str], at: Callable[[int], None]) -> Generator[Block, None, None]:
    """The bytes of `members`, in the archive's order; `at` is told the place in the file.

    Raises BrokenFileError at damage.
    """
    with _PieceFile(path) as file:
        archive = _open(file)
        file.in_pieces = True
        outbox = _Outbox()
        thread = threading.Thread(target=_extract, args=(archive, members, outbox), daemon=True)
        thread.start()
        try:
            while (item := outbox.queue.get()) is not None:
                if isinstance(item, BaseException):
                    if is_our_own(item) and not isinstance(item, OSError):
                        raise item
                    raise BrokenFileError(file.tell(), _damage_of(item)) from item
                at(file.tell())
                yield item
        finally:
            outbox.stopped.set()
            thread.join()


def _damage_of(error: BaseException) -> str:
    if isinstance(error, py7zr.exceptions.CrcError):
        return "the archive is corrupt (a checksum is wrong: bytes before this one are damaged)"
    if isinstance(error, py7zr.UnsupportedCompressionMethodError):
        return "the archive's compression method is not supported"
    return f"the archive is corrupt ({error or type(error).__name__})"


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Stored:
    """A decoder that changes nothing."""

    eof, needs_input, unused_data = False, True, b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:  # noqa: ARG002
        return data


# In a wreck the size of LZMA's window is not known: this is 7-Zip's largest preset, and memory is only taken as used.
_WINDOW_BYTES = 256 << 20
_XML_START = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^<]{0,200}<(\w{1,40})")
_XML_START_MAX = 256


def _decoder_for(start: bytes) -> _Decoder | None:
    """A decoder for a compressed stream that begins with `start` and holds XML, or None."""
    if re.match(rb"BZh[1-9]\x31\x41\x59\x26\x53\x59", start):
        return bz2.BZ2Decompressor()
    if _XML_START.match(start):
        return _Stored()
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
    with _PieceFile(path) as file:
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


def _wreck_text(file: _PieceFile) -> Iterator[bytes]:
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
