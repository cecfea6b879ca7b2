"""Killing a process before or after the n-th call of a function, with kill -9."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def die_at(moment: str) -> None:
    """Kill this process at a moment such as "shp_miner.store.vacuum:shorten_log before 2"."""
    place, when, nth = moment.split(" ")
    module_name, path = place.split(":")
    *owners, name = path.split(".")
    owner: Any = import_module(module_name)
    for part in owners:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), []

    def stand_in(*args: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) == int(nth) and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **options)
        if len(calls) == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, stand_in)


def _run(work: Callable[[Path], Any], folder: Path, moment: str) -> None:
    die_at(moment)
    work(folder)


def killed(work: Callable[[Path], Any], folder: Path, moment: str) -> None:
    """Do `work` (a function of a module) on a folder in a process of its own that is killed at a moment."""
    # A server that has imported everything starts a process in no time.
    processes = get_context("forkserver")
    processes.set_forkserver_preload([work.__module__])
    process = processes.Process(target=_run, args=(work, folder, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, f"it never came to {moment}"
