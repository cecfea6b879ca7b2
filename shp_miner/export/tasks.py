"""The two tasks of an export: mine one range into a piece, and write one format of one community and split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from msgspec import Struct

from shp_miner.export.check import Balance, check_format, check_table, check_threads
from shp_miner.export.formats import FORMATS, Format
from shp_miner.export.pieces import Pieces, write_piece
from shp_miner.export.shards import Shard, write_shards
from shp_miner.mine import Mined, Selection, mine
from shp_miner.store import HashRange, Store
from shp_miner.tally import Tally

Advance = Callable[[int], None]


class RangeJob(Struct, frozen=True):
    """A range of threads of a store's version, and where its piece goes."""

    store: Path
    version: str
    number: int
    part: HashRange
    selection: Selection
    work: Path
    dropped: Path | None


class RangeResult(Struct):
    """What mining a range gave, but for its threads: counts, and the digest and newest time of what was read."""

    tally: Tally
    digest: int
    newest_us: int | None
    posts: dict[str, int]
    pairs: dict[str, int]
    platforms: set[str]
    licenses: set[str]


def mine_range(job: RangeJob, advance: Advance) -> RangeResult:
    """Mine one range and write its piece."""
    mined = mine(Store(job.store).snapshot(job.version), job.part, job.selection)
    write_piece(job.work, job.number, mined)
    if job.dropped is not None:
        _write_dropped(job.dropped, job.number, mined)
    posts, answers, pairs = mined.threads.posts, mined.threads.answers, mined.threads.pairs
    of_pair = posts["community"][answers["post_row"]][pairs["winner"]]
    licenses = (*posts["license"].drop_nulls().unique(), *answers["license"].drop_nulls().unique())
    result = RangeResult(
        mined.tally,
        mined.digest,
        mined.newest_us,
        dict(posts["community"].value_counts().iter_rows()),
        dict(of_pair.value_counts().iter_rows()),
        set(posts["platform"].unique()),
        set(licenses),
    )
    advance(1)
    return result


class GroupJob(Struct, frozen=True):
    """One format of one community and split, to be written from the pieces under `work`."""

    format: str
    folder: Path
    work: Path
    pieces: int
    community: str
    split: str
    selection: Selection


class GroupResult(Struct):
    """The files written, and what the checks over the whole format need to know."""

    shards: list[Shard]
    balance: Balance


def write_group(job: GroupJob, advance: Advance) -> GroupResult:
    """Write the shards of one format, community and split, checking every row."""
    form, balance = FORMATS[job.format], Balance()
    check_format(form)
    job.folder.mkdir(exist_ok=True)
    pieces = Pieces(job.work, job.pieces)

    def tables() -> Iterator[pa.Table]:
        for threads in pieces.threads(job.community, job.split):
            check_threads(threads, job.split, job.selection)
            table = form.table(threads, job.selection.rule.name)
            balance.add(check_table(form, table))
            yield table

    shards = write_shards(job.folder, form, job.community, job.split, tables())
    advance(1)
    return GroupResult(shards, balance)


def check_files(form: Format, folder: Path, groups: Sequence[GroupResult], tally: Tally) -> None:
    """The checks over a whole format."""
    balance = Balance()
    for group in groups:
        balance.add(group.balance)
    balance.check(form, tally)
    for group in groups:
        for shard in group.shards:
            shard.check(folder, form)


def _write_dropped(folder: Path, number: int, mined: Mined) -> None:
    for kind, frame in mined.dropped.items():
        if frame.height:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            frame.write_parquet(folder / kind / f"{number:06d}.parquet", statistics=False)
