"""Near-equal posts and answers of a whole selection, before it is mined: passes of tasks over ranges, files between.

1. Each range writes its posts and answers (`items`, with their words), and in which buckets they are (`buckets`).
2. Each part of the buckets of all ranges writes which items share a bucket (`shared`): in real text one pair in a
   million does, in made-up text of few words most items.
3. Each range writes `sketches` of its items that do.
4. Each part writes which of its pairs are worth comparing (`meetings`): those that no sketch rules out.
5. Each part of the meetings compares the items' texts.
6. The near-equal items are settled in written order (`settle`), in memory: it grows with their number alone.

The result does not depend on ranges, parts or their order: items are compared and settled by time and ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.clean.buckets import band_numbers, pairs_in_buckets, text_numbers
from shp_miner.clean.cleaning import Near
from shp_miner.clean.clusters import ITEM, SETTLED, in_written_order, settle
from shp_miner.clean.grams import Rows, plain_words
from shp_miner.clean.near import LEAST_ANSWER_CHARS, SKETCH, may_be_near, near_equal, sketches
from shp_miner.engine import Advance, Engine
from shp_miner.mining.calibrate import MeasureJob
from shp_miner.mining.mine import Selection, judge_threads
from shp_miner.paths import is_remote
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.hashing import Hashes, answer_hashes, mix_bits, thread_splits
from shp_miner.store import HashRange, Snapshot, Store
from shp_miner.store.replacing import replace_file
from shp_miner.text.clean import clean_titles
from shp_miner.text.compared import compared_texts

#: How often `find_near` advances for each range, if there is something to find.
_STEPS = 3

_ITEMS, _BUCKETS, _SHARED, _SKETCHES, _MEETINGS = (
    "near-items", "near-buckets", "near-shared", "near-sketches", "near-meetings"
)  # fmt: skip
_SETTLED = "near-settled.parquet"

#: Rows of buckets, and meetings, that a task takes: some 100 bytes each, and two texts.
_BUCKET_ROWS, _COMPARED = 1_000_000, 20_000

#: Pairs whose sketches a task reads at a time: some 1,000 bytes each.
_SKETCHED = 100_000

#: A row of buckets is one number: the upper bits of its bucket, the row of the item in its range, and whether the
#: bucket is one of equal texts. Buckets that share their upper bits cost a comparison.
_IN_RANGE_BITS, _WHOLE = np.uint64(28), np.uint64(1)

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
    sharing = [_PartJob(work, numbers, parts, part) for part in range(parts)]
    sketching = [_SketchJob(work, number, parts) for number in numbers]
    _finish(engine.run(_find_shared, sharing, _count_later))
    _finish(engine.run(_sketch_items, sketching, _count_later))
    _finish(engine.run(_find_meetings, sharing, _count_later))
    advance(len(jobs))
    count = _join_meetings(work, parts)
    comparing = [_CompareJob(work, start, start + _COMPARED) for start in range(0, count, _COMPARED)]
    found = list(engine.run(_compare, comparing, _count_later))
    advance(len(jobs))
    settled = _settled(work, np.concatenate([np.empty((0, 2), np.uint64), *found]), near)
    replace_file(work / _SETTLED, settled.write_parquet, durable=False)
    # Not before: a run that goes on after a killed one takes the results of tasks, and needs their files.
    of_ranges = [_file(work, number, name) for number in numbers for name in (_ITEMS, _BUCKETS, _SKETCHES)]
    of_parts = [_file(work, part, name) for part in range(parts) for name in (_SHARED, _MEETINGS)]
    for path in (*of_ranges, *of_parts, work / _MEETINGS):
        path.unlink()


def _finish(results: Iterable[None]) -> None:
    for _ in results:
        pass


def _count_later(_count: int) -> None:
    """Parts and meetings are counted together: nobody knows beforehand how many there are."""


def load_near(folder: Path, part: HashRange) -> pl.DataFrame | None:
    """Return what `find_near` settled of a range (SETTLED); None where it was not asked for."""
    try:
        settled = (folder / _SETTLED).read_bytes()
    except FileNotFoundError:
        return None
    return pl.read_parquet(settled).filter(part.holds())


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
        buckets.append(_keys(mix_bits(texts ^ _SALT[kind]), np.arange(start, start + len(texts))) | _WHOLE)
        buckets.append(_keys(numbers ^ _SALT[kind], rows + start))
        shares = thread_splits(frame["thread_hash"].to_numpy(), job.selection.validation, job.selection.test)
        items.append(frame.with_columns(text=pl.Series(texts), split=pl.Series(shares, dtype=pl.UInt8)))
        start += frame.height
    written = np.concatenate(buckets)
    written.sort()
    _write(pl.concat(items), _file(job.work, job.number, _ITEMS))
    _save(written, _file(job.work, job.number, _BUCKETS))
    advance(1)
    return len(written)


def _keys(buckets: Hashes, rows: Rows) -> Hashes:
    return buckets >> _IN_RANGE_BITS << _IN_RANGE_BITS | rows.astype(np.uint64) << _WHOLE


def _posts(snapshot: Snapshot, part: HashRange, posts: pl.DataFrame) -> pl.DataFrame:
    """Every post that can be read, eligible or not: scores must not move threads."""
    live = snapshot.bodies("posts", part, posts.filter(pl.col("state") == "live"))
    titles = clean_titles(live["title"], live["body_format"])
    words = plain_words(titles + "\n" + compared_texts(live["body"], live["body_format"]))
    return _items(live, words, pl.lit(None, pl.String), pl.col("thread_hash"))


def _answers(snapshot: Snapshot, part: HashRange, answers: pl.DataFrame) -> pl.DataFrame:
    eligible = snapshot.bodies("answers", part, answers.filter(pl.col(REASON).is_null()))
    texts = compared_texts(eligible["body"], eligible["body_format"])
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


class _PartJob(Struct, frozen=True):
    """One of several parts of the buckets, of the ranges with these numbers."""

    work: Path
    ranges: tuple[int, ...]
    parts: int
    number: int

    def rows(self, buckets: Hashes) -> slice:
        """Return where the rows of this part are."""
        return slice(self._start(buckets, self.number), self._start(buckets, self.number + 1))

    def _start(self, buckets: Hashes, part: int) -> int:
        if part == self.parts:
            return len(buckets)
        upper = (part << (64 - int(_IN_RANGE_BITS))) // self.parts
        return int(np.searchsorted(buckets, np.uint64(upper) << _IN_RANGE_BITS))


def _find_shared(job: _PartJob, _advance: Advance) -> None:
    """Write which items share one of these buckets, by their numbers: pairs whose texts differ, and of equal ones."""
    rows = _repeated(job).sort("item")
    if rows.is_empty():
        _save(np.empty((0, 2), np.uint64), _file(job.work, job.number, _SHARED))
        return
    about = _of_items(job.work, rows["item"].to_numpy(), (*_WRITTEN, "text"))
    rows = pl.concat([rows, about], how="horizontal").sort(*_WRITTEN, "item")
    # The earliest of equal texts stands for all of them; the others meet it alone.
    equal = rows.filter("whole").select(pl.col("item").first().over("text").alias("earliest"), "item")
    of_bands = rows.filter(~pl.col("whole")).unique(["bucket", "text"], keep="first", maintain_order=True)
    items = of_bands["item"].to_numpy()
    first, second = pairs_in_buckets(of_bands["bucket"].to_numpy(), np.arange(len(items)))
    found = [
        np.column_stack([items[first], items[second]]),
        equal.filter(pl.col("earliest") != pl.col("item")).to_numpy(),
    ]
    _save(np.concatenate(found), _file(job.work, job.number, _SHARED))


def _repeated(job: _PartJob) -> pl.DataFrame:
    """Return the rows of a part whose bucket has other rows. Most have none: numbers of MinHash are rarely shared."""
    keys, items = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number in job.ranges:
        buckets = _array_in(_file(job.work, number, _BUCKETS))
        keys.append(np.array(buckets[job.rows(buckets)]))
        items.append(
            (keys[-1] << (64 - _IN_RANGE_BITS) >> (64 - _IN_RANGE_BITS + _WHOLE)) | np.uint64(number) << _NUMBER_BITS
        )
    key, item = np.concatenate(keys), np.concatenate(items)
    bucket = key >> _IN_RANGE_BITS
    # One number, bucket and place, sorts many times as fast as buckets with their places.
    placed = bucket << _IN_RANGE_BITS | np.arange(len(key), dtype=np.uint64)
    placed.sort()
    is_same = np.diff(placed >> _IN_RANGE_BITS) == 0
    place = placed[np.append(is_same, False) | np.append(False, is_same)][: len(key)]
    place = _lower_bits(place)
    return pl.DataFrame({"bucket": bucket[place], "whole": (key[place] & _WHOLE) == 1, "item": item[place]})


def _lower_bits(keys: Hashes) -> Hashes:
    return keys & ((np.uint64(1) << _IN_RANGE_BITS) - np.uint64(1))


class _SketchJob(Struct, frozen=True):
    """A range whose items are to be sketched that share a bucket with others, as all parts say."""

    work: Path
    number: int
    parts: int


def _sketch_items(job: _SketchJob, _advance: Advance) -> None:
    """Write the sketches of the items of a range that may be compared, each behind the row of its item."""
    rows = [np.empty(0, np.int64)]
    for part in range(job.parts):
        ranges, of_range = _places(_array_in(_file(job.work, part, _SHARED)))
        rows.append(np.unique(of_range[ranges == job.number]))
    chosen = np.unique(np.concatenate(rows))
    words = _take(job.work, job.number, chosen, ("words",))["words"]
    _save(np.column_stack([chosen.astype(np.uint64), sketches(words)]), _file(job.work, job.number, _SKETCHES))


def _find_meetings(job: _PartJob, _advance: Advance) -> None:
    """Write the pairs of items of a part that can be near-equal by their sketches, each once."""
    pairs = _array_in(_file(job.work, job.number, _SHARED))
    possible = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _SKETCHED):
        part = slice(start, start + _SKETCHED)
        first, second = (_sketches_of(job.work, side) for side in np.array(pairs[part]).T)
        possible[part] = may_be_near(first, second)
    _save(np.unique(pairs[possible], axis=0), _file(job.work, job.number, _MEETINGS))


class _CompareJob(Struct, frozen=True):
    """Meetings to look at: from row `start` up to but not including `stop` of those of all parts."""

    work: Path
    start: int
    stop: int


def _compare(job: _CompareJob, _advance: Advance) -> Hashes:
    """Return the pairs of items whose texts are near-equal."""
    meetings: Hashes = np.array(_array_in(job.work / _MEETINGS)[job.start : job.stop])
    items, places = np.unique(meetings, return_inverse=True)
    words = _of_items(job.work, items, ("words",))["words"]
    first, second = places.reshape(-1, 2).T
    return meetings[near_equal(words, first, second)]


def _settled(work: Path, pairs: Hashes, near: Near) -> pl.DataFrame:
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


def _of_items(work: Path, items: Hashes, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of the items with these numbers, which are in order."""
    ranges, rows = _places(items)
    return pl.concat(_take(work, int(number), rows[ranges == number], columns) for number in np.unique(ranges))


