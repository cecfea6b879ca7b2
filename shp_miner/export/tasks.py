"""The two tasks of an export: mine one range into a piece, and write one format of one community and split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import polars as pl
from msgspec import Struct, field

from shp_miner.engine import Advance, Step
from shp_miner.export.check import Balance, check_format, check_table, check_threads
from shp_miner.export.compact import PAIRS, form_of_file, write_compact, write_part
from shp_miner.export.cuts import Rows, rows_by_group, thread_names
from shp_miner.export.dropped import write_dropped
from shp_miner.export.facts import Facts, facts_of
from shp_miner.export.formats import Format
from shp_miner.export.margins import form_of
from shp_miner.export.pieces import Window, read_windows, write_piece
from shp_miner.export.screens import load_screen
from shp_miner.export.shards import Shard, write_shards
from shp_miner.mining.balanced import load_quotas, write_traits
from shp_miner.mining.calibrate import MeasureJob, load_calibration
from shp_miner.mining.mine import Beyond, Selection, Threads, mine_threads
from shp_miner.mining.near import load_near
from shp_miner.rules.arrival import Arrival
from shp_miner.rules.recommended import Comparable
from shp_miner.store import Store
from shp_miner.store.snapshot import EVERYTHING
from shp_miner.tally import Tally


class RangeJob(MeasureJob, frozen=True):
    """A range to mine: its calibration is in `work`; its piece is written there, and what it drops if that is kept."""

    keep_dropped: bool


class RangeResult(Struct):
    """The result of mining a range, without its threads: counts, the input's digest and newest time, arrivals."""

    tally: Tally
    digest: int
    newest_us: int | None
    posts: dict[str, int]
    pairs: dict[str, int]
    answers: int
    platforms: set[str]
    licenses: set[str]
    comparable: Comparable
    arrival: Arrival = field(default_factory=Arrival)


def mine_range(job: RangeJob, advance: Advance) -> RangeResult:
    """Mine one range, write its piece, and return the counts."""
    snapshot = Store(job.store).snapshot(job.version)
    mined = mine_threads(
        snapshot,
        job.part,
        job.selection,
        load_calibration(job.work),
        keep_dropped=job.keep_dropped,
        beyond=beyond_range(job),
    )
    write_piece(job.work, job.number, mined.threads)
    write_dropped(job.work, job.number, mined.dropped)
    posts, answers = mined.threads.posts, mined.threads.answers
    licenses = (*posts["license"].drop_nulls().unique(), *answers["license"].drop_nulls().unique())
    result = RangeResult(
        mined.tally,
        mined.digest,
        mined.newest_us,
        *count_by_community(mined.threads),
        answers.height,
        set(posts["platform"].unique()),
        set(licenses),
        mined.comparable,
        mined.arrival,
    )
    advance(Step(1, pairs=mined.threads.pairs.height))
    return result


