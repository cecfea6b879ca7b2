"""Ctrl-C ends a read that waits, such as that of a pipe or of an answer."""

from __future__ import annotations

import signal
from contextlib import suppress


def interrupt_waiting_reads() -> None:
    """Let SIGINT end a system call that waits. Call it right before one: libraries of tables undo it when they load.

    They handle SIGINT so that the call goes on after it, and nobody would see the Ctrl-C.
    """
    with suppress(ValueError):  # not the main thread, which Ctrl-C does not interrupt
        signal.siginterrupt(signal.SIGINT, True)
