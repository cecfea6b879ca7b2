"""Touching a decoder's window before the decoder does.

Reddit's monthly files need a window of 2 GiB. The kernel hands such memory out page by page, each zeroed when it is
first written, and for a fast decoder that wait is as long as decoding itself. A second thread makes the pages ready a
little ahead. It changes no byte and takes no memory that would not be used; where the system cannot do it, nothing
happens and the decoder is merely slower. The docstring of `ring` draws where the window stands among the blocks.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

T = TypeVar("T")
Span = tuple[int, int]

#: A smaller window is not worth a thread.
_WORTH = 64 << 20

#: How far ahead of the decoder pages are made ready, and how many bytes at a time.
_LEAD = 64 << 20
_STEP = 4 << 20

#: From Linux's mman-common.h: make pages ready for writing without changing them (since Linux 5.14). Asking for huge
#: pages as well was measured: finding them cost more than they saved.
_MADV_POPULATE_WRITE = 23

_MAPS = Path("/proc/self/maps")

#: Held while a window is looked for, so that two decoders that start together are not confused.
_looking = Lock()


class WindowToucher:
    """Prepares the pages of one decoder's window, in a thread, until it is closed."""

    def __init__(self) -> None:
        self._decoded: SimpleQueue[int | None] = SimpleQueue()
        self._thread: Thread | None = None

    def watch(self, begin: Callable[[], T]) -> T:
        """Return the result of `begin`, in which the decoder allocates its window. Its pages are touched after that."""
        if sys.platform != "linux":
            return begin()
        with _looking:
            before = _writable()
            result = begin()
            spans = [span for span in _without(_writable(), before) if span[1] - span[0] >= _WORTH]
        if len(spans) == 1:
            self._thread = Thread(target=_touch, args=(*spans[0], self._decoded), daemon=True)
            self._thread.start()
        return result

    def decoded(self, count: int) -> None:
        """Report that the decoder has written `count` more bytes."""
        if self._thread is not None:
            self._decoded.put(count)

    def close(self) -> None:
        """Stop touching. Call it before the window is freed."""
        if self._thread is not None:
            self._decoded.put(None)
            self._thread.join()
            self._thread = None


def _touch(start: int, stop: int, decoded: SimpleQueue[int | None]) -> None:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    wanted, place = start + _LEAD, start
    while place < stop:
        while place >= wanted:
            count = decoded.get()
            if count is None:
                return
            wanted += count
        step = min(_STEP, stop - place)
        if advise(place, step, _MADV_POPULATE_WRITE):
            return  # an older kernel
        place += step


def _writable() -> list[Span]:
    """Address ranges of this process's private writable memory that belongs to no file, in their order."""
    spans = []
    try:
        for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            addresses, flags, _, _, inode, *_ = line.split(maxsplit=5)
            if flags == "rw-p" and inode == "0":
                first, last = addresses.split("-")
                spans.append((int(first, 16), int(last, 16)))
    except (OSError, ValueError):
        return []
    return spans


def _without(spans: list[Span], others: list[Span]) -> list[Span]:
    """What of `spans` is not covered by `others`: the kernel joins neighbours, so a new range may be part of one."""
    left = []
    for first, stop in spans:
        start = first
        for other_start, other_stop in others:
            if other_stop <= start or other_start >= stop:
                continue
            if other_start > start:
                left.append((start, other_start))
            start = max(start, other_stop)
        if start < stop:
            left.append((start, stop))
    return left
