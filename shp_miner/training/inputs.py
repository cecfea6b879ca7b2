"""Reads files of answers to score: JSON lines, CSV or Parquet, a few hundred rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl
import pyarrow as pa

from shp_miner.errors import BadInput
from shp_miner.export.reading import open_parquet
from shp_miner.export.sides import SIDES, TEXTS, form_with
from shp_miner.paths import whole

#: Rows that are read and scored at a time.
_BATCH = 500

#: The longest cell of a CSV file, in characters.
_LONGEST_CELL = 1 << 30

_MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

_HINT = "A row needs question and answer, or prompt and completion, or the columns of an export of pairs."


def read_rows(path: Path | None, stream: BinaryIO | None = None) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file, or of a stream of JSON lines, with the columns `question` and `first`.

    Rows with two answers also have `second`. Raises BadInput for a file that cannot be read, lacks the columns, or has
    a row without one of the texts; it names the row, counted from 1.
    """
    named = "The standard input" if path is None else str(path)
    start = 1
    for frame in _frames(path, stream, named):
        texts = _texts(frame, named)
        for place, row in enumerate(texts.iter_rows()):
            if None in row:
                raise BadInput(f"{named} has no text in a column of row {start + place:,}.", _HINT)
        start += texts.height
        yield texts
    if start == 1:
        raise BadInput(f"{named} has no rows.", "Name a file with at least one row.")


def _frames(path: Path | None, stream: BinaryIO | None, named: str) -> Iterator[pl.DataFrame]:
    if path is None:
        assert stream is not None
        yield from _of_records(_json_lines(stream, named), named)
        return
    if not path.is_file():
        raise BadInput(f"{whole(path)} is not a file.", "Name a file in JSON lines, CSV or Parquet.")
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path)
    elif path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield from _of_records(_csv(text, named), named)
    else:
        with path.open("rb") as lines:
            yield from _of_records(_json_lines(lines, named), named)


def _parquet(path: Path) -> Iterator[pl.DataFrame]:
    with open_parquet(path, "Check that the file is complete.") as file:
        for batch in file.iter_batches(_BATCH):
            yield pl.DataFrame(pa.Table.from_batches([batch]))


def _csv(text: Iterable[str], named: str) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        yield from csv.DictReader(text)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(
            f"{named} is not a CSV file in UTF-8.", "Save it again, with column names in the first row."
        ) from error


def _json_lines(lines: Iterable[bytes], named: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(
                f"{named} has no valid JSON in line {number:,}.", "Write one JSON object per line."
            ) from error
        if not isinstance(record, dict):
            raise BadInput(f"{named} has no JSON object in line {number:,}.", "Write one JSON object per line.")
        yield record


def _of_records(records: Iterator[Mapping[str, Any]], named: str) -> Iterator[pl.DataFrame]:
    """Yield records as frames with the columns that the first one has."""
    first = next(records, None)
    if first is None:
        return
    names = [str(name) for name in first]
    types = {name: _MESSAGES if isinstance(first[name], list) else pl.String for name in names if _is_text(first[name])}
    start = 1
    rows = chain([first], records)
    while some := list(islice(rows, _BATCH)):
        try:
            yield pl.DataFrame({name: [record.get(name) for record in some] for name in types}, schema=types)
        except (TypeError, pl.exceptions.PolarsError) as error:
            last = start + len(some) - 1
            raise BadInput(
                f"{named} has a value of another type than in row 1, between the rows {start:,} and {last:,}.", _HINT
            ) from error
        start += len(some)


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _texts(frame: pl.DataFrame, named: str) -> pl.DataFrame:
    if {"question", "answer"} <= set(frame.columns):
        return frame.select(question=pl.col("question").cast(pl.String), first=pl.col("answer").cast(pl.String))
    form = form_with(frame.columns, conversations=isinstance(frame.schema.get("chosen"), pl.List))
    if form is None:
        raise BadInput(f"{named} lacks columns to score: it has {', '.join(frame.columns[:8]) or 'none'}.", _HINT)
    texts = SIDES[form].select(*TEXTS)
    try:
        return frame.select(**texts).rename({"answer": "first"}, strict=False)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{named} has columns of other types than an export.", _HINT) from error
