"""Which machine this is, for what outlives a process: whoever finds it later can tell whether its process has ended."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from msgspec import Struct

#: Linux's name of the time since the machine was started, and of the numbers of processes (containers have their own).
_BOOT, _NUMBERS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


class Machine(Struct, frozen=True):
    """A machine's name, one start of it, and what its numbers of processes mean. Unknown ones equal no other."""

    name: str
    start: str
    numbers: str

    def has_ended(self, process: int) -> bool:
        """Return whether a process of that number has ended for certain: only this machine's own are known."""
        if self != this_machine():
            return False
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    start = numbers = uuid4().hex
    with suppress(OSError):
        start = _BOOT.read_text(encoding="ascii").strip()
        numbers = str(_NUMBERS.readlink())
    return Machine(socket.gethostname(), start, numbers)
