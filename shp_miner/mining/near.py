"""Near-equal posts and answers of a whole selection, before it is mined: passes of tasks over ranges, files between.

1. Each range writes its posts and answers (`items`, with their words), their `sketches`, and in which buckets they are
   (`buckets`).
2. Each part of the buckets of all ranges writes which items are worth comparing (`meetings`): those that share a bucket
   and whose sketches do not rule it out. In made-up text of few words these are about one in a hundred.
3. Each part of the meetings compares the items' texts.
4. The near-equal items are settled in written order (`settle`), in memory: it grows with their number alone.

The result does not depend on ranges, parts or their order: items are compared and settled by time and ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.clean.cleaning import Near
from shp_miner.clean.clusters import ITEM, SETTLED, in_written_order, settle
from shp_miner.clean.grams import Rows, plain_words
from shp_miner.clean.near import (
    LEAST_ANSWER_CHARS,
    band_numbers,
    may_be_near,
    near_equal,
    pairs_in_buckets,
    sketches,
    text_numbers,
)
from shp_miner.engine import Advance, Engine
from shp_miner.mining.calibrate import MeasureJob
from shp_miner.mining.mine import Selection, judge_threads
from shp_miner.paths import is_remote
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.hashing import Hashes, answer_hashes, mix_bits, thread_splits
from shp_miner.store import HashRange, Snapshot, Store
from shp_miner.store.replacing import replace_file
from shp_miner.text.clean import clean_bodies, clean_titles

#: How often `find_near` advances for each range, if there is something to find.
_STEPS = 3

_ITEMS, _SKETCHES, _BUCKETS, _MEETINGS = "near-items", "near-sketches", "near-buckets", "near-meetings"
_SETTLED = "near-settled.parquet"

#: Rows of buckets, and meetings, that a task takes: some 100 bytes each, and two texts.
_BUCKET_ROWS, _COMPARED = 1_000_000, 20_000

#: Pairs whose sketches a task reads at a time: some 800 bytes each.
_SKETCHED = 100_000

#: Posts and answers are in different buckets.
_SALT = {"posts": np.uint64(0), "answers": mix_bits(np.array([1], np.uint64))[0]}

_WRITTEN = ("created_at", "tie")
_NUMBER_BITS = np.uint64(32)


def near_steps(selection: Selection) -> int:
    """Return how often `find_near` advances for each range."""
    return 0 if near_of(selection) == "keep" else _STEPS


def near_of(selection: Selection) -> Near:
    """Return what a selection does with near-equal items."""
    return selection.clean.near_duplicates if selection.clean else "keep"


def find_near(jobs: Sequence[MeasureJob], *, engine: Engine, advance: Advance) -> None:
    """Find and settle the near-equal items of all ranges; `load_near` reads the result from the jobs' folder.

    Takes `near_steps` steps of `advance` for each job. Does nothing where the selection keeps near-equal items.
    """
    near, work = near_of(jobs[0].selection), jobs[0].work
    if near == "keep":
        return
    if (work / _SETTLED).exists():  # by a run that was killed later
        advance(_STEPS * len(jobs))
        return
    rows = sum(engine.run(_sign_range, jobs, advance))
    numbers = tuple(job.number for job in jobs)
    parts = max(-(-rows // _BUCKET_ROWS), 1)
    edges = [(number << 64) // parts for number in range(parts + 1)]
    meeting = [_BucketJob(work, numbers, n, first, stop - 1) for n, (first, stop) in enumerate(pairwise(edges))]
    for _ in engine.run(_find_meetings, meeting, _count_later):
        pass
    advance(len(jobs))
    count = _join_meetings(work, parts)
    comparing = [_CompareJob(work, start, start + _COMPARED) for start in range(0, count, _COMPARED)]
    found = list(engine.run(_compare, comparing, _count_later))
    advance(len(jobs))
    settled = _settled(work, np.concatenate([np.empty((0, 2), np.uint64), *found]), near)
    replace_file(work / _SETTLED, settled.write_parquet, durable=False)
    # Not before: a run that goes on after a killed one takes the results of tasks, and needs their files.
    files = [_file(work, number, name) for number in numbers for name in (_ITEMS, _SKETCHES, _BUCKETS)]
    for path in (*files, *(_file(work, number, _MEETINGS) for number in range(parts)), work / _MEETINGS):
        path.unlink()


def _count_later(_count: int) -> None:
    """Parts and meetings are counted together: nobody knows beforehand how many there are."""


def load_near(folder: Path, part: HashRange) -> pl.DataFrame | None:
    """Return what `find_near` settled of a range (SETTLED); None where it was not asked for."""
    path = folder / _SETTLED
    return pl.read_parquet(path.read_bytes()).filter(part.holds()) if path.exists() else None


# -- tasks -----------------------------------------------------------------------------------------------------------


def _sign_range(job: MeasureJob, advance: Advance) -> int:
    """Write the items of one range and their buckets; return the number of rows of buckets."""
    snapshot = Store(job.store).snapshot(job.version)
    judged = judge_threads(snapshot, job.part, job.selection)
    frames = {
        "posts": _posts(snapshot, job.part, judged.posts),
        "answers": _answers(snapshot, job.part, judged.answers),
    }
    items, buckets, start = [], [], 0
    for kind, frame in frames.items():
        texts = text_numbers(frame["words"])
        numbers, rows = band_numbers(frame["words"])
        whole = pl.DataFrame({"bucket": mix_bits(texts ^ _SALT[kind]), "row": np.arange(len(texts)), "whole": True})
        bands = pl.DataFrame({"bucket": numbers ^ _SALT[kind], "row": rows, "whole": False}, schema=whole.schema)
        buckets.append(pl.concat([whole, bands]).with_columns(pl.col("row").cast(pl.UInt32) + start))
        shares = thread_splits(frame["thread_hash"].to_numpy(), job.selection.validation, job.selection.test)
        items.append(frame.with_columns(text=pl.Series(texts), split=pl.Series(shares, dtype=pl.UInt8)))
        start += frame.height
    written = pl.concat(buckets).sort("bucket")
    all_items = pl.concat(items)
    _write(all_items, _file(job.work, job.number, _ITEMS))
    _save(sketches(all_items["words"]), _file(job.work, job.number, _SKETCHES))
    _write(written, _file(job.work, job.number, _BUCKETS))
    advance(1)
    return written.height


def _posts(snapshot: Snapshot, part: HashRange, posts: pl.DataFrame) -> pl.DataFrame:
    """Every post that can be read, eligible or not: scores must not move threads."""
    live = snapshot.bodies("posts", part, posts.filter(pl.col("state") == "live"))
    titles, bodies = (clean(live[name], live["body_format"]) for clean, name in _POST_TEXTS)
    words = plain_words(titles + "\n" + bodies)
    return _items(live, words, pl.lit(None, pl.String), pl.col("thread_hash"))


_POST_TEXTS = ((clean_titles, "title"), (clean_bodies, "body"))


def _answers(snapshot: Snapshot, part: HashRange, answers: pl.DataFrame) -> pl.DataFrame:
    eligible = snapshot.bodies("answers", part, answers.filter(pl.col(REASON).is_null()))
    texts = clean_bodies(eligible["body"], eligible["body_format"])
    long_enough = texts.str.len_chars() >= LEAST_ANSWER_CHARS
    eligible, words = eligible.filter(long_enough), plain_words(texts.filter(long_enough))
    return _items(eligible, words, pl.col("answer_id"), pl.Series(answer_hashes(eligible).view(np.int64)))


def _items(frame: pl.DataFrame, words: pl.Series, answer_id: pl.Expr, tie: pl.Expr | pl.Series) -> pl.DataFrame:
    return frame.select(
        *ITEM[:3],
        answer_id.alias(ITEM[3]),
        pl.col("created_at").to_physical(),
        pl.lit(tie).alias("tie") if isinstance(tie, pl.Series) else tie.alias("tie"),
        pl.col(REASON).is_null().alias("eligible"),
        words.alias("words"),
    ).filter(pl.col("words") != "")


class _BucketJob(Struct, frozen=True):
    """Buckets from `first` to `last`, of the ranges with these numbers."""

    work: Path
    ranges: tuple[int, ...]
    number: int
    first: int
    last: int


def _find_meetings(job: _BucketJob, _advance: Advance) -> None:
    """Write which items meet in these buckets, by their numbers."""
    rows = _repeated(pl.concat([_bucket_rows(job, number) for number in job.ranges]).rechunk()).sort("item")
    if rows.is_empty():
        _save(np.empty((0, 2), np.uint64), _file(job.work, job.number, _MEETINGS))
        return
    about = _of_items(job.work, rows["item"].to_numpy(), (*_WRITTEN, "text"))
    rows = pl.concat([rows, about], how="horizontal").sort(*_WRITTEN, "item")
    # The earliest of equal texts stands for all of them; the others meet it alone.
    equal = rows.filter("whole").select(pl.col("item").first().over("bucket").alias("earliest"), "item")
    of_bands = rows.filter(~pl.col("whole")).unique(["bucket", "text"], keep="first", maintain_order=True)
    items = of_bands["item"].to_numpy()
    first, second = pairs_in_buckets(of_bands["bucket"].to_numpy(), np.arange(len(items)))
    found = [
        _possible(job.work, np.column_stack([items[first], items[second]])),
        equal.filter(pl.col("earliest") != pl.col("item")).to_numpy(),
    ]
    _save(np.unique(np.concatenate(found), axis=0), _file(job.work, job.number, _MEETINGS))


def _bucket_rows(job: _BucketJob, number: int) -> pl.DataFrame:
    with _mapped(_file(job.work, number, _BUCKETS)) as source:
        table = pa.ipc.open_file(source).read_all()
        buckets = table["bucket"].combine_chunks().to_numpy()
        start = int(np.searchsorted(buckets, np.uint64(job.first), "left"))
        stop = int(np.searchsorted(buckets, np.uint64(job.last), "right"))
        frame = pl.DataFrame(
            {name: np.array(table[name].slice(start, stop - start)) for name in table.column_names}
        )  # copied out of the mapped memory
    return frame.select("bucket", "whole", item=pl.col("row").cast(pl.UInt64) + (number << int(_NUMBER_BITS)))


def _repeated(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose bucket has other rows. Most have none: numbers of MinHash are rarely shared."""
    buckets = rows["bucket"].to_numpy()
    order = np.argsort(buckets, kind="stable")  # merges the sorted parts
    is_same = np.diff(buckets[order]) == 0
    return rows.select(pl.all().gather(order[np.append(is_same, False) | np.append(False, is_same)]))


