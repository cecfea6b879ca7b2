"""Checks of the process's surroundings at the start: standard streams, and the memory limit."""

from __future__ import annotations

import os
import resource
import sys
from typing import TextIO

from shp_miner.errors import TryLater
from shp_miner.units import sized

#: The least address space (bytes) in which the libraries work. With less they abort, or retry for ever.
_LEAST = 3_000_000_000
_LEAST_OF_A_CORE = 64_000_000


def open_streams() -> None:
    """Open standard streams that were closed, and let all streams print any name.

    Otherwise the first opened file would get a closed stream's number, and a library's output would go into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = _whole(sys.stdout, 1)
    sys.stderr = _whole(sys.stderr, 2)


def _whole(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return open(number, "w", encoding="utf-8", errors="backslashreplace")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def require_memory() -> None:
    """Raise TryLater if the process may use too little memory to begin."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    least = _LEAST + _LEAST_OF_A_CORE * (os.cpu_count() or 1)
    if limit != resource.RLIM_INFINITY and limit < least:
        raise TryLater(
            f"This process may use {sized(limit)} of address space (ulimit -v), but needs {sized(least)}.",
            "Raise that limit; to limit memory itself, use --memory, or MemoryMax of systemd.",
        )
