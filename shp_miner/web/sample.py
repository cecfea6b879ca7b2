"""Which pairs are judged, and in which order and on which sides each judge sees them. Hashes decide, and no clock.

The sample is spread evenly over tier, confidence, score ratio and community, in proportion to the rows that each has,
and takes another thread each time while there are any. A larger sample has all pairs of a smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import polars as pl
import xxhash
from msgspec import Struct

from shp_miner.errors import BadInput
from shp_miner.export.formats import FORMATS
from shp_miner.show.rows import Export, Place, column_table

#: What is read of each row to choose it.
_COLUMNS = ["pair_id", "score_ratio", "confidence", "tier"]

#: Where the bins of score ratio and confidence begin.
RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0)
CONFIDENCES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

#: The steps of the sample through the rows in order: multiples of the golden ratio fill a line evenly at any number.
_STEP = (math.sqrt(5) - 1) / 2

#: One in so many pairs comes again, where there are at least so few.
AGAIN_EACH, _AGAIN_FROM = 10, 5


class Sampled(Struct, frozen=True):
    """A pair of the sample: its id, and where its row is in the export."""

    pair_id: str
    place: Place


class Slot(Struct, frozen=True):
    """A turn of a judge: a pair, and whether it comes again. `swapped`: the pair's second answer is shown as 1."""

    pair_id: str
    again: bool
    swapped: bool


def stratified(
    export: Export, count: int, judged: Collection[str] = (), advance: Callable[[int, int], None] | None = None
) -> list[Sampled]:
    """Return `count` pairs of an export of the format "pairs"; fewer only if it has fewer.

    Pairs that have been judged come first, whatever was in the export when they were chosen: a sample goes on where it
    was. Columns of all rows are read once, without texts; `advance(done, total)` is called with rows. Raises BadInput
    if there is no row.
    """
    rows = _rows(export, advance).sort("tier", "sure", "ratio", "community", "order")
    taken = rows["pair_id"].is_in(list(judged)).arg_true().to_list()[:count]
    taken += _spread(rows["thread"].to_numpy(), count - len(taken), set(taken))
    chosen = rows[taken].select("pair_id", "file", "row")
    return [Sampled(pair_id, Place(file, row)) for pair_id, file, row in chosen.iter_rows()]


def _rows(export: Export, advance: Callable[[int, int], None] | None) -> pl.DataFrame:
    """Every row: its pair, place, thread and strata. Bins are numbers, -1 for what is unknown."""
    frames = []
    done = 0
    for number, file in enumerate(export.files):
        table = pl.DataFrame(column_table(export, number, _COLUMNS))
        frames.append(
            table.with_row_index("row").select(
                "pair_id",
                "row",
                pl.lit(number, pl.UInt32).alias("file"),
                pl.lit(file["community"]).alias("community"),
                pl.col("tier").cast(pl.String),
                sure=bins("confidence", CONFIDENCES),
                ratio=bins("score_ratio", RATIOS),
                thread=pl.col("pair_id").str.replace(r"/[^/]*$", "").hash(),
            )
        )
        done += table.height
        if advance is not None:
            advance(done, export.rows)
    if not done:
        raise BadInput(f"{export.folder} has no pairs.", "Export again, with a rule that makes some.")
    rows = pl.concat(frames)
    hashes = [xxhash.xxh3_64_intdigest(pair_id.encode()) for pair_id in rows["pair_id"]]
    return rows.with_columns(order=pl.Series(hashes, dtype=pl.UInt64))


def bins(column: str, begins: Sequence[float]) -> pl.Expr:
    """Return the number of the bin of each value: 0 below the first of `begins`; -1 where the value is null."""
    number = sum((pl.col(column) >= begin).cast(pl.Int16) for begin in begins)
    return number.fill_null(-1) if isinstance(number, pl.Expr) else pl.lit(0)


def _spread(thread: np.ndarray[tuple[int], np.dtype[np.uint64]], count: int, taken: set[int]) -> list[int]:
    """Return `count` rows, spread evenly; the nearest of an unused thread is taken, else the nearest unused row."""
    rows = len(thread)
    used = {int(thread[row]) for row in taken}
    free = len(np.unique(thread)) - len(used)
    chosen: list[int] = []
    for number in range(min(count, rows - len(taken))):
        row = int(math.fmod(0.5 + number * _STEP, 1.0) * rows)
        new_thread = free > 0
        while row in taken or (new_thread and int(thread[row]) in used):
            row = (row + 1) % rows
        if new_thread:
            used.add(int(thread[row]))
            free -= 1
        taken.add(row)
        chosen.append(row)
    return chosen


def plan(judge: str, pairs: Sequence[str]) -> list[Slot]:
    """Return a judge's turns: each pair once, in an order of the judge's own, and one in ten again with sides swapped.

    What comes again was seen in the first half, and comes in the second.
    """
    ordered = sorted(pairs, key=lambda pair: _number(judge, pair, "order"))
    slots = [Slot(pair, again=False, swapped=is_swapped(judge, pair)) for pair in ordered]
    count = -(-len(pairs) // AGAIN_EACH) if len(pairs) >= _AGAIN_FROM else 0
    half = len(slots) // 2
    chosen = sorted(slots[:half], key=lambda slot: _number(judge, slot.pair_id, "again"))[:count]
    for number, slot in enumerate(chosen):
        # Evenly over the second half, which grows by one for each.
        at = half + number + (number + 1) * (len(pairs) - half) // count
        slots.insert(at, Slot(slot.pair_id, again=True, swapped=not slot.swapped))
    return slots


def is_swapped(judge: str, pair_id: str) -> bool:
    """Return whether a judge sees the pair's second answer as 1, the first time."""
    return bool(_number(judge, pair_id, "side") & 1)


def _number(*parts: str) -> int:
    return xxhash.xxh3_64_intdigest("\0".join(parts).encode())


def can_be_audited(export: Export) -> bool:
    """Return whether rows of an export's format name a pair and both of its answers."""
    return {*_COLUMNS, "answer1_id", "answer2_id", "preferred"} <= set(FORMATS[export.form].schema.names)
