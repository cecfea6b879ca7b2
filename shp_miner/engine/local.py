"""The processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from shp_miner.errors import TryLater

Job = TypeVar("Job")
Result = TypeVar("Result")
Advance = Callable[[int], None]

#: Seconds between looks at how far the workers are.
_LOOK_S = 0.2

#: Python lets a thread wait this long (seconds) for another by default 10 times as long; the thread that decompresses
#: ahead would stand still meanwhile.
_SWITCH_S = 0.0005

_progress: Any = None


def run(
    task: Callable[[Job, Advance], Result], jobs: Sequence[Job], *, workers: int, advance: Advance
) -> Iterator[Result]:
    """The results of task(job, advance) in the order of the jobs, from at most `workers` processes.

    One worker or one job means this process. The first error ends all workers and is raised.
    """
    sys.setswitchinterval(_SWITCH_S)
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield task(job, advance)
        return
    context = get_context("spawn")
    counter = context.Value("q", 0)
    # A library that makes as many threads as there are cores would do so in every worker.
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_start, initargs=(counter,))
    try:
        futures = [pool.submit(_call, task, job) for job in jobs]
        yield from _in_order(futures, counter, advance)
    except BrokenProcessPool as error:
        raise TryLater(
            "A worker process was killed, perhaps for want of memory.",
            "Run again with fewer --workers or less --memory.",
        ) from error
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
        else:
            os.environ["POLARS_MAX_THREADS"] = before


def fitting_workers(wanted: int, memory: int, each: int) -> int:
    """How many of the wanted workers fit into `memory` bytes if each takes `each`; at least one."""
    return max(1, min(wanted, memory // max(each, 1)))


def machine_memory() -> int:
    """Bytes of memory this process may expect: the machine's, or less if its control group says so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:  # noqa: PTH123  (no path of the user's)
            limit = file.read().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _in_order(futures: Sequence[Future[Result]], counter: Any, advance: Advance) -> Iterator[Result]:
    seen = 0
    for future in futures:
        while not future.done():
            done, _ = wait(futures, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            for other in done:
                other.result()  # an error anywhere ends the wait for the others
            wait([future], timeout=_LOOK_S)
            now = counter.value
            advance(now - seen)
            seen = now
        yield future.result()
    advance(counter.value - seen)


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
