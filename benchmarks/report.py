"""What `shp-miner report` takes, as a whole command: of an export of a million pairs, and of the store behind it.

    uv run python -m benchmarks.report --folder /tmp/bench-report

The store and the export stay in the folder and are used again. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.calibrated import tables
from benchmarks.measure import Measure, measure
from shp_miner import export_dataset, import_frames, preset
from shp_miner.model import HASHES

_COMMUNITIES, _ANSWERS, _PAIRS = 200, 5, 5
_WORDS, _MEAN_WORDS = 20_000, 45
_MIB = 1 << 20


def prepared(folder: Path, threads: int) -> tuple[Path, Path]:
    """Return the store and the export in the folder, made if missing."""
    store, out = folder / "store", folder / "pairs"
    if not store.exists():
        posts, answers = (pl.DataFrame(table) for table in tables(threads, _ANSWERS, "votes"))
        import_frames(_with_texts(posts, 1), _with_texts(answers, 2), store)
    if not (out / "manifest.json").exists():
        export_dataset(store, out, rule=preset("votes", max_pairs_per_post=_PAIRS))
    return store, out


def _with_texts(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return rows with texts of random words, of 200 communities that follow a Zipf law, over four years."""
    random = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = ["".join(random.choice(letters, random.integers(2, 10))) for _ in range(_WORDS)]
    text = " ".join(random.choice(words, 200_000))
    starts = random.integers(0, len(text) // 2, len(rows))
    ends = starts + (random.lognormal(np.log(_MEAN_WORDS * 6), 0.8, len(rows))).astype(np.int64).clip(20, 5_000)
    bodies = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    number = rows["post_id"].str.slice(1).cast(pl.Int64)
    share = np.cumsum(1 / np.arange(1, _COMMUNITIES + 1))
    place = np.searchsorted(share / share[-1], ((number * 7919) % 100_003 / 100_003).to_numpy())
    earlier = pl.duration(days=(number * 104_729 % 1461).alias("days"))
    return rows.drop(*HASHES).with_columns(
        pl.Series("body", bodies),
        pl.lit("text").alias("body_format"),
        pl.lit("frames").alias("source"),
        pl.Series("community", [f"bench{number}" for number in place]),
        *(pl.col(name) - earlier for name in ("created_at", "observed_at")),
    )


def reported(path: Path, folder: Path, runs: int) -> list[Measure]:
    """Return the measures of `shp-miner report` on an export or a store."""
    command = [sys.executable, "-m", "shp_miner", "report", str(path.absolute()), "--quiet"]
    measured = [measure(command, folder) for _ in range(runs)]
    for run in measured:
        if run.exit_code:
            sys.exit(f"report ended with {run.exit_code}: {run.error}")
    return measured


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=245_000, help="threads of 5 answers (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    store, out = prepared(given.folder, given.threads)
    pairs = sum(json.loads((out / "manifest.json").read_bytes())["rows"].values())
    for what, path in ((f"export, {pairs:,} pairs", out), (f"store, {given.threads * _ANSWERS:,} answers", store)):
        runs = reported(path, given.folder, given.runs)
        page = (path / "report.html").stat().st_size
        print(
            f"{what}: {statistics.median(run.wall_s for run in runs):.1f} s wall, "
            f"{statistics.median(run.cpu_s for run in runs):.1f} s CPU, "
            f"peak {max(run.peak_rss_bytes or run.largest_bytes for run in runs) / _MIB:,.0f} MiB, page {page:,} bytes",
            flush=True,
        )


if __name__ == "__main__":
    main()
