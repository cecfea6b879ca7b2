"""The folder of a run, where tasks leave files and results until all is done: a run that was killed goes on there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shp_miner.places.machine import this_machine
from shp_miner.places.replacing import is_temporary, remove_tree, replace_file
from shp_miner.places.schemes import is_remote

#: The file with the plan: a digest of all that decides what the tasks are, and the machine that began.
_PLAN = "plan"


def begin_plan(work: Path, plan: str) -> None:
    """Make the folder of a run with this plan, or go on in the one that is there."""
    work.mkdir(parents=True, exist_ok=True)
    if not is_same_plan(work, plan):
        machine = this_machine()
        replace_file(work / _PLAN, "\n".join((plan, machine.name, machine.start)).encode(), durable=False)


def is_same_plan(work: Path, plan: str) -> bool:
    """Return whether the folder of a killed run has the same plan, so that its results count.

    A folder of another user does not count, since nobody checks the counts in it. Nor does one that this machine began
    before it was started again: what was not yet on the disk may be lost.
    """
    with suppress(OSError, ValueError):
        file = work / _PLAN
        same, host, boot = file.read_text(encoding="utf-8").split("\n")
        machine = this_machine()
        own = is_remote(file) or file.stat().st_uid == work.stat().st_uid == os.geteuid()
        return own and same == plan != "" and (host != machine.name or boot == machine.start)
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
