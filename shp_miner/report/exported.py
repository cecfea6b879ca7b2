"""Reads an export for a report: its manifest and, once and in pieces, the columns that say something of its pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.checking.opened import Opened, opened
from shp_miner.errors import BadInput
from shp_miner.export.formats import FORMATS
from shp_miner.export.joining import file_tables
from shp_miner.export.reading import arrow_source
from shp_miner.export.shards import Shard
from shp_miner.export.sides import SIDES, Sides
from shp_miner.report.pairs import COLUMNS, PairCounts
from shp_miner.rules.written import rule_of_manifest

#: Rows that are in memory at a time; small files are read together up to this.
_ROWS = 50_000


def best_of(out: Path) -> Opened:
    """Return the format of an export whose rows say the most. Raises BadInput if there is none, or it is damaged."""
    found = {export.form.name: export for export in opened(out)}
    best = found[min(found, key=list(SIDES).index)]
    for file in best.files:
        if not (best.folder / file.path).is_file():
            raise BadInput(f"{best.folder} does not have the file {file.path} of its manifest.", "Export again.")
    return best


def count_pairs(export: Opened, advance: Callable[[int, int], None] | None = None) -> PairCounts:
    """Return the counts of an export's rows. `advance(done, total)` is called with rows.

    Raises BadInput for a file that cannot be read.
    """
    counts = PairCounts(rule_of_manifest(export.manifest).min_score_age_s)
    expressions = _expressions(export.form.name)
    columns = list(dict.fromkeys(name for found in expressions.values() for name in found.meta.root_names()))
    done, total = 0, export.rows
    for frame in _frames(export, expressions, columns):
        counts.add(frame)
        done += frame.height
        if advance is not None:
            advance(done, total)
    return counts


def _expressions(form: str) -> dict[str, pl.Expr]:
    """Return what is counted of a row of a format, as expressions over its columns."""
    sides, schema = SIDES[form], FORMATS[form].schema.names
    found = sides.select("better_at", "worse_at", "better_read_at", "worse_read_at", "seconds", "ratio")
    if FORMATS[form].balance is not None:
        found |= sides.select("better_is_first")
    found |= {name: pl.col(name) for name in ("confidence", "tier", "label") if name in schema}
    found |= _lengths(sides)
    assert found.keys() <= set(COLUMNS)
    return {"thread": sides.thread.hash(), **found}


def _lengths(sides: Sides) -> dict[str, pl.Expr]:
    """Return the lengths of both answers; of the texts themselves only the lengths are kept."""
    if sides.first is None or sides.second is None or sides.first_wins is None:
        return {}
    first, second = sides.first.str.len_chars().cast(pl.Int64), sides.second.str.len_chars().cast(pl.Int64)
    return {
        "better_chars": pl.when(sides.first_wins).then(first).otherwise(second),
        "worse_chars": pl.when(sides.first_wins).then(second).otherwise(first),
    }


def _frames(export: Opened, expressions: dict[str, pl.Expr], columns: list[str]) -> Iterator[pl.DataFrame]:
    """Yield what is counted of the rows, some thousands at a time, of one large file or of many small ones."""
    held: list[pl.DataFrame] = []
    for file in export.row_files:
        try:
            for table in _tables(export, file, columns):
                rows = pl.from_arrow(table)
                assert isinstance(rows, pl.DataFrame)
                found = rows.select(**expressions)
                held.append(found.with_columns(community=pl.lit(file.community), split=pl.lit(file.split)))
                if sum(frame.height for frame in held) >= _ROWS:
                    yield pl.concat(held)
                    held = []
        except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise BadInput(
                f"{export.folder / file.path} cannot be read: {' '.join(str(error).split())[:200]}.",
                "Run `shp-miner check` on the export, or export again.",
            ) from error
    if held:
        yield pl.concat(held)


def _tables(export: Opened, file: Shard, columns: list[str]) -> Iterator[pa.Table]:
    if not export.is_compact and file.rows <= _ROWS:
        with arrow_source(export.folder / file.path) as source:
            yield pq.read_table(source, columns=columns)
        return
    files: list[dict[str, Any]] = export.manifest["files"]
    told = next(other for other in files if other["path"] == file.path)
    yield from file_tables(export.folder, export.form.name, files, told, columns, _ROWS)
