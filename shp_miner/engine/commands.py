"""Engines of clusters that run commands: what all of them share. Jobs and outcomes are files in a shared folder.

A cluster starts `python -m shp_miner.engine.commands FOLDER JOB`, once for each job. JOB is the name of the job's file,
the SHA-256 of its bytes: it reaches the worker with the command, through the cluster and not through the folder, so
that nobody who may only write to the folder runs code at a worker. What comes back is data (`outcome.py`).
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from shp_miner.engine.interface import Advance, Job, Result
from shp_miner.engine.outcome import failed, opened, outcome_of, result_of, sealed
from shp_miner.errors import BadInput, TryLater
from shp_miner.paths import expanded
from shp_miner.places.replacing import replace_file
from shp_miner.places.schemes import is_remote

#: How often jobs without an outcome are started.
_TRIES = 3

#: Seconds between looks at the outcomes, on a disk and in an object store.
_LOOK_S, _LOOK_REMOTE_S = 0.2, 2.0

_JOB, _OUTCOME = ".job", ".outcome"


class Started(Protocol):
    """Commands that a cluster runs."""

    def is_over(self, within_s: float) -> bool:
        """Return whether none runs any more; wait for that up to some seconds."""
        ...

    def cancel(self) -> None:
        """End them."""
        ...


class Cluster(Protocol):
    """Runs commands on machines that share a folder with this one. `most`: how many may be started at once."""

    most: int

    def start(self, command: Sequence[str], jobs: Sequence[str], folder: Path) -> Started:
        """Start the command once for each job, its last word. What they print may go to `folder`."""
        ...


class Commands:
    """An engine that runs each task as a command of a cluster; `folder` is for its files."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs. The first error is raised."""
        for first in range(0, len(jobs), self._cluster.most):
            folder = self._folder / uuid4().hex
            folder.mkdir(parents=True)
            names = [_write_job(folder, task, job) for job in jobs[first : first + self._cluster.most]]
            results: dict[str, Any] = {}
            for _ in range(_TRIES):
                if missing := [name for name in dict.fromkeys(names) if name not in results]:
                    self._run_once(folder, task, missing, results, advance)
            if len(results) < len(set(names)):
                raise TryLater(
                    f"The cluster ended tasks {_TRIES} times. Its records (sacct) say why, or the logs in {folder}.",
                    "Run the same command again: it goes on where it was.",
                )
            yield from (results[name] for name in names)

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        """No command runs any more."""

    def _run_once(
        self, folder: Path, task: Callable[..., Any], jobs: Sequence[str], results: dict[str, Any], advance: Advance
    ) -> None:
        """Start the jobs, and take results until no command runs."""
        started = self._cluster.start([sys.executable, "-m", __name__, str(folder)], jobs, folder)
        try:
            over = False
            while not over:
                over = started.is_over(_LOOK_REMOTE_S if is_remote(folder) else _LOOK_S)
                there = {path.stem: path for path in folder.iterdir() if path.suffix == _OUTCOME}
                for name in there.keys() & set(jobs) - results.keys():
                    outcome = opened(there[name])
                    results[name] = result_of(outcome, task)
                    advance(outcome.made)
        except BaseException:
            started.cancel()
            raise


def _write_job(folder: Path, task: Callable[..., Any], job: object) -> str:
    """Write a job, and return its name: the SHA-256 of the file."""
    data = pickle.dumps((task, job))
    name = hashlib.sha256(data).hexdigest()
    replace_file(folder / f"{name}{_JOB}", data, durable=False)
    return name


def _read_job(data: bytes, name: str) -> tuple[Callable[..., Any], Any]:
    """Return task and job. Raises BadInput for other bytes than those that the driver wrote."""
    if hashlib.sha256(data).hexdigest() != name:
        raise BadInput("The job of a task was changed after it was written.", "Run the same command again.")
    task, job = pickle.loads(data)  # noqa: S301  (the driver's, as the digest says)
    return task, job


def run_job(folder: Path, name: str) -> None:
    """Run the job of this name, and write its outcome: what the task gave, or its error."""
    data = (folder / f"{name}{_JOB}").read_bytes()
    try:
        task, job = _read_job(data, name)
        outcome = outcome_of(task, job, lambda _: None)
    except Exception as error:
        logging.getLogger(__name__).exception("The task failed.")  # into the log that the cluster keeps
        outcome = failed(error)
    replace_file(folder / f"{name}{_OUTCOME}", sealed(outcome), durable=False)


if __name__ == "__main__":
    run_job(expanded(sys.argv[1]), sys.argv[2])
