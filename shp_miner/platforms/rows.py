"""Making rows of the store from any platform's data: checked against their bounds, hashed and ordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from shp_miner.model import (
    EARLIEST_S,
    GONE,
    HASHES,
    NO_PROFILE,
    OPTIONAL,
    PROFILE,
    TEXT_COLUMNS,
    Check,
    empty_table,
    frame_schema,
    out_of_bounds,
    thread_hash,
)

#: Bounds of one chunk, in rows and characters of text. A row inside a frame takes a fraction of the memory that one
#: made of objects does, so more of them make a chunk.
ROWS_PER_CHUNK = 50_000
FRAMED_ROWS_FOR_ONE = 4
TEXT_PER_CHUNK = 64_000_000

#: Columns that say where an observation came from and not what it says; they do not go into its content hash.
_NOT_CONTENT = frozenset({"thread_hash", "content_hash", "source", "platform"})


@dataclass
class Chunk:
    """Some observations on their way into the store: a table of POST and a table of ANSWER, either may be empty."""

    posts: pa.Table
    answers: pa.Table


class Rows:
    """Collects observations and turns them into a table of `schema` (POST or ANSWER).

    Rows come one by one as values (`add`) or many as a frame (`add_frame`); times are microseconds since 1970.
    `thread_hash` and `content_hash` are filled in here, so that every source computes them alike. Who and what is left
    out here of every row that is not "live", whatever a source says. And every row is held against its bounds here.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._types = frame_schema(schema)
        self._names = [name for name in schema.names if name not in HASHES]
        self._required = [name for name in self._names if name not in OPTIONAL]
        self._optional = [name for name in self._names if name in OPTIONAL]
        self._check = Check(self._names)
        self._texts = [name for name in TEXT_COLUMNS if name in self._names]
        self._physical = pl.Schema(
            (name, pl.Int64 if self._types[name].is_temporal() else self._types[name]) for name in self._names
        )
        self._rows: list[tuple[Any, ...]] = []
        self._frames: list[pl.DataFrame] = []
        self._framed = 0
        self.text_bytes = 0

    def __len__(self) -> int:
        return len(self._rows) + self._framed

    @property
    def full(self) -> bool:
        """Whether it is time to take a table: more rows cost memory and save no time."""
        return self.weight >= ROWS_PER_CHUNK or self.text_bytes >= TEXT_PER_CHUNK

    @property
    def weight(self) -> int:
        """The rows, counted by the memory that one made of objects takes."""
        return len(self._rows) + self._framed // FRAMED_ROWS_FOR_ONE

    def add(self, **values: Any) -> None:
        """Add one observation. Raises Lost where it is out of bounds.

        Every column must be named, but the two hashes and those in OPTIONAL.
        """
        self._check(values)
        # The optional columns are the last ones of both schemas.
        self._rows.append((*(values[name] for name in self._required), *map(values.get, self._optional)))
        self.text_bytes += sum(len(values[name]) for name in self._texts)

    def add_frame(self, frame: pl.DataFrame) -> dict[str, int]:
        """Add observations as `add` takes them, in any order of columns.

        Rows that are out of bounds are left out: how many, by reason, is returned.
        """
        frame = frame.select(*self._required, *(name for name in self._optional if name in frame.columns))
        reasons = out_of_bounds(frame)
        left_out: dict[str, int] = {}
        if reasons.null_count() < frame.height:
            left_out = dict(reasons.drop_nulls().value_counts(sort=True).iter_rows())
            frame = frame.filter(reasons.is_null())
        # Hashed at once: what a batch needs for that is small, and the same memory serves the next.
        self.add_hashed(self.hashed(frame))
        return left_out

    def add_hashed(self, frame: pl.DataFrame) -> None:
        """Add observations that `hashed` gave."""
        self._frames.append(frame)
        self._framed += frame.height
        self.text_bytes += sum(int(frame[name].str.len_bytes().sum()) for name in self._texts)

    def settle(self) -> None:
        """Make a frame of the rows that came one by one: of one thread they stay before what comes later."""
        if self._rows:
            self._frames.append(self.hashed(_framed(self._rows, self._physical)))
            self._framed += len(self._rows)
            self._rows = []

    def take(self) -> pa.Table:
        """The collected rows as a table, ordered by thread; the collection is empty afterwards."""
        self.settle()
        frames = self._frames
        self._frames, self._framed, self.text_bytes = [], 0, 0
        if not frames:
            return empty_table(self.schema)
        frame = pl.concat(frames, how="diagonal").sort("thread_hash", maintain_order=True)
        unsaid = [pl.lit(None, self._types[name]).alias(name) for name in self._optional if name not in frame.columns]
        return frame.with_columns(unsaid).select(self.schema.names).cast(self._types).to_arrow().cast(self.schema)

    def hashed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return observations within their bounds, of any order of columns, with hashes. Any thread may ask for it."""
        frame = frame.select(*self._required, *(name for name in self._optional if name in frame.columns))
        # Columns that nobody fills are made when a table is taken: until then they would cost time and memory.
        frame = frame.drop(name for name in self._optional if name in frame.columns and _is_empty(frame[name]))
        frame = without_the_gone(frame.cast({name: self._physical[name] for name in frame.columns}))
        return frame.with_columns(_thread_hashes(frame), _content_hashes(frame))


def _framed(rows: list[tuple[Any, ...]], types: pl.Schema) -> pl.DataFrame:
    """Rows as a frame. Making columns is faster, but takes values of the very types alone."""
    try:
        return pl.DataFrame(
            [
                pl.Series(name, values, kind)
                for (name, kind), values in zip(types.items(), zip(*rows, strict=True), strict=True)
            ]
        )
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.DataFrame(rows, schema=types, orient="row")


def seconds_us(seconds: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 of seconds (Float64), null where they are no time: `records.epoch_us` of many at once."""
    time = pl.when(seconds.is_between(EARLIEST_S, 1e12, closed="left")).then(seconds)
    whole = time.floor()
    # Whole seconds stay exact: floats hold them, and only fractions are rounded.
    return whole.cast(pl.Int64) * 1_000_000 + ((time - whole) * 1_000_000).round().cast(pl.Int64)


