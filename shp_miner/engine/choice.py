"""How an engine is chosen by name."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from shp_miner.engine.interface import Engine
from shp_miner.errors import UsageError, nearest_name

#: The engines by name: this machine, a Ray cluster, a Slurm cluster.
LOCAL, RAY, SLURM = "local", "ray", "slurm"
ENGINES = (LOCAL, RAY, SLURM)


class Means(Struct, frozen=True):
    """What a command may use: processes, bytes of memory, and an engine with the address of its cluster.

    `workers` and `memory` are None where the machine or the cluster decides. On a cluster, `memory` is that of a task.
    """

    workers: int | None = None
    memory: int | None = None
    engine: str = LOCAL
    address: str | None = None

    @property
    def on_cluster(self) -> bool:
        """Return whether tasks run outside of this machine's processes."""
        return self.engine != LOCAL

    def checked(self) -> Means:
        """Return these means. Raises UsageError for an unknown engine, and for an address that it has no use for."""
        if self.engine not in ENGINES:
            raise UsageError(f"There is no engine {self.engine!r}.", nearest_name(self.engine, ENGINES))
        if self.address and self.engine != RAY:
            raise UsageError(f"The engine {self.engine} takes no address.", "Add --engine ray, or leave out --address.")
        return self

    def cluster(self, folder: Path, task_bytes: int) -> Engine:
        """Return the engine of the cluster, for tasks of at most `task_bytes` of memory.

        `folder` is one that driver and workers share, for files that the engine itself needs.
        """
        # Imported late: nobody who has one machine needs them.
        if self.engine == RAY:
            from shp_miner.engine.ray import Ray  # noqa: PLC0415

            return Ray(self.address or os.environ.get("RAY_ADDRESS") or None, self.workers, task_bytes)
        from shp_miner.engine.commands import Commands  # noqa: PLC0415
        from shp_miner.engine.slurm import Slurm  # noqa: PLC0415

        return Commands(Slurm(self.workers, task_bytes), folder / self.engine)
