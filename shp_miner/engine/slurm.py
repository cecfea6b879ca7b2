"""The engine of a Slurm cluster: an array of tasks for up to a thousand jobs.

`sbatch` reads variables of its own (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT); see docs/cluster.md.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from shlex import join

from shp_miner.errors import UsageError
from shp_miner.places.schemes import is_remote


class Slurm:
    """Arrays of tasks of one core and `task_bytes` of memory each, at most `workers` at a time."""

    #: An array of Slurm's own settings has at most 1001 tasks.
    most = 1000

    def __init__(self, workers: int | None, task_bytes: int) -> None:
        self._at_a_time = f"%{workers}" if workers else ""
        self._options = [f"--mem={-(-task_bytes // 1_000_000)}M", "--cpus-per-task=1", "--job-name=shp-miner"]

    def start(self, command: Sequence[str], jobs: Sequence[str], folder: Path) -> Array:
        """Submit an array of the command with each job. Raises UsageError without `sbatch`, or where it refuses."""
        array = f"--array=0-{len(jobs) - 1}{self._at_a_time}"
        output = f"--output={'/dev/null' if is_remote(folder) else folder / '%A_%a.log'}"
        script = f'set -- {join(jobs)}; shift "$SLURM_ARRAY_TASK_ID"; exec {join(command)} "$1"'
        words = ["sbatch", "--wait", "--parsable", array, *self._options, output, "--wrap", script]
        try:
            waiting = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603
        except FileNotFoundError as error:
            raise UsageError("The engine slurm needs `sbatch`.", "Run on a machine that submits to Slurm.") from error
        assert waiting.stdout is not None
        number = waiting.stdout.readline().partition(";")[0].strip()
        if not number:
            raise UsageError(
                "`sbatch` took no tasks.",
                "It says why. Correct the variables that begin with SBATCH_, or run this again when Slurm answers.",
            )
        return Array(number, waiting)


class Array:
    """An array that was submitted: its number, and the `sbatch` that waits for its end."""

    def __init__(self, number: str, waiting: subprocess.Popen[str]) -> None:
        self._number, self._waiting = number, waiting

    def is_over(self, within_s: float) -> bool:
        """Return whether no task runs any more; wait for that up to some seconds."""
        try:
            self._waiting.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def cancel(self) -> None:
        """End the array."""
        subprocess.run(["scancel", self._number], check=False)  # noqa: S603, S607
        self._waiting.communicate()