def without_the_gone(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows (some columns of POST or ANSWER); rows that are not "live" lose their author and text.

    A subreddit that is a person's own page has that person's name: its gone items get NO_PROFILE.
    """
    live = pl.col("state") == "live"
    if rows.select(live.all()).item():
        return rows
    gone = pl.col("state").is_in(["deleted", "removed"])
    own_page = (PROFILE + pl.col("author").str.to_lowercase()).fill_null(pl.col("community")) == pl.col("community")
    own_page &= pl.col("community").str.starts_with(PROFILE)
    return rows.with_columns(
        pl.when(gone & own_page).then(pl.lit(NO_PROFILE)).otherwise("community").alias("community"),
        *(
            pl.when(live).then(name).otherwise(pl.lit(value, rows.schema[name])).alias(name)
            for name, value in GONE.items()
            if name in rows.columns
        ),
    )


def _is_empty(column: pl.Series) -> bool:
    return column.null_count() == len(column)


def _thread_hashes(frame: pl.DataFrame) -> pl.Series:
    threads = frame.select("site", "post_id").unique(maintain_order=True)
    known = threads.with_columns(
        pl.Series("thread_hash", [thread_hash(site, post) for site, post in threads.iter_rows()], dtype=pl.Int64)
    )
    return frame.select("site", "post_id").join(known, on=["site", "post_id"], maintain_order="left", how="left")[
        "thread_hash"
    ]


def _content_hashes(frame: pl.DataFrame) -> pl.Series:
    """A stable signed 64-bit hash of what each observation says; it breaks ties between observations of one moment.

    A column in OPTIONAL counts where it says something, so rows without them keep the hash of earlier schemas.
    """
    parts: list[pl.Expr] = []
    for name, kind in frame.schema.items():
        if name in OPTIONAL:
            said = pl.concat_str(pl.lit(f"{name}="), pl.col(name).cast(pl.Int64).cast(pl.String))
            parts[-1] = pl.concat_str(parts[-1], said.fill_null(""), separator="")
        elif name not in _NOT_CONTENT:
            # Floats become whole millionths: how a float is printed may change with a library's version.
            value = (pl.col(name) * 1_000_000).round().cast(pl.Int64) if kind.is_float() else pl.col(name)
            parts.append(value.cast(pl.String).fill_null("\x00"))
    joined = frame.select(pl.concat_str(parts, separator="\x1f")).to_series()
    digest = xxhash.xxh3_64_intdigest
    hashes = np.fromiter(map(digest, joined.cast(pl.Binary).to_list()), np.uint64, len(joined))
    return pl.Series("content_hash", hashes.view(np.int64))
