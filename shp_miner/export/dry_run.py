"""What an export would give, without writing it: the same mining, counted, and an estimate of the size."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
from msgspec import Struct, structs

from shp_miner.clean.cleaning import Clean, as_cleaning
from shp_miner.engine import LOCAL, Advance, Means, Steps, Threads
from shp_miner.export.columns import merged_table
from shp_miner.export.compact import COMPACT_LAYOUT, PARTS, known_layout, parts_of
from shp_miner.export.cuts import FILE_LEAST
from shp_miner.export.dataset import TASK_BYTES, WINDOW_BYTES, Power, mining_bytes
from shp_miner.export.earlier import earlier_fit
from shp_miner.export.formats import Format
from shp_miner.export.margins import check_margin, form_of
from shp_miner.export.nothing import nothing
from shp_miner.export.publish import place_of
from shp_miner.export.screens import Sets, as_sets, work_with
from shp_miner.export.selected import check_shares, known_formats, known_rule, selected
from shp_miner.export.shards import size_of
from shp_miner.export.tasks import beyond_range, count_by_community, trait_range
from shp_miner.mining.balanced import balance_ranges, steps_of
from shp_miner.mining.calibrate import STEPS, MeasureJob, calibrate_ranges, load_calibration
from shp_miner.mining.mine import mine_threads
from shp_miner.mining.near import find_near, near_steps
from shp_miner.paths import is_remote
from shp_miner.rules.hashing import SPLITS
from shp_miner.rules.presets import Rule
from shp_miner.rules.recommended import Comparable, Recommendation, before_cleaning, recommended_for
from shp_miner.store import Snapshot, Store
from shp_miner.store.lock import shared_lock
from shp_miner.tally import Tally

#: Rows of each format and range that are written to memory, to see how many bytes a row takes.
_MEASURED_ROWS = 10_000

#: Requests to an object store with the store: around the work, for each range, and for each file in it. Measured on
#: the server of the tests, by a count of what it was asked.
_REQUESTS, _REQUESTS_PER_RANGE, _REQUESTS_PER_FILE = 40, 24, 8

#: Requests to an object store that gets the export: around its appearance, and for each file. Measured in the same way.
_REQUESTS_AROUND_OUT, _REQUESTS_PER_OUT_FILE = 40, 5


class Estimate(Struct):
    """What an export would give: counts as in `Exported`, rows and about how many bytes by format.

    bytes: of the layout that was asked for; joined_bytes: of the joined one.
    """

    version: str
    rule: str
    tally: Tally
    posts: dict[str, int]
    pairs: dict[str, int]
    rows: dict[str, int]
    bytes: dict[str, int]
    joined_bytes: dict[str, int]
    missing: str = ""
    recommended: Recommendation | None = None
    work: Work | None = None


class Work(Struct):
    """What an export would take, from what counting took: about, and without the start of the program.

    `tasks` mine ranges or write files. On a cluster `memory_bytes` is that of `workers` tasks, one if not told. `cpu_s`
    is CPU time of all threads together, `seconds` the time on this machine. `temporary_bytes` are at most those of the
    rows between mining and the shards, of dropped rows, and of the new files beside old ones. `requests` are those to
    object stores that have the store or get the export.
    """

    tasks: int
    workers: int
    memory_bytes: int
    temporary_bytes: int
    cpu_s: float
    seconds: float
    requests: int


class _Job(MeasureJob, frozen=True):
    formats: tuple[str, ...]
    layout: str


class _Part(Struct):
    """The counts of one range; `measured` are rows, bytes and joined bytes of a part of them, by format."""

    tally: Tally
    posts: dict[str, int]
    pairs: dict[str, int]
    rows: Counter[str]
    measured: dict[str, tuple[int, int, int]]
    comparable: Comparable
    written_s: dict[str, float]


def estimate(  # noqa: PLR0913  (every option of the command, by name)
    store: Store | str | os.PathLike[str],
    *,
    rule: str | Rule = "shp",
    formats: Sequence[str] = ("pairs",),
    communities: Collection[str] = (),
    sites: Collection[str] = (),
    validation: float = 0.05,
    test: float = 0.05,
    layout: str = "joined",
    margin: bool = False,
    clean: Clean = None,
    decontaminate: Sets = None,
    as_of: str | None = None,
    workers: int | None = None,
    memory: int | None = None,
    engine: str = LOCAL,
    address: str | None = None,
    out: Path | None = None,
    refit: bool = False,
    keep_dropped: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Estimate:
    """Return the counts that `export_dataset` would give with the same arguments, and about its size.

    Threads are mined with their texts, on this machine, so the counts are exact; nothing is written or registered.
    Without `out`, fits are made anew and no requests are counted for it. Raises as `export_dataset` does.
    """
    chosen = known_formats(formats)
    check_shares(validation, test)
    layout = known_layout(layout, chosen)
    chosen_rule, cleaning = known_rule(rule), as_cleaning(clean)
    sets = as_sets(decontaminate)
    power = Power(Means(workers, memory, engine, address).checked(), None)
    store = store if isinstance(store, Store) else Store(store)
    store.require()
    begun, begun_cpu = time.monotonic(), time.process_time()
    with TemporaryDirectory() as work, shared_lock(store.path, "counting what an export would give"):
        snapshot = store.snapshot(as_of)
        # Shares move threads between splits, which changes no count.
        selection, missing = selected(snapshot, chosen_rule, communities=communities, sites=sites, clean=cleaning)
        if sets is not None:
            selection = structs.replace(selection, decontaminate=sets.about)
            work_with(Path(work), sets.items)
        if margin:
            check_margin(chosen, chosen_rule, layout)
            selection = structs.replace(selection, margin=True)
        fitting, rows = power.ranges(snapshot)
        fit = None if out is None or refit or as_of is not None else earlier_fit(place_of(out), selection)
        jobs = [
            _Job(store.path, snapshot.version, number, part, selection, Path(work), tuple(chosen), layout)
            for number, part in enumerate(snapshot.ranges(rows, selection.within))
        ]
        more = near_steps(selection) + steps_of(selection.clean)
        step = Steps((STEPS + more + 1) * len(jobs), advance)
        threads = Threads(fitting)
        calibrate_ranges(jobs, engine=threads, advance=step, earlier=fit)
        find_near(jobs, engine=threads, advance=step)
        balance_ranges(jobs, trait_range, engine=threads, advance=step)
        parts = list(threads.run(_count, jobs, step))
    found = _together(snapshot.version, selection.rule, chosen, parts, missing)
    counting = time.monotonic() - begun, time.process_time() - begun_cpu
    found.work = _work(store, snapshot, found, parts, counting, (fitting, rows))
    if power.means.on_cluster:
        found.work.workers = power.means.workers or 1
        found.work.memory_bytes = found.work.workers * (power.means.memory or TASK_BYTES)
    if keep_dropped is not None:
        found.work.temporary_bytes += sum(map(snapshot.size_bytes, snapshot.versions))
    if out is not None and is_remote(out):
        tables = len(PARTS) if layout == COMPACT_LAYOUT else 1
        files = sum(max(len(SPLITS) * len(found.pairs), rows // FILE_LEAST) * tables for rows in found.rows.values())
        found.work.requests += _REQUESTS_AROUND_OUT + _REQUESTS_PER_OUT_FILE * files
    return found


def _work(
    store: Store,
    snapshot: Snapshot,
    found: Estimate,
    parts: Sequence[_Part],
    counting: tuple[float, float],
    fit: tuple[int, int],
) -> Work:
    """What the export would take: `counting` has the seconds and CPU seconds that counting took."""
    sample: Counter[str] = Counter()
    written_s: Counter[str] = Counter()
    for part in parts:
        sample.update({name: rows for name, (rows, _, _) in part.measured.items()})
        written_s.update(part.written_s)
    rest_s = sum(seconds * (found.rows[name] / max(sample[name], 1) - 1) for name, seconds in written_s.items())
    seconds, cpu_s = counting
    fitting, rows = fit
    workers = min(fitting, len(parts))
    files = sum(snapshot.files(name) for name in snapshot.versions)
    return Work(
        tasks=len(parts) + sum(-(-size // WINDOW_BYTES) for size in found.bytes.values()),
        workers=workers,
        memory_bytes=mining_bytes(snapshot, workers, min(rows, sum(map(snapshot.rows, snapshot.versions)))),
        temporary_bytes=sum(found.bytes.values()) + sum(map(snapshot.size_bytes, snapshot.versions)),
        cpu_s=cpu_s + rest_s,
        seconds=seconds + rest_s / workers,
        requests=_REQUESTS + len(parts) * (_REQUESTS_PER_RANGE + _REQUESTS_PER_FILE * files)
        if is_remote(store.path)
        else 0,
    )


def _count(job: _Job, advance: Advance) -> _Part:
    """Mine one range and count its rows."""
    snapshot, beyond = Store(job.store).snapshot(job.version), beyond_range(job)
    mined = mine_threads(snapshot, job.part, job.selection, load_calibration(job.work), beyond=beyond)
    threads = mined.threads
    posts, pairs = count_by_community(threads)
    rows: Counter[str] = Counter()
    measured, written_s = {}, {}
    for name in job.formats if threads.pairs.height else ():
        form = form_of(name, margin=bool(job.selection.margin))
        table, post_row = form.table(threads, job.selection.rule.name)
        rows[name] = table.num_rows
        begun = time.thread_time()
        measured[name] = _measured(form, table, post_row, job.layout)
        written_s[name] = time.thread_time() - begun
    advance(1)
    return _Part(mined.tally, posts, pairs, rows, measured, mined.comparable, written_s)


def _measured(form: Format, table: pa.Table, post_row: pl.Series, layout: str) -> tuple[int, int, int]:
    first = table.slice(0, _MEASURED_ROWS)
    if not first.num_rows:
        return 0, 0, 0
    size = joined_size = size_of(form, merged_table([first]))
    if layout == COMPACT_LAYOUT:
        parts = parts_of(form, first, post_row[: first.num_rows].to_numpy())
        size = sum(size_of(of_part, merged_table([part])) for of_part, part in parts)
    return first.num_rows, size, joined_size


def _together(version: str, rule: Rule, formats: Sequence[str], parts: Sequence[_Part], missing: str) -> Estimate:
    tally = Tally()
    posts: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for part in parts:
        tally.merge(part.tally)
        posts.update(part.posts)
        pairs.update(part.pairs)
        rows.update(part.rows)
    comparable = sum((part.comparable for part in parts), Comparable())
    if not pairs:
        raise nothing(tally, recommended_for(rule, 0, comparable))
    sizes, joined_sizes = {}, {}
    for name in formats:
        known = [part.measured[name] for part in parts if name in part.measured]
        of_rows, of_bytes, of_joined = (sum(column) for column in zip(*known, strict=True))
        sizes[name], joined_sizes[name] = (round(size * rows[name] / max(of_rows, 1)) for size in (of_bytes, of_joined))
    of_formats = {name: rows[name] for name in formats}
    advice = recommended_for(rule, before_cleaning(sum(pairs.values()), tally.dropped), comparable)
    return Estimate(
        version, rule.name, tally, dict(posts), dict(pairs), of_formats, sizes, joined_sizes, missing, advice
    )
