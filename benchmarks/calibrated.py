"""How long scoring takes: fit a community and pair its answers with a rule, in memory, without texts.

    uv run python -m benchmarks.calibrated --threads 100000 --answers 9 --runs 3
    uv run python -m benchmarks.calibrated --threads 100000 --answers 10 --rule comparisons

Each run is a process of its own. Making the input is not timed, but counts for the peak of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pyarrow as pa

from shp_miner import make_pairs, preset
from shp_miner.model import ANSWER, POST, frame_schema

_READ_US = 1_700_000_000_000_000
_DAY_US = 86_400_000_000


def tables(threads: int, answers: int, rule: str, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """Posts and answers of one community: heavy-tailed votes that fall with rank, arrivals from minutes to weeks."""
    random = np.random.default_rng(seed)
    post = np.arange(threads)
    asked = {
        **_shared(threads),
        "post_id": np.char.add("p", post.astype(str)),
        "thread_hash": random.permutation(threads) * 2_000_003 - (1 << 40),
        "created_at": np.full(threads, _READ_US - 90 * _DAY_US),
        "score": random.integers(1, 500, threads),
    }
    of = np.repeat(post, answers)
    delays = np.sort(np.exp(random.normal(9.5, 2, (threads, answers))).clip(60, 30 * 86_400), axis=1).ravel()
    attention = np.tile(np.arange(1, answers + 1.0), threads) ** -0.6
    answered = {
        **_shared(len(of)),
        "post_id": asked["post_id"][of],
        "thread_hash": asked["thread_hash"][of],
        "answer_id": np.char.add("a", np.arange(len(of)).astype(str)),
        "author": np.char.add("w", np.arange(len(of)).astype(str)),
        "created_at": _READ_US - 90 * _DAY_US + (delays * 1e6).astype(np.int64),
        "score": 1 + random.poisson(np.exp(random.normal(1.5, 1.2, len(of))) * attention),
        "by_post_author": False,
        "accepted": False,
    }
    if rule == "per-reader":
        answered["reads"] = answered["score"] + random.poisson(26 * attention)
    return _table({**asked, "title": "Why?", "is_text": True, "nsfw": False}, POST), _table(answered, ANSWER)


def _shared(rows: int) -> dict[str, object]:
    return {
        "platform": "reddit",
        "site": "reddit.com",
        "community": "bench",
        "body_chars": np.full(rows, 100, np.int32),
        "author": "asker",
        "author_deleted": False,
        "author_role": "member",
        "observed_at": np.full(rows, _READ_US),
        "state": "live",
        "edited": False,
        "stickied": False,
    }


def _table(columns: dict[str, object], schema: pa.Schema) -> pa.Table:
    types = frame_schema(schema)
    frame = pl.select(
        *(
            (pl.lit(value) if isinstance(value, str | bool) else pl.Series(value)).cast(types[name]).alias(name)
            for name, value in columns.items()
        )
    )
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in types.items() if name not in columns]
    return frame.with_columns(absent).select(schema.names).to_arrow().cast(schema)


def once(threads: int, answers: int, rule: str) -> dict[str, float]:
    """One run in this process."""
    posts, answered = tables(threads, answers, rule)
    start, used = time.perf_counter(), time.process_time()
    pairs = make_pairs(posts, answered, preset(rule))
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu_s": cpu_s, "peak_mib": peak, "pairs": pairs.num_rows, "answers": answered.num_rows}


def main() -> None:
    """Run it and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=9)
    parser.add_argument("--rule", default="calibrated")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.once:
        print(json.dumps(once(chosen.threads, chosen.answers, chosen.rule)))
        return
    command = [sys.executable, "-m", "benchmarks.calibrated", "--once"]
    command += ["--threads", str(chosen.threads), "--answers", str(chosen.answers), "--rule", chosen.rule]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(chosen.runs)]
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(
        f"{middle['answers']:,.0f} answers in {chosen.threads:,} threads, {middle['pairs']:,.0f} pairs: "
        f"{middle['seconds']:.2f} s ({min(r['seconds'] for r in runs):.2f} to {max(r['seconds'] for r in runs):.2f}), "
        f"{middle['cpu_s']:.2f} s of CPU time, peak {middle['peak_mib']:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
