"""Tasks for engines, in a module that imports nothing: a process that runs one begins at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from shp_miner.errors import BadInput


def double(job: int, advance: Callable[[int], None]) -> int:
    if job == 13:
        raise BadInput("Thirteen.", "Take another.")
    advance(job)
    return 2 * job


def dies_once(folder: Path, advance: Callable[[int], None]) -> str:
    if not folder.exists():
        folder.mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
    return folder.name


def dies(_job: int, _advance: Callable[[int], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
