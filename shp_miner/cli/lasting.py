"""Ctrl-C that ends a command although a library loses the exception."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from shp_miner.errors import is_interrupt

#: Commands that take Ctrl-C as the end of their reading, and then store what was read.
_FINISH_BY_THEMSELVES = frozenset({"crawl", "recheck", "run"})

#: Seconds after which a Ctrl-C that nobody handles is raised again.
_AGAIN_S = 0.5


@contextmanager
def lasting_interrupts(arguments: Sequence[str]) -> Iterator[None]:
    """Raise KeyboardInterrupt again while the block runs, until somebody handles it.

    Compiled libraries (numpy, polars) drop exceptions of the Python code that they call. A Ctrl-C at such a moment
    would be lost, and a training go on for minutes. Where an interrupt is being handled, nothing is raised: a `finally`
    may take its time. `arguments` are the command line's. Does nothing where somebody else handles SIGINT.
    """
    ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    if _FINISH_BY_THEMSELVES & set(arguments):
        yield
        return
    before, hook = signal.getsignal(signal.SIGALRM), sys.unraisablehook
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGALRM, _again)
    sys.unraisablehook = _quiet_about_interrupts(hook)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
    raise KeyboardInterrupt


def _again(_number: int, _frame: FrameType | None) -> None:
    error = sys.exception()
    while error is not None:
        if is_interrupt(error):
            return
        error = error.__context__
    raise KeyboardInterrupt


def _quiet_about_interrupts(hook: Any) -> Any:
    """Return a hook that reports dropped exceptions as `hook` does, but for interrupts: they come again."""

    def report(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            with suppress(Exception):
                hook(unraisable)

    return report
