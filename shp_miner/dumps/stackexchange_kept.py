"""The posts of an archive as its first reading decompresses them, kept on disk for the second reading.

So are those of a Posts.xml.bz2 or .xz. The copy lies in a file without a name in the folder for temporary files
(TMPDIR), so that it vanishes with the process, however that ends. It takes at most half of what is free there. Where
there is no room for it, the file is decompressed once more instead.
"""

from __future__ import annotations

import logging
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import IO

import zstandard

from shp_miner.dumps.stackexchange_blocks import Block, BrokenFileError

log = logging.getLogger("shp_miner")

_TABLE = "posts"

#: Ahead of each block: the bytes of its zstd frame, or 0 where the table ends.
_LENGTH = struct.Struct("<I")

#: Level 1 costs a few percent of decompressing bzip2; the published posts come to a quarter of their size.
_LEVEL, _PACKED = 1, 4

#: Bytes between two looks at what is free.
_LOOK_BYTES = 32 << 20


class KeptPosts:
    """The blocks of the posts of one file; `close`, or leaving the context, gives the space back."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._broken: BrokenFileError | None = None
        self._size = 0
        self._is_whole = False

    def __enter__(self) -> KeptPosts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Delete what is kept."""
        file, self._file, self._is_whole = self._file, None, False
        if file is not None:
            try:
                file.close()
            except OSError:  # what was not written yet: nobody needs it
                log.debug("a copy of posts could not be closed", exc_info=True)

    def blocks(
        self, decompressed: Callable[[], Generator[Block, None, None]], at: Callable[[float], None]
    ) -> Generator[Block, None, None]:
        """Yield the archive's blocks: first as `decompressed` gives them, later those of posts as they are kept.

        Both raise BrokenFileError where the posts are damaged. `at` is told the part of the kept blocks that was read.
        """
        if self._is_whole:
            yield from self._kept(at)
            return
        with closing(decompressed()) as stream:
            yield from self._keeping(stream)

    def _keeping(self, stream: Iterator[Block]) -> Iterator[Block]:
        self._open()
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        is_inside, unseen = False, 0
        try:
            for table, data in stream:
                if table == _TABLE and self._file is not None:
                    is_inside = data is not None
                    frame = b"" if data is None else compressor.compress(data)
                    unseen += len(frame)
                    self._write(frame, look=unseen >= _LOOK_BYTES)
                    unseen %= _LOOK_BYTES
                yield table, data
        except BrokenFileError as broken:
            self._broken = broken if is_inside else None
            self._end()
            raise
        self._end()

    def _open(self) -> None:
        self.close()
        self._size = 0
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it is open between two readings)
        except OSError as error:
            self._give_up(error)

    def _write(self, frame: bytes, look: bool) -> None:
        assert self._file is not None
        try:
            self._file.write(_LENGTH.pack(len(frame)) + frame)
            self._size += _LENGTH.size + len(frame)
            if look and self._size > _free_bytes(self._file):
                self._give_up("it would take more than half of what was free")
        except OSError as error:
            self._give_up(error)

    def _end(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)
        self._is_whole = self._file is not None

    def _give_up(self, why: object) -> None:
        log.info("No room in TMPDIR to keep the posts (%s): the archive is decompressed twice.", why)
        self.close()

    def _kept(self, at: Callable[[float], None]) -> Iterator[Block]:
        assert self._file is not None
        decompressor = zstandard.ZstdDecompressor()
        self._file.seek(0)
        read = 0
        while read < self._size:
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            data = decompressor.decompress(self._file.read(length)) if length else None
            read += _LENGTH.size + length
            at(read / self._size)
            yield _TABLE, data
        if self._broken is not None:
            raise self._broken


def kept_bytes(posts_bytes: int) -> int:
    """Return about how many bytes the copy of so many bytes of posts takes, if there is room for it."""
    wanted = posts_bytes // _PACKED
    return wanted if wanted <= shutil.disk_usage(tempfile.gettempdir()).free // 2 else 0


def _free_bytes(file: IO[bytes]) -> int:
    free = os.fstatvfs(file.fileno())
    return free.f_bavail * free.f_frsize