def _possible(work: Path, pairs: Rows) -> Rows:
    """Return the pairs of items that can be near-equal by their sketches."""
    possible = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _SKETCHED):
        part = slice(start, start + _SKETCHED)
        first, second = (_sketches_of(work, side) for side in pairs[part].T)
        possible[part] = may_be_near(first, second)
    return pairs[possible]


class _CompareJob(Struct, frozen=True):
    """Meetings to look at: from row `start` up to but not including `stop` of those of all parts."""

    work: Path
    start: int
    stop: int


def _compare(job: _CompareJob, _advance: Advance) -> Rows:
    """Return the pairs of items whose texts are near-equal."""
    meetings: Rows = np.array(_array_in(job.work / _MEETINGS)[job.start : job.stop])
    items, places = np.unique(meetings, return_inverse=True)
    words = _of_items(job.work, items, ("words",))["words"]
    first, second = places.reshape(-1, 2).T
    return meetings[near_equal(words, first, second)]


def _settled(work: Path, pairs: Rows, near: Near) -> pl.DataFrame:
    if not len(pairs):
        return pl.DataFrame(schema=SETTLED)
    numbers = np.unique(pairs)
    columns = (*ITEM, *_WRITTEN, "text", "split", "eligible")
    items = _of_items(work, numbers, columns).with_columns(number=pl.Series(numbers))
    items = in_written_order(items)
    place = np.argsort(items["number"].to_numpy())  # of the numbers in their order
    first, second = place[np.searchsorted(numbers, pairs)].T
    return settle(items, first, second, near)


