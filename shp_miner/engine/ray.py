"""The engine of a Ray cluster: plain tasks, each with one core and its memory, tried again where a worker or node died.

Nothing but jobs and results goes through Ray; what tasks exchange are files that driver and workers share. See
docs/cluster.md.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from time import monotonic
from typing import Any

from shp_miner.engine.interface import Advance, Job, Result
from shp_miner.engine.step import Step
from shp_miner.errors import Error, NotAllowed, TryLater, UsageError
from shp_miner.places.access import of_library

#: How often a task is tried again after its worker or node died, or after TryLater.
_RETRIES = 5

#: Tasks handed to Ray for each core of the cluster, so that a worker that is done has the next one at hand.
_AHEAD = 3

#: Seconds between looks at the tasks, and between the reports of one task's progress.
_LOOK_S, _REPORT_S = 0.2, 0.5

#: Seconds to wait for the cluster's head to accept a connection, and for a node that a task fits in.
_KNOCK_S, _NODE_S = 10, 120

#: What Ray shall not do unless told: send usage statistics, give way to every other process, and, under `uv run`, copy
#: the folder in which the command was typed to every node, where texts would stay that `forget` does not know.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


class Ray:
    """Up to `workers` tasks at a time (default: as many as the cluster has cores) of `task_bytes` of memory each.

    `address` is that of a cluster, None for one of this machine that lasts as long as the `with` statement.
    """

    def __init__(self, address: str | None, workers: int | None, task_bytes: int) -> None:
        self._address, self._workers, self._task_bytes = address, workers, task_bytes
        self._ray: Any = None
        self._own = False
        self._numbers = count()
        self._actor: Any = None

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs. The first error is raised."""
        if not jobs:
            return
        ray = self._connected()
        progress = _Progress(ray, self._actor, advance)
        call = ray.remote(run_task).options(
            num_cpus=1, memory=self._task_bytes, max_retries=_RETRIES, retry_exceptions=[TryLater]
        )
        waiting = iter(range(len(jobs)))
        running: dict[Any, tuple[int, int]] = {}  # by reference: the job's number in this run, and the task's in all
        results: dict[int, Any] = {}

        def start(most: int) -> None:
            for number in islice(waiting, max(most, 0)):
                sent, own = pickle.dumps((task, jobs[number])), next(self._numbers)
                running[call.remote(version("shp-miner"), sent, own, self._actor)] = number, own

        fits_until = monotonic() + _NODE_S
        try:
            for number in range(len(jobs)):
                while number not in results:
                    start(self._most(ray) - len(running))  # nodes come and go
                    done, _ = ray.wait(list(running), timeout=_LOOK_S)
                    if monotonic() > fits_until:
                        fits_until = monotonic() + _NODE_S
                        _require_node(ray, self._task_bytes)
                    for reference in done:
                        steps, results[running.pop(reference)[0]] = _result(ray, reference)
                        progress.finish(steps)
                    progress.look([own for _, own in running.values()])
                yield results.pop(number)
        finally:
            for reference in running:
                with suppress(Exception):  # the cluster may be gone, which ended the task
                    ray.cancel(reference, force=True)

    def __enter__(self) -> Ray:
        """Return the engine. It connects when the first task runs: where all results are there, none does."""
        return self

    def __exit__(self, *_: object) -> None:
        self._actor = None
        if self._own and self._ray is not None:
            self._ray.shutdown()

    def _most(self, ray: Any) -> int:
        return self._workers or _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _connected(self) -> Any:
        """Return Ray, connected. A connection of the caller's own is used and stays."""
        if self._ray is not None:
            return self._ray
        for name, value in (_QUIET | _token()).items():
            os.environ.setdefault(name, value)
        try:
            ray = import_module("ray")
        except ImportError as error:
            raise UsageError(
                "The engine ray needs Ray, which is not installed.", "Install it: pip install 'shp-miner[ray]'."
            ) from error
        if not ray.is_initialized():
            self._own = True
            own = {"include_dashboard": False, "num_cpus": self._workers}
            options = {"address": self._address} if self._address else {"address": "local", **own}
            where = self._address or "this machine"
            try:
                _knock(self._address)
                ray.init(**options, log_to_driver=False, logging_level="ERROR")
            except Exception as error:  # Ray has no class of its own for them
                raise _refused(error, where) from error
        self._ray = ray
        self._actor = ray.remote(Noted).options(num_cpus=0, max_restarts=-1).remote()
        return ray


def run_task(release: str, sent: bytes, number: int, progress: Any) -> tuple[Step, Any]:
    """Run a task in a worker of the cluster; return the steps that it made, and its result.

    `release` is the driver's version of this program; another version may give other bytes, so it is refused.
    """
    if release != version("shp-miner"):
        raise UsageError(
            f"A worker has shp-miner {version('shp-miner')}, and the driver {release}.",
            "Install the same version on all machines of the cluster.",
        )
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when it is imported, which the task does
    task, job = pickle.loads(sent)  # noqa: S301  (of the driver)
    report = _Report(number, progress)
    try:
        result = task(job, report)
    except Exception as error:
        # Libraries have classes of their own for a store that is down, and their texts may repeat a token.
        if (told := of_library(error)) is not None:
            raise told from None
        raise
    return report.made, result


