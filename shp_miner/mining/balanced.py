"""Quotas of a cleaning that balances over all pairs: every range is mined once for the traits of its pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

import polars as pl
from msgspec import UnsetType, structs

from shp_miner.clean.balance import (
    PLACE,
    Quotas,
    by_author,
    community_cap,
    length_counts,
    length_shares,
    limits,
    lowest,
    needs_all,
)
from shp_miner.clean.cleaning import Cleaning
from shp_miner.engine import Advance, Engine
from shp_miner.mining.calibrate import MeasureJob, load_calibration, read_rows, write_rows
from shp_miner.mining.mine import Beyond, mine_threads
from shp_miner.rules.eligibility import REASON
from shp_miner.store import Store

#: What waits in the work folder: the traits of each range, and of the first the quotas of all.
_TRAITS, _QUOTAS = "traits", "quotas-"


def balance_ranges(
    jobs: Sequence[MeasureJob], task: Callable[[MeasureJob, Advance], None], *, engine: Engine, advance: Advance
) -> None:
    """Find the quotas of all ranges together, for `load_quotas`; does nothing where the cleaning needs none.

    `task` calls `write_traits` with what is known beyond a range. Takes a step of `advance` for each job where it
    mines. Memory grows with the authors, 8 bytes for each pair within their caps, and not with the pairs.
    """
    clean = jobs[0].selection.clean
    if not clean or not needs_all(clean):
        return
    list(engine.run(task, jobs, advance))
    quotas = _found(jobs, clean)
    for one in fields(Quotas):
        write_rows(jobs[0], _QUOTAS + one.name, getattr(quotas, one.name))


def steps_of(clean: Cleaning | UnsetType) -> int:
    """Return how many steps `balance_ranges` takes for each job."""
    return int(needs_all(clean)) if clean else 0


def load_quotas(job: MeasureJob) -> Quotas | None:
    """Return the quotas of a job's cleaning; None where it needs none."""
    clean = job.selection.clean
    if not clean or not needs_all(clean):
        return None
    first = structs.replace(job, number=0)
    return Quotas(**{one.name: read_rows(first, _QUOTAS + one.name) for one in fields(Quotas)})


def write_traits(job: MeasureJob, beyond: Beyond) -> None:
    """Mine one range, and write the traits of its pairs into a file."""
    snapshot, calibration = Store(job.store).snapshot(job.version), load_calibration(job.work)
    mined = mine_threads(snapshot, job.part, job.selection, calibration, beyond=beyond)
    assert mined.traits is not None
    write_rows(job, _TRAITS, mined.traits)


def _found(jobs: Sequence[MeasureJob], clean: Cleaning) -> Quotas:
    """The quotas, one after the other: each counts only the pairs that those before it leave."""
    quotas = Quotas()
    if clean.match_lengths:
        quotas.shares = length_shares([length_counts(part) for part in _left(jobs, quotas)])
    if (most := clean.max_pairs_per_author) is not None:
        found = _lowest(map(by_author, _left(jobs, quotas)), ("author",), most)
        quotas.authors = limits(found, ("author",), most)
    if (most := community_cap(_community_pairs(jobs, quotas), clean)) is not None:
        parts = (part.select(*PLACE, "key") for part in _left(jobs, quotas))
        quotas.communities = limits(_lowest(parts, PLACE, most), PLACE, most)
    return quotas


def _community_pairs(jobs: Sequence[MeasureJob], quotas: Quotas) -> list[int]:
    counts = pl.concat(part.group_by(*PLACE).agg(pl.len().alias("pairs")) for part in _left(jobs, quotas))
    return counts.group_by(*PLACE).agg(pl.col("pairs").sum())["pairs"].to_list()


def _left(jobs: Sequence[MeasureJob], quotas: Quotas) -> Iterator[pl.DataFrame]:
    for job in jobs:
        found = read_rows(job, _TRAITS)
        yield found.filter(quotas.reasons(found).alias(REASON).is_null())


def _lowest(parts: Iterator[pl.DataFrame], owner: tuple[str, ...], most: int) -> pl.DataFrame:
    found = lowest([next(parts)], owner, most)
    for part in parts:
        found = lowest([found, part], owner, most)
    return found
