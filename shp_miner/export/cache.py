"""The space on this machine that an export to an object store takes while it is built, kept within a limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from shp_miner.engine import Advance, Engine
from shp_miner.engine.interface import Around, Job, Result
from shp_miner.errors import UsageError
from shp_miner.units import Size

#: The variable with the limit, and the limit without it.
CACHE, _LIMIT = "SHP_MINER_EXPORT_CACHE", "10GB"


class Overfull(Exception):
    """The folder of an export on this machine is full: the export is to be built in the object store."""


def cache_limit() -> int:
    """Return the bytes that an export to an object store may take on this machine. Raises UsageError."""
    try:
        return Size.parse(os.environ.get(CACHE) or _LIMIT)
    except ValueError as error:
        raise UsageError(f"{CACHE} is not a size: {error}", f"Set it like {CACHE}={_LIMIT}.") from None


def here_or_in_bucket(build: Callable[..., Result]) -> Result:
    """Return the result of `build`, which is called again with `in_bucket` where this machine's folder is full."""
    try:
        return build()
    except Overfull:
        return build(in_bucket=True)


class Bounded(Around):
    """An engine of threads that begins no task once `folder` has `limit` bytes: it raises Overfull."""

    def __init__(self, engine: Engine, folder: Path, limit: int) -> None:
        super().__init__(engine)
        self._folder, self._limit = folder, limit

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs."""

        def bounded(job: Job, advance: Advance) -> Result:
            if folder_bytes(self._folder) >= self._limit:
                raise Overfull
            return task(job, advance)

        return self._engine.run(bounded, jobs, advance)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder of this machine."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # it was renamed meanwhile
                total += (Path(place) / name).stat().st_size
    return total
