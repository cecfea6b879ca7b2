"""The two tasks of an export: mine one range into a piece, and write one format of one community and split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.engine import Advance, Step
from shp_miner.export.check import Balance, check_format, check_table, check_threads
from shp_miner.export.compact import part_of, write_compact
from shp_miner.export.facts import Facts, facts_of
from shp_miner.export.formats import FORMATS, Format
from shp_miner.export.pieces import Group, read_pieces, write_piece
from shp_miner.export.shards import Shard, write_shards
from shp_miner.mining.calibrate import MeasureJob, load_calibration
from shp_miner.mining.mine import Mined, Selection, Threads, joined_threads, mine_threads, part_bounds
from shp_miner.store import Store
from shp_miner.tally import Tally

#: Names of files of dropped rows: the number of the range.
_DROPPED = re.compile(r"[0-9]{6,}\.parquet")


class RangeJob(MeasureJob, frozen=True):
    """A range to mine: its calibration is in `work`, its piece is written there; `dropped` gets dropped rows."""

    dropped: Path | None


class RangeResult(Struct):
    """The result of mining a range, without its threads: counts, and the input's digest and newest time."""

    tally: Tally
    digest: int
    newest_us: int | None
    posts: dict[str, int]
    pairs: dict[str, int]
    platforms: set[str]
    licenses: set[str]


def mine_range(job: RangeJob, advance: Advance) -> RangeResult:
    """Mine one range, write its piece, and return the counts."""
    snapshot, keep_dropped = Store(job.store).snapshot(job.version), job.dropped is not None
    mined = mine_threads(snapshot, job.part, job.selection, load_calibration(job.work), keep_dropped=keep_dropped)
    write_piece(job.work, job.number, mined.threads)
    if job.dropped is not None:
        _write_dropped(job.dropped, job.number, mined)
    posts, answers = mined.threads.posts, mined.threads.answers
    licenses = (*posts["license"].drop_nulls().unique(), *answers["license"].drop_nulls().unique())
    result = RangeResult(
        mined.tally,
        mined.digest,
        mined.newest_us,
        *count_by_community(mined.threads),
        set(posts["platform"].unique()),
        set(licenses),
    )
    advance(Step(1, pairs=mined.threads.pairs.height))
    return result


def count_by_community(threads: Threads) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of posts and of pairs of each community."""
    posts = threads.posts["community"]
    pairs = posts[threads.answers["post_row"]][threads.pairs["winner"]]
    of_posts, of_pairs = (dict(names.value_counts().iter_rows()) for names in (posts, pairs))
    return of_posts, of_pairs


class WriteJob(Struct, frozen=True):
    """Some communities and splits of one format, to be written from the pieces under `work`."""

    format: str
    folder: Path
    work: Path
    pieces: int
    groups: list[Group]
    selection: Selection


class WriteResult(Struct):
    """The written files, and the counts of the whole format: for its checks, and for its card."""

    shards: list[Shard]
    balance: Balance
    facts: Facts


def write_groups(job: WriteJob, advance: Advance) -> WriteResult:
    """Write the shards of some communities and splits in one format, check every row and file, and return them."""
    form, balance, facts = FORMATS[job.format], Balance(), Facts()
    check_format(form)
    job.folder.mkdir(exist_ok=True)
    shards = []
    for group, tables in _tables(form, job, balance, facts):
        if job.selection.layout:
            shards += write_compact(job.folder, job.work, form, *group, tables)
        else:
            shards += write_shards(job.folder, form, *group, tables)
    for shard in shards:
        shard.check(job.folder, part_of(form, shard.part) if shard.part else form)
    advance(1)
    return WriteResult(shards, balance, facts)


def _tables(form: Format, job: WriteJob, balance: Balance, facts: Facts) -> Iterator[tuple[Group, Iterable[pa.Table]]]:
    """Yield each group with its rows in the order of the ranges.

    A large group has its own job and streams. Small groups are formatted together, because a thousand small tables take
    a thousand times as long as one.
    """

    def formatted(threads: Threads) -> tuple[pa.Table, pl.Series]:
        check_threads(threads, job.selection)
        table, post_row = form.table(threads, job.selection.rule.name)
        balance.add(check_table(form, table))
        facts.add(facts_of(form, threads, table, post_row))
        return table, post_row

    pieces = read_pieces(job.work, job.pieces, job.groups)
    if len(job.groups) == 1:
        yield job.groups[0], (formatted(threads)[0] for threads in pieces)
        return
    together = joined_threads(list(pieces))
    table, post_row = formatted(together)
    groups = part_bounds(together)
    stops = np.searchsorted(post_row.to_numpy(), groups["posts"].to_numpy())
    starts = (0, *stops[:-1])
    for community, split, start, stop in zip(groups["community"], groups["split"], starts, stops, strict=True):
        if start < stop:
            yield (community, split), [table.slice(start, stop - start)]


def is_of_dropped_rows(name: str) -> bool:
    """Return whether a file name is one of dropped rows; other files in the folder are not the export's."""
    return _DROPPED.fullmatch(name) is not None


def _write_dropped(folder: Path, number: int, mined: Mined) -> None:
    for kind, frame in mined.dropped.items():
        if frame.height:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            frame.write_parquet(folder / kind / f"{number:06d}.parquet", statistics=False)