def sum_ranges(results: Iterable[RangeResult]) -> RangeResult:
    """Return the sums over all ranges; they do not depend on the order or number of ranges."""
    out = RangeResult(Tally(), 0, None, {}, {}, 0, set(), set(), Comparable())
    for result in results:
        out.tally.merge(result.tally)
        out.digest = (out.digest + result.digest) % (1 << 64)
        out.newest_us = max((t for t in (out.newest_us, result.newest_us) if t is not None), default=None)
        out.answers += result.answers
        out.platforms |= result.platforms
        out.licenses |= result.licenses
        out.comparable += result.comparable
        out.arrival.merge(result.arrival)
        for mine, theirs in ((out.posts, result.posts), (out.pairs, result.pairs)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
    return out


def trait_range(job: MeasureJob, advance: Advance) -> None:
    """Mine one range for the traits of its pairs, by which quotas are found."""
    write_traits(job, beyond_range(job, balanced=False))
    advance(1)


def beyond_range(job: MeasureJob, *, balanced: bool = True) -> Beyond:
    """Return what the work folder says of more than one range; its quotas are found last."""
    near, screen = load_near(job.work, job.part), load_screen(job.work, job.selection.decontaminate)
    return Beyond(near, screen, load_quotas(job) if balanced else None)


def count_by_community(threads: Threads) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of posts and of pairs of each community."""
    posts = threads.posts["community"]
    pairs = posts[threads.answers["post_row"]][threads.pairs["winner"]]
    of_posts, of_pairs = (dict(names.value_counts().iter_rows()) for names in (posts, pairs))
    return of_posts, of_pairs


class WriteJob(Struct, frozen=True):
    """Adjacent windows of whole communities and splits, to be written in one format from the pieces under `work`.

    `sampled` is the share of the answers that are read for their language. Of one large community and split, the job is
    the threads from the one named `first` up to but not including `until`; "" is the first and the end. In the compact
    layout it is one table (`part`) of them, and `numbers` are the posts and the answers of the threads before.
    """

    format: str
    folder: Path
    work: Path
    pieces: int
    windows: list[Window]
    selection: Selection
    sampled: float
    first: str = ""
    until: str = ""
    part: str = ""
    numbers: tuple[int, int] = (0, 0)


class WriteResult(Struct):
    """The written files, and the counts of the whole format: for its checks, and for its card."""

    shards: list[Shard]
    balance: Balance
    facts: Facts


def write_groups(job: WriteJob, advance: Advance) -> WriteResult:
    """Write the shards of the communities and splits of a job, check every row and file, and return them."""
    form, balance, facts = form_of(job.format, margin=bool(job.selection.margin)), Balance(), Facts()
    check_format(form)
    job.folder.mkdir(exist_ok=True)
    shards = []
    # One community and split after the other, whole; a large one comes in several windows.
    for (community, split), found in groupby(_tables(form, job, balance, facts), key=itemgetter(0)):
        parts = (rows for _, rows in found)
        if job.part:
            shards += write_part(job.folder, form, (community, split), parts, job.part, job.numbers)
        elif job.selection.layout:
            shards += write_compact(job.folder, job.work, form, community, split, parts)
        else:
            shards += write_shards(job.folder, form, community, split, parts)
    for shard in shards:
        shard.check(job.folder, form_of_file(form, shard))
    advance(1)
    return WriteResult(shards, balance, facts)


def _tables(form: Format, job: WriteJob, balance: Balance, facts: Facts) -> Iterator[tuple[tuple[str, str], Rows]]:
    """Yield the rows of each community and split, checked, in the order of an export.

    What is in one window is formatted together, because a thousand small tables take a thousand times as long as one.
    """
    near = load_near(job.work, EVERYTHING)
    for window, read in zip(job.windows, read_windows(job.work, job.pieces, job.windows), strict=True):
        first = job.first if window == job.windows[0] else ""
        threads = threads_between(read, first, job.until if window == job.windows[-1] else "")
        if threads.posts.is_empty():
            continue
        check_threads(threads, job.selection, near)
        table, post_row = form.table(threads, job.selection.rule.name)
        if job.part in ("", PAIRS):  # the other tables of the same rows
            balance.add(check_table(form, table))
            facts.add(facts_of(form, threads, table, post_row, job.sampled))
        yield from rows_by_group(form, threads, table, post_row)


def threads_between(threads: Threads, first: str, until: str) -> Threads:
    """Return the threads from the one named `first` up to but not including `until`; "" is the first and the end."""
    if not (first or until):
        return threads
    names = thread_names(threads.posts)
    start, stop = names.index(first) if first else 0, names.index(until) if until else len(names)
    rows = threads.answers["post_row"]
    answers = slice(*(int(rows.search_sorted(row, "left")) for row in (start, stop)))
    of_pairs = rows.gather(threads.pairs["winner"])
    pairs = slice(*(int(of_pairs.search_sorted(row, "left")) for row in (start, stop)))
    return Threads(
        threads.posts[start:stop],
        threads.answers[answers].with_columns(pl.col("post_row") - start),
        threads.pairs[pairs].with_columns(pl.col("winner", "loser") - answers.start),
    )