# -- files -----------------------------------------------------------------------------------------------------------


def _of_items(work: Path, items: Rows, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of the items with these numbers, which are in order."""
    ranges, rows = _places(items)
    return pl.concat(_take(work, int(number), rows[ranges == number], columns) for number in np.unique(ranges))


def _take(work: Path, number: int, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
    with _mapped(_file(work, number, _ITEMS)) as source:
        table = pa.ipc.open_file(source).read_all().select(list(columns))
        return pl.DataFrame(table.take(rows))


def _sketches_of(work: Path, items: Rows) -> Hashes:
    numbers, places = _places(items)
    found: Hashes | None = None
    for number in np.unique(numbers):
        of_range, here = _array_in(_file(work, int(number), _SKETCHES)), numbers == number
        if found is None:
            found = np.empty((len(items), of_range.shape[1]), np.uint64)
        found[here] = of_range[places[here]]
    assert found is not None
    return found


def _places(items: Rows) -> tuple[Rows, Rows]:
    """The range of each item, and its row there."""
    return (items >> _NUMBER_BITS).astype(np.int64), (items & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _mapped(path: Path) -> pa.NativeFile:
    return pa.BufferReader(path.read_bytes()) if is_remote(path) else pa.memory_map(str(path))


def _array_in(path: Path) -> Rows | Hashes:
    array: Rows = np.load(BytesIO(path.read_bytes())) if is_remote(path) else np.load(path, mmap_mode="r")
    return array


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame = frame.rechunk()
    write = partial(frame.write_ipc, compat_level=pl.CompatLevel.oldest(), record_batch_size=max(frame.height, 1))
    replace_file(path, write, durable=False)


def _join_meetings(work: Path, parts: int) -> int:
    """Join the meetings of all parts into one file, each once, and return their number."""
    meetings = np.unique(np.concatenate([_array_in(_file(work, n, _MEETINGS)) for n in range(parts)]), axis=0)
    _save(meetings, work / _MEETINGS)
    return len(meetings)


def _save(array: Rows | Hashes, path: Path) -> None:
    replace_file(path, lambda file: np.save(file, array), durable=False)


def _file(work: Path, number: int, name: str) -> Path:
    return work / f"{number:06d}-{name}"