class _Report:
    """A task's `advance`: tells the driver now and then how far the task is."""

    def __init__(self, number: int, progress: Any) -> None:
        self.made = Step()
        self._number, self._progress, self._told = number, progress, monotonic()

    def __call__(self, count: int) -> None:
        doing, pairs = getattr(count, "doing", ""), self.made.pairs + getattr(count, "pairs", 0)
        self.made = Step(self.made + count, doing or self.made.doing, pairs)
        if monotonic() - self._told > _REPORT_S:
            self._told = monotonic()
            with suppress(Exception):  # nobody listens any more, which is no reason to end the work
                self._progress.note.remote(self._number, self.made)


class Noted:
    """How far the running tasks are, by number: an actor beside the driver. A task that is tried again starts anew."""

    def __init__(self) -> None:
        self._steps: dict[int, Step] = {}

    def note(self, number: int, steps: Step) -> None:
        """Note the steps of a task so far."""
        self._steps[number] = steps

    def steps(self, running: Sequence[int]) -> list[Step]:
        """Return the steps of the running tasks, and forget the others."""
        self._steps = {number: self._steps[number] for number in running if number in self._steps}
        return list(self._steps.values())


class _Progress:
    """Adds up for the driver what finished tasks made and what running tasks report. It never goes back."""

    def __init__(self, ray: Any, actor: Any, advance: Advance) -> None:
        self._ray, self._actor, self._advance = ray, actor, advance
        self._finished = self._told = self._pairs = 0
        self._asked: Any = None

    def finish(self, steps: Step) -> None:
        self._finished += steps
        self._pairs += steps.pairs

    def look(self, running: Sequence[int]) -> None:
        """Report what is new. The actor is asked and not waited for: its node may be the one that died."""
        reported = 0
        with suppress(Exception):
            if self._asked is None:
                self._asked = self._actor.steps.remote(running)
            if self._ray.wait([self._asked], timeout=0)[0]:
                asked, self._asked = self._asked, None
                reported = sum(self._ray.get(asked))
        now = max(self._finished + reported, self._told)
        if now > self._told or self._pairs:
            self._advance(Step(now - self._told, "", self._pairs))
            self._told, self._pairs = now, 0


def _result(ray: Any, reference: Any) -> tuple[Step, Any]:
    """Return what a task gave. Raises its own error, or TryLater where it died time and again."""
    try:
        return ray.get(reference)  # type: ignore[no-any-return]
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, ModuleNotFoundError):
            raise UsageError(
                f"A worker lacks a module: {cause}.", "Install shp-miner on all machines of the cluster."
            ) from error
        raise cause from error
    except ray.exceptions.RayError as error:
        raise TryLater(
            f"A task died {_RETRIES + 1} times on the cluster ({type(error).__name__}).",
            "Run the same command again, which goes on where it was; with more --memory if its memory ran out.",
        ) from error


def _require_node(ray: Any, task_bytes: int) -> None:
    """Raise TryLater where no node has what a task asks for: Ray would wait for one for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= 1 and node.get("memory", 0) >= task_bytes for node in nodes):
        raise TryLater(
            f"No node of the cluster has a core and {task_bytes / 1e6:,.0f} MB for a task.",
            "Start a node (`ray start --address`) or give less --memory, and run the same command again.",
        )


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "//" not in host:
        socket.create_connection((host, int(port)), _KNOCK_S).close()


def _token() -> dict[str, str]:
    """Return the mode in which Ray sends the cluster's token, if there is one: `ray start` turns it on by itself.

    A Ray that the caller has imported has its mode already; another one for the processes it starts would refuse it.
    """
    if "ray" in sys.modules:
        return {}
    there = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return {"RAY_AUTH_MODE": "token"} if there or Path("~/.ray/auth_token").expanduser().exists() else {}


def _refused(error: BaseException, where: str) -> Error:
    """Return an error of Ray's start in words."""
    text, chain = str(error), [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if any("AuthenticationError" in type(one).__name__ or "AuthToken" in str(one) for one in chain):
        return NotAllowed(
            f"The Ray cluster {where} refused this driver's token.",
            "Set RAY_AUTH_TOKEN, or write ~/.ray/auth_token, as on the cluster's head.",
        )
    if "ersion mismatch" in text:
        return UsageError(
            f"The Ray cluster {where} has another version of Ray or Python.", "Use the same versions everywhere."
        )
    return TryLater(
        f"No connection to the Ray cluster {where}: {text.splitlines()[0] if text else type(error).__name__}",
        "Start it with `ray start --head`, or correct --address, and run the same command again.",
    )
