"""Calibrating the communities of a store: passes of tasks over ranges, between which counts and sums are merged.

The first pass counts delays, the second sums votes, and a few more find the slopes of pairs, step by step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import xxhash
from msgspec import Struct

from shp_miner.engine import Advance, Engine
from shp_miner.mining.kept_fits import keep_fits
from shp_miner.mining.mine import Selection, judge_threads
from shp_miner.paths import is_remote
from shp_miner.rules.calibrated import (
    Calibration,
    add_up,
    fit_communities,
    measure_answers,
    merge_sums,
    with_log_shares,
)
from shp_miner.rules.comparisons import (
    Comparisons,
    compare_answers,
    evaluate,
    fit_slopes,
    merge_evaluations,
)
from shp_miner.rules.delays import COMMUNITY, count_delays, log_shares, merge_delays
from shp_miner.store import HashRange, Store
from shp_miner.store.replacing import remove_tree, replace_file, sync_to_disk

_FITS, _SHARES = "fits.parquet", "shares.parquet"

#: What waits in the work folder between the passes: the measured answers of a range, the same with the shares of all
#: ranges, and their pairs. No task writes a file that it reads: it may run twice.
_MEASURED, _SHARED, _COMPARED = "measured", "shared", "compared"

#: Where a store keeps the values it has fitted, a folder for each, and how many: a kilobyte a community.
_KEPT_IN = "fits"
_KEPT = 32

#: Raised when the meaning of fitted values changes, so that none of an earlier version is taken for one of this.
_LAYOUT = 3

#: How often `calibrate_ranges` advances for each range.
STEPS = 3

#: The parameters of a rule on which the fit depends. Floors, caps and orders choose among pairs and do not.
FIT_PARAMETERS = (
    "keep_edited_posts",
    "keep_nsfw",
    "keep_link_posts",
    "keep_unreadable",
    "drop_staff",
    "since",
    "until",
    "max_chars",
    "min_score_age_s",
    "max_read_gap_s",
    "settled_age_s",
    "allow_unknown_age",
    "observe_at_s",
)


class MeasureJob(Struct, frozen=True):
    """A range of threads of a store's version, and the folder for intermediate results."""

    store: Path
    version: str
    number: int
    part: HashRange
    selection: Selection
    work: Path


def measure_range(job: MeasureJob, advance: Advance) -> pl.DataFrame:
    """Measure the answers of one range and find their pairs, into two files; return the counts of their delays."""
    judged = judge_threads(Store(job.store).snapshot(job.version), job.part, job.selection).answers
    measured = measure_answers(judged)
    pairs = compare_answers(judged, measured, job.selection.rule)
    places = {"winner": pairs.winner.astype(np.uint32), "loser": pairs.loser.astype(np.uint32)}
    write_rows(job, _COMPARED, pl.DataFrame(places))
    write_rows(job, _MEASURED, measured.drop("row"))
    advance(1)
    return count_delays(measured)


def add_up_range(job: MeasureJob, advance: Advance) -> pl.DataFrame:
    """Return the sums of one range, from the file of `measure_range` and the shares of all ranges.

    Another file gets the answers with the shares, without what the next passes do not need.
    """
    measured = with_log_shares(read_rows(job, _MEASURED), pl.read_parquet((job.work / _SHARES).read_bytes()))
    write_rows(job, _SHARED, measured.drop("log_votes", "cell", "likes", "readers"))
    advance(1)
    return add_up(measured)


class EvaluateJob(Struct, frozen=True):
    """A range whose pairs are evaluated at some slopes, a row for each community."""

    of: MeasureJob
    slopes: pl.DataFrame


def evaluate_range(job: EvaluateJob, _advance: Advance) -> pl.DataFrame:
    """Return the sums of one range's pairs at some slopes, from its files."""
    places = read_rows(job.of, _COMPARED).select(pl.all().cast(pl.Int64))
    pairs = Comparisons(places["winner"].to_numpy(), places["loser"].to_numpy())
    return evaluate(read_rows(job.of, _SHARED), pairs, job.slopes)


def calibrate_ranges(
    jobs: Sequence[MeasureJob], *, engine: Engine, advance: Advance, earlier: Calibration | None = None
) -> tuple[Calibration, pl.DataFrame]:
    """Return the calibration of all ranges together, and the drift of `keep_fits`, empty without an `earlier` one.

    Tasks read the calibration by `load_calibration` from the jobs' folder. Communities keep the fit that they have in
    `earlier`, unless it has drifted. Takes STEPS steps of `advance` for each job.
    """
    found = _fitted(jobs, engine, advance)
    found, drift = keep_fits(found, earlier or Calibration(found.fits.clear(), found.shares.clear()))
    _save(found, jobs[0].work)
    return found, drift


