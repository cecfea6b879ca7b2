"""Engines run tasks. A task is a plain function of plain data: files in, files out under atomic names.

So a task may run twice, and a cluster needs one more file here.
"""

from shp_miner.engine.local import (
    Advance,
    Engine,
    cores,
    default_memory,
    fitting_workers,
    machine_memory,
    run_threads,
)
from shp_miner.engine.step import Step, Steps

__all__ = [
    "Advance",
    "Engine",
    "Step",
    "Steps",
    "cores",
    "default_memory",
    "fitting_workers",
    "machine_memory",
    "run_threads",
]
