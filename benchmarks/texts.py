"""Texts a second of one core of what edits texts, and what is found of each kind, on the texts of a store.

    uv run python -m benchmarks.texts data/store

docs/cleaning.md has the figures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from shp_miner import Store
from shp_miner.clean.people import People
from shp_miner.clean.personal import KINDS, mask_personal
from shp_miner.text.clean import clean_bodies
from shp_miner.text.modes import in_mode


def texts_of(store: Path) -> pl.DataFrame:
    """Every text of a store, as `body` and as Markdown in `text`."""
    snapshot = Store(store).snapshot()
    columns = ("site", "body", "body_format")
    rows = pl.concat([snapshot.scan(name).select(columns).collect() for name in ("posts", "answers")])
    rows = rows.filter(pl.col("body") != "")
    return rows.with_columns(clean_bodies(rows["body"], rows["body_format"]).alias("text"))


def cpu_s(call: Callable[[], object]) -> float:
    """Seconds of CPU that a call takes."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Print the figures of the store that is named."""
    rows = texts_of(Path(sys.argv[1]))
    texts, formats = rows["text"], rows["body_format"]
    calls: dict[str, Callable[[], object]] = {
        "personal": lambda: mask_personal(texts),
        "authors": lambda: People(b"\0" * 16).texts(texts, rows["body"], rows["site"]),
        "plain": lambda: in_mode(texts, formats, "plain"),
        "shp": lambda: in_mode(texts, formats, "shp"),
    }
    print(f"{len(texts):,} texts, {int(texts.str.len_bytes().sum()) / 1e6:.1f} MB")
    for name, call in calls.items():
        print(f"{name:10} {len(texts) / cpu_s(call):>12,.0f} texts/s")
    found = mask_personal(texts).counts
    print(", ".join(f"{kind} {found.get(kind, 0)}" for kind in KINDS))
    print(f"mentions {People(None).texts(texts, rows['body'], rows['site'])[1]}")


if __name__ == "__main__":
    main()
