"""Members of a 7z archive as blocks of bytes, in limited memory, as far as they can be read.

Archives are decompressed piece by piece in a thread that waits for the reader; neither a member nor the archive is ever
in memory as a whole. An archive has its table of contents at its end, so a truncated one has none. Its members are then
separated by their XML declarations, as far as the compressed streams can be followed (bzip2, as published, LZMA, LZMA2
or stored).
"""

from __future__ import annotations

import io
import os
import queue
import threading
import zlib
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import py7zr

from shp_miner.dumps.ahead import threads_at_once
from shp_miner.dumps.bzip2_blocks import NotSoError, texts_of_blocks
from shp_miner.dumps.stackexchange_blocks import Block, BrokenFileError
from shp_miner.errors import BadInput, is_our_own
from shp_miner.paths import is_remote

#: The most bytes handed on at a time.
BLOCK_BYTES = 256 << 10

_BLOCKS_AHEAD = 2
# What is given to the decompressor at a time. A small piece bounds what a hostile archive can blow it up to, and how
# much sound text is lost with a damage that follows it in the same piece.
_PIECE_BYTES = 4 << 10
_WAIT_S = 0.1

# Published archives use bzip2. Others that py7zr knows are left out on purpose: its decoder of PPMd takes the whole
# process down when the data are damaged.
_METHODS = frozenset({"BZip2", "LZMA", "LZMA2", "DEFLATE", "ZStandard", "COPY", "delta", "BCJ", "ARM", "ARMT", "PPC"})


def list_archive(path: Path) -> list[str] | None:
    """Return the members' names of a 7z archive, or None if its table of contents cannot be read.

    Raises BadInput for an archive that is encrypted or uses an unsupported compression, and OSError.
    """
    with PieceFile(path) as file:
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
    with PieceFile(path) as file:
        try:
            return sum(member.uncompressed for member in _open(file).list() if _table_of(member.filename) == "posts")
        except Exception:  # noqa: BLE001  (as in `list_archive`; the reader reports it)
            return 0


class PieceFile(io.RawIOBase):
    """A file that, once `in_pieces` is set, gives at most a small piece at a time, whatever is asked for."""

    in_pieces = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        # py7zr also asks the system for the times of a file of this name, which nobody needs.
        self.name = os.devnull if is_remote(path) else str(path)
        self._file = path.open("rb", buffering=0)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        if self.in_pieces and (size is None or size < 0 or size > _PIECE_BYTES):
            size = _PIECE_BYTES
        return self._file.read(-1 if size is None else size) or b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _open(file: PieceFile) -> py7zr.SevenZipFile:
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

    An archive as published, one stream of bzip2, is decompressed in several threads. Raises BrokenFileError at damage.
    """
    given: dict[str, int] = {}
    ended: set[str] = set()
    try:
        for table, data in _blocks_at_once(path, members, at):
            if data is None:
                ended.add(table)
            else:
                given[table] = given.get(table, 0) + len(data)
            yield table, data
    except NotSoError:
        # Another kind of archive, or damage: what was handed on already was sound.
        for table, data in _blocks_in_order(path, members, at):
            known = min(given.get(table, 0), len(data or b""))
            given[table] = given.get(table, 0) - known
            if table not in ended:
                yield table, data[known:] if data else data


#: What py7zr calls the method of published archives.
_BZIP2 = b"\x04\x02\x02"
_AT_ONCE_BYTES = 1 << 20


@dataclass(frozen=True)
class _Stream:
    """One stream of bzip2 that holds all members: where it lies in the file, and each member's name, size and CRC."""

    begin: int
    size: int
    members: list[tuple[str, int, int]]


def _bzip2_stream(archive: py7zr.SevenZipFile) -> _Stream:
    """Raises NotSoError where the archive is not just one stream of bzip2."""
    streams = archive.header.main_streams
    if streams is None or len(streams.packinfo.packsizes) != 1:
        raise NotSoError
    if [[coder["method"] for coder in folder.coders] for folder in streams.unpackinfo.folders] != [[_BZIP2]]:
        raise NotSoError
    members = [
        (member.filename, member.uncompressed, member.crc32 or 0) for member in archive.files if not member.emptystream
    ]
    if any(crc is None for _, _, crc in members):
        raise NotSoError
    return _Stream(archive.afterheader + streams.packinfo.packpos, streams.packinfo.packsizes[0], members)


def _blocks_at_once(path: Path, members: Collection[str], at: Callable[[int], None]) -> Iterator[Block]:
    with PieceFile(path) as file:
        stream = _bzip2_stream(_open(file))
        left = set(members)
        if not left <= {name for name, _, _ in stream.members}:
            raise NotSoError
        file.seek(stream.begin)
        with closing(texts_of_blocks(_read_stream(file, stream.size, at), threads_at_once())) as texts:
            contents = _Cut(texts)
            for name, size, crc in stream.members:
                found = 0
                for part in contents.next_bytes(size):
                    if name not in left:
                        continue
                    found = zlib.crc32(part, found)
                    yield _table_of(name), part
                if name in left and found != crc:
                    raise NotSoError
                if name in left:
                    yield _table_of(name), None
                    left.remove(name)
                if not left:
                    return


class _Cut:
    """The members of a text that comes in pieces."""

    def __init__(self, texts: Iterator[bytes]) -> None:
        self._texts, self._rest = texts, b""

    def next_bytes(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes. Raises NotSoError where the text ends before."""
        while size:
            text = self._rest or next(self._texts, b"")
            if not text:
                raise NotSoError
            part, self._rest = text[:size], text[size:]
            size -= len(part)
            yield part


def _read_stream(file: PieceFile, size: int, at: Callable[[int], None]) -> Iterator[bytes]:
    while size and (data := file.read(min(size, _AT_ONCE_BYTES))):
        size -= len(data)
        at(file.tell())
        yield data


def _blocks_in_order(path: Path, members: Collection[str], at: Callable[[int], None]) -> Iterator[Block]:
    with PieceFile(path) as file:
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
