"""The engines of this machine: worker processes and threads."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from threading import Event
from typing import Any

from shp_miner.engine.interface import Advance, Job, Result
from shp_miner.errors import TryLater

#: Seconds between looks at how far the workers are.
_LOOK_S = 0.2

#: Python lets a thread wait this long (seconds) for another by default 50 times as long; the thread that decompresses
#: ahead would stand still meanwhile.
_SWITCH_S = 0.0001

#: How many threads polars makes in a process; read when it is imported there.
_THREADS = "POLARS_MAX_THREADS"

_progress: Any = None


class Processes:
    """Up to `workers` processes, started when first needed and kept until the `with` statement ends."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._counter: Any = None
        self._threads_before: str | None = None

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """The results of task(job, advance) in the order of the jobs. The first error is raised.

        One worker or one job means this process.
        """
        sys.setswitchinterval(_SWITCH_S)
        if self._workers <= 1 or len(jobs) <= 1:
            for job in jobs:
                yield task(job, advance)
            return
        pool = self._started()
        seen = self._counter.value
        try:
            futures = [pool.submit(_call, task, job) for job in jobs]
            for future in futures:
                while not _ready(future, futures):
                    now = self._counter.value
                    advance(now - seen)
                    seen = now
                yield future.result()
            advance(self._counter.value - seen)
        except BrokenProcessPool as error:
            raise TryLater(
                "A worker process was killed, possibly because memory ran out.", "Run again with fewer --workers."
            ) from error

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
            self._pool.shutdown(wait=True, cancel_futures=True)
            if self._threads_before is None:
                os.environ.pop(_THREADS, None)
            else:
                os.environ[_THREADS] = self._threads_before

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = get_context("spawn")
            self._counter = context.Value("q", 0)
            # A library that makes as many threads as there are cores would do so in every worker.
            self._threads_before = os.environ.get(_THREADS)
            os.environ[_THREADS] = self._threads_before or "1"
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=_start, initargs=(self._counter,)
            )
        return self._pool


class Threads:
    """Up to `workers` threads of this process, for tasks that spend their time in libraries that let others run.

    `meanwhile` is called once they run.
    """

    def __init__(self, workers: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._workers, self._meanwhile = workers, meanwhile

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs, once all are done."""
        yield from run_threads(task, jobs, workers=self._workers, advance=advance, meanwhile=self._meanwhile)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs any more."""


def run_threads(
    task: Callable[[Job, Advance], Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    advance: Advance,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Result]:
    """Return the results of task(job, advance) in the order of the jobs, from threads of this process.

    For tasks that spend their time in a decoder, which lets other threads run. `meanwhile` is called once they run. Any
    error, also in `meanwhile`, stops the others at their next advance.
    """
    sys.setswitchinterval(_SWITCH_S)
    stopped = Event()

    def step(count: int) -> None:
        if stopped.is_set():
            raise CancelledError
        advance(count)

    with ThreadPoolExecutor(max(1, min(workers, len(jobs)))) as pool:
        futures = [pool.submit(task, job, step) for job in jobs]
        try:
            meanwhile()
            for future in futures:
                while not _ready(future, futures):
                    pass
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)  # what has not begun never will
            raise
        return [future.result() for future in futures]


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory() -> int:
    """Half of the machine's memory, in bytes."""
    return machine_memory() // 2


def fitting_workers(wanted: int, memory: int, worker_bytes: int) -> int:
    """How many of the wanted workers fit into `memory` bytes if each takes `worker_bytes`; at least one."""
    return max(1, min(wanted, memory // max(worker_bytes, 1)))


def machine_memory() -> int:
    """Return the bytes of memory this process may use: the machine's, or less if its control group or limits say so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    total = total if allowed == resource.RLIM_INFINITY else min(total, allowed)
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:  # noqa: PTH123  (no path of the user's)
            limit = file.read().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _ready(future: Future[Result], all_futures: Sequence[Future[Result]]) -> bool:
    """Whether a future is done, after waiting a moment for it. An error in any other is raised here."""
    wait([future], timeout=_LOOK_S)
    for other in all_futures:
        if other.done():
            other.result()
    return future.done()


def _start(counter: Any) -> None:
    """Prepare a worker: Ctrl-C is the parent's to handle, and progress is counted where the parent can see it."""
    global _progress  # noqa: PLW0603  (the only way into a worker)
    _progress = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_S)


def _call(task: Callable[[Job, Advance], Result], job: Job) -> Result:
    return task(job, _advance)


def _advance(count: int) -> None:
    with _progress.get_lock():
        _progress.value += count
