"""Large communities, a task for each of their files, so that none of them holds up an export.

Where files begin follows from the rows, bytes and hashes of all threads before (`cuts.py`), and in the compact layout
the numbers of rows do as well. One pass of tasks measures the threads; then every beginning and every number is known,
and each file is written by itself with the bytes that it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import pyarrow as pa
from msgspec import Struct, structs

from shp_miner.engine import Advance, Engine
from shp_miner.export.compact import ANSWERS, PARTS, POSTS, parted
from shp_miner.export.cuts import Rows, cut_rows, rows_by_group
from shp_miner.export.margins import form_of
from shp_miner.export.pieces import read_windows
from shp_miner.export.tasks import WriteJob

#: Windows (of about 16 MB) of a community and split from which its files are written by tasks of their own. In the
#: compact layout rows are made once for each of the three tables and once to measure them, so that has to be worth it.
LARGE, LARGE_COMPACT = 8, 64

_NOTHING = pa.table({})


class Lengths(Struct):
    """The threads of a window, in order: rows, bytes of texts, chances and name of each, as in `Rows`."""

    counts: list[int]
    bytes: list[int]
    chances: list[tuple[float, float]]
    names: list[str]


def measure_window(job: WriteJob, advance: Advance) -> dict[str, Lengths]:
    """Return the lengths of the threads in the windows of a job, which are of one community and split.

    They are given by table of the compact layout; under "" in the joined one.
    """
    found: dict[str, Lengths] = {}
    form = form_of(job.format, margin=bool(job.selection.margin))
    for threads in read_windows(job.work, job.pieces, job.windows):
        table, post_row = form.table(threads, job.selection.rule.name)
        for _, rows in rows_by_group(form, threads, table, post_row):
            for part, own in (parted(form, rows, 0, 0) if job.selection.layout else {"": rows}).items():
                lengths = found.setdefault(part, Lengths([], [], [], []))
                lengths.counts += own.counts
                lengths.bytes += own.bytes
                lengths.chances += own.chances
                lengths.names += own.names
    advance(0)
    return found


def spread_jobs(jobs: Sequence[WriteJob], engine: Engine, advance: Advance) -> list[WriteJob]:
    """Return the jobs, with one for each file in the place of those of large communities."""
    large = [job for job in jobs if len(job.windows) >= (LARGE_COMPACT if job.selection.layout else LARGE)]
    parts = [structs.replace(job, windows=[window]) for job in large for window in job.windows]
    lengths = engine.run(measure_window, parts, advance)
    spread = {id(job): _by_file(job, [next(lengths) for _ in job.windows]) for job in large}
    return [part for job in jobs for part in spread.get(id(job), [job])]


def _by_file(job: WriteJob, lengths: Sequence[dict[str, Lengths]]) -> list[WriteJob]:
    """Return a job for each file of a community and split, whose windows have these lengths."""
    if not job.selection.layout:
        return _of_table(job, [window[""] for window in lengths])
    of_parts = {part: [window[part] for window in lengths] for part in PARTS}
    before = list(zip(*(_counted(of_parts[part]) for part in (POSTS, ANSWERS)), strict=True))
    numbers = dict(zip((name for window in of_parts[POSTS] for name in window.names), before, strict=True))
    return [
        structs.replace(own, part=part, numbers=numbers[own.first])
        for part in PARTS
        for own in _of_table(job, of_parts[part])
    ]


def _counted(lengths: Sequence[Lengths]) -> Iterator[int]:
    """Yield for each thread the rows of all threads before it."""
    counts = [count for window in lengths for count in window.counts]
    return accumulate(counts[:-1], initial=0)


def _of_table(job: WriteJob, lengths: Sequence[Lengths]) -> list[WriteJob]:
    """Return a job for each file of one table."""
    names = [group.name for group in cut_rows(_rows(lengths)) if group.begins_file]
    places: list[tuple[str, int]] = []
    for number, window in enumerate(lengths):
        for name in window.names:
            if len(places) < len(names) and name == names[len(places)]:
                places.append((name, number))
    ends = [*places, ("", len(lengths) - 1)]
    return [
        structs.replace(job, windows=job.windows[start : stop + 1], first=first, until=until)
        for (first, start), (until, stop) in pairwise(ends)
    ]


def _rows(lengths: Sequence[Lengths]) -> Iterator[Rows]:
    for window in lengths:
        starts = [0] * len(window.counts)
        yield Rows(_NOTHING, starts, window.counts, window.bytes, window.chances, window.names)
