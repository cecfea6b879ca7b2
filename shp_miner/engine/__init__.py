"""Engines run tasks.

A task is a plain function of plain data: files in, files out under atomic names. So a task that ran twice harms
nothing, and a cluster is one more file here.
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

__all__ = ["Advance", "Engine", "cores", "default_memory", "fitting_workers", "machine_memory", "run_threads"]