def _take(work: Path, number: int, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
    with _mapped(_file(work, number, _ITEMS)) as source:
        table = pa.ipc.open_file(source).read_all().select(list(columns))
        return pl.DataFrame(table.take(rows))


def _sketches_of(work: Path, items: Hashes) -> Hashes:
    numbers, rows = _places(items)
    found = np.empty((len(items), SKETCH), np.uint64)
    for number in np.unique(numbers):
        of_range, here = _array_in(_file(work, int(number), _SKETCHES)), numbers == number
        found[here] = of_range[np.searchsorted(of_range[:, 0], rows[here].astype(np.uint64)), 1:]
    return found


def _places(items: Hashes) -> tuple[Rows, Rows]:
    """The range of each item, and its row there."""
    return (items >> _NUMBER_BITS).astype(np.int64), (items & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _mapped(path: Path) -> pa.NativeFile:
    return pa.BufferReader(path.read_bytes()) if is_remote(path) else pa.memory_map(str(path))


def _array_in(path: Path) -> Hashes:
    array: Hashes = np.load(BytesIO(path.read_bytes())) if is_remote(path) else np.load(path, mmap_mode="r")
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


def _save(array: Hashes, path: Path) -> None:
    replace_file(path, lambda file: np.save(file, array), durable=False)


def _file(work: Path, number: int, name: str) -> Path:
    return work / f"{number:06d}-{name}"
