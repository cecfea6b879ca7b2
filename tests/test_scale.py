"""Sizes that people meet once in a while. Slow: run with `pytest -m slow tests/test_scale.py`."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from shp_miner import Store, export_dataset
from shp_miner.model import ANSWER, POST
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.store import HashRange

from .build import T0, answer_row, chunk, post_row

pytestmark = pytest.mark.slow

WHOLE = HashRange(-(1 << 63), 1 << 63)

#: What one process may take besides a decoder's window.
BUDGET_BYTES = 1 << 30


def peak_of(code: str, *arguments: str) -> int:
    """The peak memory in bytes of a Python program that runs by itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak >= before
    return peak * 1024


EXPORT = "import sys; from shp_miner import export_dataset; export_dataset(sys.argv[1], sys.argv[2], workers=1)"


def test_a_thread_of_a_hundred_thousand_answers(tmp_path: Path) -> None:
    rows = [
        answer_row(f"a{i}", score=2 + i * 7919 % 10_007, created_at=(T0 + i) * 1_000_000, body=f"Answer {i}. " * 20)
        for i in range(100_000)
    ]
    store = Store(tmp_path / "s")
    store.append(chunk([post_row()], rows))
    del rows
    peak = peak_of(EXPORT, str(tmp_path / "s"), str(tmp_path / "o"))
    print(f"100,000 answers: {peak / 2**20:.0f} MiB")
    assert peak < BUDGET_BYTES
    result = export_dataset(store, tmp_path / "o")
    assert result.tally.dropped["answer", "over_answer_cap"] == 99_950
    assert 0 < result.pairs["asktest"] < 50 * 49 // 2


def test_a_community_of_ten_million_answers(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for first in range(0, POSTS, POSTS_A_FILE):
        store.append(_many(first, first + POSTS_A_FILE))
    started = time.perf_counter()
    code = "import sys; from shp_miner import export_dataset; export_dataset(sys.argv[1], sys.argv[2])"
    peak = peak_of(code, str(tmp_path / "s"), str(tmp_path / "o"))
    took_s = time.perf_counter() - started
    # Metadata alone says how many rows there are.
    rows = sum(pq.read_metadata(file).num_rows for file in (tmp_path / "o").rglob("*.parquet"))
    print(f"{POSTS * ANSWERS_A_POST:,} answers, {rows:,} pairs: {peak / 2**20:.0f} MiB, {took_s:.0f} s")
    assert peak < BUDGET_BYTES
    assert rows > POSTS


POSTS, ANSWERS_A_POST, POSTS_A_FILE = 1_000_000, 10, 20_000


def _many(first: int, stop: int) -> Chunk:
    """Posts with ten answers each of one community, made as whole columns."""
    numbers = pl.DataFrame({"n": range(first, stop)})
    created = (T0 + pl.col("n") % 2_000_000) * 1_000_000
    posts = _constant(post_row(), "post_id", "created_at").join(numbers, how="cross")
    posts = posts.with_columns(post_id=pl.format("p{}", "n"), created_at=created)
    answers = _constant(answer_row("a"), "post_id", "answer_id", "author", "body", "score", "created_at")
    answers = answers.join(numbers, how="cross").join(pl.DataFrame({"k": range(ANSWERS_A_POST)}), how="cross")
    answers = answers.with_columns(
        post_id=pl.format("p{}", "n"),
        answer_id=pl.format("p{}a{}", "n", "k"),
        author=pl.format("writer{}", "k"),
        body=pl.format("Answer {} to question {}, in some words that people write.", "k", "n"),
        score=2 + (pl.col("n") * 31 + pl.col("k") * 7919) % 97,
        created_at=created + (pl.col("k") + 1) * 60_000_000,
    )
    rows = []
    for schema, frame in ((POST, posts), (ANSWER, answers)):
        collected = Rows(schema)
        collected.add_frame(frame)
        rows.append(collected.take())
    return Chunk(*rows)


def _constant(row: dict[str, Any], *varying: str) -> pl.DataFrame:
    return pl.DataFrame({name: [value] for name, value in row.items() if name not in varying})


def test_ten_thousand_small_appends_stay_fast(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    times = []
    for i in range(10_000):
        started = time.perf_counter()
        store.append(chunk([], [answer_row(f"a{i}", post_id=f"p{i % 500}")]))
        times.append(time.perf_counter() - started)
    first, last = (sorted(part)[len(part) // 2] for part in (times[:500], times[-500:]))
    started = time.perf_counter()
    before = store.snapshot().answers(WHOLE)[0].sort("answer_id")
    reading = time.perf_counter() - started
    started = time.perf_counter()
    store.compact()
    compacting = time.perf_counter() - started
    started = time.perf_counter()
    after = store.snapshot().answers(WHOLE)[0].sort("answer_id")
    again = time.perf_counter() - started
    print(f"append {first * 1e3:.0f} ms, later {last * 1e3:.0f} ms; read {reading:.1f} s, compact {compacting:.1f} s,")
    print(f"read compacted {again:.2f} s")
    assert after.equals(before)
    assert after.height == 10_000
    assert last < 5 * first
    assert again < reading
