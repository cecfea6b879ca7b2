"""Results that outlive the driver: a run that was killed goes on where it was, by any engine and at any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic

import msgspec
import xxhash
from msgspec import Struct

from shp_miner.engine.interface import Advance, Around, Engine, Job, Result
from shp_miner.engine.outcome import Outcome, opened, outcome_of, result_of, sealed
from shp_miner.places.replacing import replace_file

#: The folder of results in the folder of a run.
RESULTS = "results"

_SUFFIX = ".result"

#: Results that are read at a time: an object store takes its time for each.
_READS = 16


class Kept(Around):
    """An engine that keeps each result in `folder`, under a name that follows from task and job, and uses it again.

    `content(job)` is what of a job decides its result; by default all of it. The folder belongs to one run. Results are
    data of the type that the task declares (`outcome.py`), so that nobody who may write to it runs code here.
    """

    def __init__(self, engine: Engine, folder: Path, content: Callable[[Any], object] = lambda job: job) -> None:
        super().__init__(engine)
        self._folder, self._content = folder, content

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs; run what has no result yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = {path.name for path in self._folder.iterdir()}
        named = [KeptJob(task, job, self._folder / result_name(task, self._content(job))) for job in jobs]
        missing = [job for job in named if job.path.name not in known]
        fresh = self._engine.run(run_kept, missing, advance)
        pool = ThreadPoolExecutor(_READS)
        try:
            kept = pool.map(opened, [job.path for job in named if job.path.name in known])
            for job in named:
                if job.path.name not in known:
                    yield result_of(Outcome(0, 0, next(fresh)), task)
                    continue
                outcome = next(kept)
                advance(outcome.made)
                yield result_of(outcome, task)
        finally:
            pool.shutdown(cancel_futures=True)


class KeptJob(Struct, Generic[Job, Result], frozen=True):
    """A job of a task whose result goes to a file."""

    task: Callable[[Job, Advance], Result]
    job: Job
    path: Path


def run_kept(kept: KeptJob[Job, Result], advance: Advance) -> bytes:
    """Run the task, and keep what it gave together with the steps that it made. Returns the result, packed."""
    outcome = outcome_of(kept.task, kept.job, advance)
    with suppress(FileNotFoundError):  # another process did the same, and deleted the folder when all was done
        replace_file(kept.path, sealed(outcome), durable=False)
    return outcome.result


def result_name(task: Callable[..., object], content: object) -> str:
    """Return the name of a result: the task's, and a digest of what decides it."""
    return f"{getattr(task, '__name__', 'task')}-{content_digest(content)}{_SUFFIX}"


def content_digest(*values: object) -> str:
    """Return a digest of plain data: structures, tables and paths, equal where their contents are."""
    encoded = msgspec.json.encode(values, enc_hook=_plain, order="deterministic")
    return xxhash.xxh3_128_hexdigest(encoded)


def _plain(value: Any) -> object:
    """Return data that JSON can hold for what it cannot."""
    return value.to_dict(as_series=False) if hasattr(value, "to_dict") else str(value)
