"""Every post and every direct reply to Parquet with polars or DuckDB: one query for submissions, one for comments.

Neither reads a .zst with a long window, so they get a decompressed copy (polars) or a pipe (DuckDB, /dev/stdin). A
schema is given: without one both would read the first lines to guess it, and guess wrong where a field is mostly null.
"""

from __future__ import annotations

import argparse
from pathlib import Path

TEXT, WHOLE, REAL, FLAG = "text", "whole", "real", "flag"

SHARED = {
    "id": TEXT, "subreddit": TEXT, "author": TEXT, "score": WHOLE, "created_utc": WHOLE, "retrieved_on": WHOLE,
    "edited": FLAG, "distinguished": TEXT, "stickied": FLAG,
}  # fmt: skip
POST = {
    **SHARED, "title": TEXT, "selftext": TEXT, "is_self": FLAG, "domain": TEXT, "over_18": FLAG, "upvote_ratio": REAL,
    "permalink": TEXT,
}  # fmt: skip
COMMENT = {**SHARED, "link_id": TEXT, "parent_id": TEXT, "body": TEXT, "is_submitter": FLAG, "score_hidden": FLAG}
KINDS = {"posts": POST, "answers": COMMENT}


def with_polars(source: Path, kind: str, target: Path) -> None:
    """Scan, filter, and write as a stream."""
    import polars as pl  # noqa: PLC0415

    types = {TEXT: pl.String(), WHOLE: pl.Int64(), REAL: pl.Float64(), FLAG: pl.Boolean()}
    frame = pl.scan_ndjson(source, schema={name: types[of] for name, of in KINDS[kind].items()})
    if kind == "answers":
        frame = frame.filter(pl.col("parent_id") == pl.col("link_id")).drop("parent_id")
    frame.sink_parquet(target)


def with_duckdb(source: Path, kind: str, target: Path) -> None:
    """One COPY statement."""
    import duckdb  # noqa: PLC0415

    types = {TEXT: "VARCHAR", WHOLE: "BIGINT", REAL: "DOUBLE", FLAG: "BOOLEAN"}
    columns = {name: types[of] for name, of in KINDS[kind].items()}
    rows = f"read_ndjson('{source}', columns={columns})"
    query = f"SELECT * EXCLUDE parent_id FROM {rows} WHERE parent_id = link_id" if kind == "answers" else f"FROM {rows}"
    duckdb.sql(f"COPY ({query}) TO '{target}' (FORMAT parquet)")


ENGINES = {"polars": with_polars, "duckdb": with_duckdb}


def main() -> None:
    """Read the command line: an engine, and SOURCE KIND pairs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=sorted(ENGINES), required=True)
    options.add_argument("--posts", type=Path)
    options.add_argument("--answers", type=Path)
    options.add_argument("out", type=Path)
    given = options.parse_args()
    for kind, source in (("posts", given.posts), ("answers", given.answers)):
        if source:
            (given.out / kind).mkdir(parents=True)
            ENGINES[given.engine](source, kind, given.out / kind / "00000.parquet")


if __name__ == "__main__":
    main()
