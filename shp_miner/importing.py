"""Importing as tasks: which reader, how files are shared among workers, and the task itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import zstandard
from msgspec import Struct, structs

from shp_miner.dumps.compressed import Advance, compression
from shp_miner.errors import UsageError
from shp_miner.model import Chunk
from shp_miner.store import Store
from shp_miner.tally import Tally

#: A reader of one kind of dump: read(paths, tally, *, now, advance, **options) yields the observations in `paths` and
#: counts the rest in `tally`.
Reader = Callable[..., Iterator[Chunk]]

#: A file smaller than this is not shared among workers: starting one takes about a second.
_SHARED_FILE_BYTES = 24_000_000

#: What a worker takes besides its decoder's window.
_WORKER_BYTES = 450_000_000


class ImportJob(Struct, frozen=True):
    """Some dump files (or the `part`-th of `parts` shares of their blocks) to be read into a store."""

    kind: str
    paths: list[Path]
    store: Path
    now: datetime
    options: dict[str, Any]
    part: int = 0
    parts: int = 1


def import_part(job: ImportJob, advance: Advance) -> Tally:
    """Read what the job says and commit it to the store. Doing it twice changes no export."""
    tally = Tally()
    options = dict(job.options)
    if job.parts > 1:
        options["part"] = (job.part, job.parts)
        shared, advance = advance, lambda count: shared(count // job.parts)
    chunks = reader(job.kind)(job.paths, tally, now=job.now, advance=advance, **options)
    with Store(job.store).writer() as writer:
        for chunk in chunks:
            writer.add(chunk)
    return tally


def import_jobs(whole: ImportJob, workers: int) -> tuple[list[ImportJob], int]:
    """The whole import as jobs for up to `workers`, the longest first, and the bytes of memory each may take.

    Only Reddit's dumps come in sizes worth sharing. A file is one job; where there are fewer files than workers and
    all is kept, so that parsing is the work, large files are shared by blocks. With a filter, decompressing is the
    work, and that cannot be shared.
    """
    if whole.kind != "reddit-dump":
        return [whole], _WORKER_BYTES
    from shp_miner.dumps.reddit import dump_files, kind_of  # noqa: PLC0415  (heavy, and only here)

    files = dump_files(whole.paths)
    for file in files:
        kind_of(file)  # what is wrong with any file is said before the first is read
    window = max((_window(file) for file in files), default=0)
    large = [file for file in files if file.stat().st_size >= _SHARED_FILE_BYTES]
    if workers == 1 or not large:
        return [whole], window + _WORKER_BYTES
    share = workers if len(large) < workers and not whole.options.get("communities") else 1
    jobs = []
    for file in sorted(files, key=lambda path: -path.stat().st_size):
        parts = share if file in large else 1
        jobs += [structs.replace(whole, paths=[file], part=part, parts=parts) for part in range(parts)]
    return jobs, window + _WORKER_BYTES


def reader(kind: str) -> Reader:
    """The reader of a kind of dump."""
    # Imported late: each kind has libraries that the others do not need.
    match kind:
        case "reddit-dump":
            from shp_miner.dumps.reddit import read  # noqa: PLC0415

            return read
        case "stackexchange-dump":
            from shp_miner.dumps.stackexchange import read as read_stackexchange  # noqa: PLC0415

            return read_stackexchange
        case "threads":
            from shp_miner.dumps.threads import read as read_threads  # noqa: PLC0415

            return read_threads
    raise UsageError(f"There is no import kind {kind!r}.", "The kinds: reddit-dump, stackexchange-dump, threads.")


def _window(file: Path) -> int:
    """Bytes that decoding the file needs by itself: the window of its first zstd frame."""
    if compression(file) != "zst":
        return 0
    try:
        with file.open("rb") as opened:
            return zstandard.get_frame_parameters(opened.read(32)).window_size
    except (zstandard.ZstdError, OSError):
        return 0  # a damaged beginning is reported when the file is read
