"""The engine of a Slurm cluster: an array of tasks i of N. Jobs and results are files in a folder that all share.

`sbatch` reads variables of its own (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT); see docs/cluster.md.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from shlex import join
from time import sleep
from typing import Any
from uuid import uuid4

from shp_miner.engine.interface import Advance, Job, Result
from shp_miner.engine.kept import Made
from shp_miner.errors import TryLater, UsageError
from shp_miner.places.replacing import replace_file

#: How often tasks without a result are submitted, and how many an array has at most (Slurm itself: 1001).
_TRIES, _MOST = 3, 1000
_LOOK_S = 0.2


class Slurm:
    """Arrays of tasks of one core and `task_bytes` of memory each, at most `workers` at a time."""

    def __init__(self, folder: Path, workers: int | None, task_bytes: int) -> None:
        most = f"%{workers}" if workers else ""
        self._folder, self._most, self._memory = folder / "slurm", most, f"--mem={-(-task_bytes // 1_000_000)}M"

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs. The first error is raised."""
        for first in range(0, len(jobs), _MOST):
            folder, part = self._folder / uuid4().hex, jobs[first : first + _MOST]
            folder.mkdir(parents=True)
            for number, job in enumerate(part):
                replace_file(folder / f"{number}.job", pickle.dumps((task, job)), durable=False)
            results: dict[int, Any] = {}
            for _ in range(_TRIES):
                self._run_array(folder, len(part), results, advance)
            if len(results) < len(part):
                raise TryLater(f"Slurm ended tasks {_TRIES} times; see the logs in {folder}.", "Run it again.")
            yield from (results[number] for number in range(len(part)))

    def __enter__(self) -> Slurm:
        return self

    def __exit__(self, *_: object) -> None:
        """No array runs any more."""

    def _run_array(self, folder: Path, count: int, results: dict[int, Any], advance: Advance) -> None:
        """Submit the tasks that have no result as one array, and take results until it ends."""
        numbers = ",".join(str(number) for number in range(count) if number not in results)
        if not numbers:
            return
        command = [
            "sbatch",
            "--wait",
            "--parsable",
            f"--array={numbers}{self._most}",
            self._memory,
            "--cpus-per-task=1",
        ]
        command += [f"--output={folder}/%a.log", "--job-name=shp-miner", "--wrap"]
        command.append(f"exec {join([sys.executable, '-m', __name__, str(folder)])} $SLURM_ARRAY_TASK_ID")
        number = folder / "array"
        try:
            with number.open("w") as file:
                array = subprocess.Popen(command, stdout=file)  # noqa: S603
        except FileNotFoundError as error:
            raise UsageError("The engine slurm needs `sbatch`.", "Run on a machine that submits to Slurm.") from error
        try:
            while array.poll() is None:
                sleep(_LOOK_S)
                _take(folder, count, results, advance)
            _take(folder, count, results, advance)
        except BaseException:
            subprocess.run(["scancel", number.read_text().split(";")[0].strip()], check=False)  # noqa: S603, S607
            array.wait()
            raise


def _take(folder: Path, count: int, results: dict[int, Any], advance: Advance) -> None:
    """Take the results that are new; raise the error of a task."""
    for number in range(count):
        if number not in results and (file := folder / f"{number}.result").exists():
            steps, results[number], error = pickle.loads(file.read_bytes())  # noqa: S301  (of our own tasks)
            if error is not None:
                raise error
            advance(steps)


def run_task(folder: Path, number: int) -> None:
    """Run one task of an array, and write its steps, result and error."""
    task, job = pickle.loads((folder / f"{number}.job").read_bytes())  # noqa: S301  (of the driver)
    made, result, failed = Made(), None, None
    try:
        result = task(job, partial(made.add, lambda _: None))
    except Exception as error:  # noqa: BLE001  (the driver raises it)
        failed = error
    replace_file(folder / f"{number}.result", pickle.dumps((made.total, result, failed)), durable=False)


if __name__ == "__main__":
    run_task(Path(sys.argv[1]), int(sys.argv[2]))