def _fitted(jobs: Sequence[MeasureJob], engine: Engine, advance: Advance) -> Calibration:
    """Return the calibration of the jobs' version of the store.

    A store keeps it for its version, so it is not computed twice, and an export of an earlier version has the values of
    that time.
    """
    work, kept = jobs[0].work, _kept(jobs[0])
    found = _remembered(kept)
    if found is not None:
        advance(STEPS * len(jobs))
        return found
    counts = list(engine.run(measure_range, jobs, advance))
    shares = log_shares(merge_delays(counts))
    replace_file(work / _SHARES, shares.write_parquet, durable=False)
    sums = list(engine.run(add_up_range, jobs, advance))
    _remove(jobs, _MEASURED)
    fits = fit_communities(merge_sums(sums))

    def evaluate_at(slopes: pl.DataFrame) -> pl.DataFrame:
        return merge_evaluations(list(engine.run(evaluate_range, [EvaluateJob(job, slopes) for job in jobs], advance)))

    slopes = fit_slopes(fits, evaluate_at)
    result = Calibration(fits.join(slopes, on=COMMUNITY, how="left", maintain_order="left"), shares)
    advance(len(jobs))
    _remove(jobs, _SHARED, _COMPARED)
    _keep(result, kept)
    return result


def same_fit(one: Selection, other: Selection) -> bool:
    """Return whether two selections of one store have the same fit: equal parameters and equal threads."""
    return one.within == other.within and all(
        getattr(one.rule, name) == getattr(other.rule, name) for name in FIT_PARAMETERS
    )


def load_calibration(folder: Path) -> Calibration:
    """Return the calibration stored in a folder."""
    return Calibration(*(pl.read_parquet((folder / name).read_bytes()) for name in (_FITS, _SHARES)))


def known_fits(job: MeasureJob) -> Calibration | None:
    """Return the calibration that the store keeps for the job's version, rule and part of the store, if it has one."""
    return _remembered(_kept(job))


def _remembered(kept: Path) -> Calibration | None:
    """What the store remembers. A file that the disk has damaged is as good as none, and goes: it can be made again."""
    if not kept.exists():
        return None
    try:
        return load_calibration(kept)
    except (OSError, pl.exceptions.PolarsError):
        remove_tree(kept)
        return None


def drop_fits(store: Path) -> None:
    """Delete the kept calibrations: they have names of communities, which may be somebody's own."""
    remove_tree(store / _KEPT_IN)


def _save(calibration: Calibration, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / _FITS, calibration.fits.write_parquet, durable=False)
    replace_file(folder / _SHARES, calibration.shares.write_parquet, durable=False)


def _keep(calibration: Calibration, kept: Path) -> None:
    """Let the store remember: whole or not at all, and not at all where it cannot be written to."""
    if is_remote(kept):
        _save(calibration, kept)  # each file is whole, and one without the other is as good as none
        names = {path.parent: path.stat().st_mtime for path in kept.parent.rglob("*")}
        for path in sorted(names, key=lambda path: (names[path], path.name))[:-_KEPT]:
            remove_tree(path)
        return
    new = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        _save(calibration, new)
        # Brought to the disk first: half a file under this name would be taken for the values.
        sync_to_disk(new / _FITS, new / _SHARES, new)
        new.rename(kept)  # refused where another export was first, with the same values
        oldest = sorted(kept.parent.iterdir(), key=lambda path: (path.stat().st_mtime, path.name))[:-_KEPT]
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        return
    for path in oldest:
        shutil.rmtree(path, ignore_errors=True)


def _kept(job: MeasureJob) -> Path:
    rule = {name: getattr(job.selection.rule, name) for name in FIT_PARAMETERS}
    key = msgspec.json.encode((_LAYOUT, job.version, rule, job.selection.within))
    return job.store / _KEPT_IN / xxhash.xxh3_128_hexdigest(key)


def _file(job: MeasureJob, name: str) -> Path:
    return job.work / f"{job.number:06d}-{name}.arrow"


def _remove(jobs: Sequence[MeasureJob], *names: str) -> None:
    """Delete files that no pass needs any more; a run that goes on after a killed one may lack them already."""
    for job in jobs:
        for name in names:
            _file(job, name).unlink(missing_ok=True)


def write_rows(job: MeasureJob, name: str, rows: pl.DataFrame) -> None:
    """Write rows of a job for later passes, whole or not at all."""
    replace_file(_file(job, name), partial(rows.write_ipc, compression="zstd"), durable=False)


def read_rows(job: MeasureJob, name: str) -> pl.DataFrame:
    """Return the rows that `write_rows` wrote."""
    # Not an open file, which polars panics about where reading fails.
    return pl.read_ipc(_file(job, name).read_bytes())
