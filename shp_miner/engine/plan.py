"""The folder of a run, where tasks leave files and results until all is done: a run that was killed goes on there."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from shp_miner.places.replacing import is_temporary, remove_tree, replace_file
from shp_miner.places.schemes import is_remote

#: The file with the plan: a digest of all that decides what the tasks are, and the machine that began.
_PLAN = "plan"

#: Linux's name of the time since the machine was started.
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def begin_plan(work: Path, plan: str) -> None:
    """Make the folder of a run with this plan, or go on in the one that is there."""
    work.mkdir(parents=True, exist_ok=True)
    if not is_same_plan(work, plan):
        replace_file(work / _PLAN, "\n".join((plan, *_machine())).encode(), durable=False)


def is_same_plan(work: Path, plan: str) -> bool:
    """Return whether the folder of a killed run has the same plan, so that its results count.

    A folder of another user does not count, since nobody checks the counts in it. Nor does one that this machine began
    before it was started again: what was not yet on the disk may be lost.
    """
    with suppress(OSError, ValueError):
        file = work / _PLAN
        same, host, boot = file.read_text(encoding="utf-8").split("\n")
        machine = _machine()
        own = is_remote(file) or file.stat().st_uid == work.stat().st_uid == os.geteuid()
        return own and same == plan != "" and (host != machine[0] or boot == machine[1])
    return False


def end_plan(work: Path, written: Path | None = None) -> None:
    """Delete the folder of a run, and the two folders around it if they are empty; the tasks wrote to `written`.

    Files that killed tasks left half-written there are deleted as well.
    """
    for file in written.rglob(".*.tmp") if written else ():
        if is_temporary(file.name):
            file.unlink()
    remove_tree(work)
    with suppress(OSError):
        work.parent.rmdir()
        work.parent.parent.rmdir()


def _machine() -> tuple[str, str]:
    """Return this machine's name and its start."""
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        boot = uuid4().hex  # nobody can tell, so nothing is used again
    return socket.gethostname(), boot
