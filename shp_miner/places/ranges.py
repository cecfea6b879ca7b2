"""An object as a file that is read in ranges, a few of them ahead where it is read from its beginning to its end."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

from shp_miner.errors import TryLater

#: Bytes of one request, and requests at a time of one reader: so much memory it takes.
PART_BYTES, PARTS_AHEAD = 4 << 20, 4

#: Requests at a time of all readers of a process.
_THREADS = 16


class Ranged(Protocol):
    """An object of which ranges can be read."""

    def head(self) -> dict[str, Any]:
        """Return `size` and `e_tag`."""

    def range(self, start: int, end: int, etag: str | None = None) -> bytes:
        """Return bytes from `start` up to before `end`, of the object with this ETag."""


class Ranges(io.RawIOBase):
    """An object as a file: every part is a request of its own, so a broken connection costs that request alone.

    Who reads on where the last part ended gets the next parts read ahead, PARTS_AHEAD of PART_BYTES at most. An object
    that is replaced meanwhile raises TryLater: a reader never gets parts of two.
    """

    def __init__(self, place: Ranged) -> None:
        self._ahead: deque[tuple[int, Future[bytes]]] = deque()  # first: it is closed even if there is no object
        head = place.head()
        self._place, self._size, self._etag = place, int(head["size"]), head.get("e_tag")
        self._at = 0
        self._last_end = -1  # where the last read ended: the first read is no reason to read ahead

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, as files do."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read the next bytes into a buffer: at most one part."""
        data = self._next(min(len(buffer), PART_BYTES))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return the rest of the object. The usual way would ask for 8 KB at a time."""
        parts = []
        while data := self._next(PART_BYTES):
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Drop what was read ahead."""
        self._drop()
        super().close()

    def _next(self, count: int) -> bytes:
        if self._at >= self._size or not count:
            return b""
        if count == PART_BYTES and self._at == self._last_end:
            data = self._ahead_of(self._at)
        else:
            self._drop()
            data = self._part(self._at, count)
        self._at += len(data)
        self._last_end = self._at
        return data

    def _ahead_of(self, start: int) -> bytes:
        if not self._ahead or self._ahead[0][0] != start:
            self._drop()
        following = self._ahead[-1][0] + PART_BYTES if self._ahead else start
        while len(self._ahead) < PARTS_AHEAD and following < self._size:
            self._ahead.append((following, _threads().submit(self._part, following, PART_BYTES)))
            following += PART_BYTES
        return self._ahead.popleft()[1].result()

    def _drop(self) -> None:
        while self._ahead:
            self._ahead.popleft()[1].cancel()

    def _part(self, start: int, count: int) -> bytes:
        data = self._place.range(start, min(start + count, self._size), self._etag)
        if len(data) != min(count, self._size - start):
            raise TryLater(f"{self._place} ended before its size.", "Run the same command again.")
        return data


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="ranges")
