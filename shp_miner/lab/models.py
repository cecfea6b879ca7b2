"""Models of words, one for each preset and rival, on test pairs that none of them chose: the tables.

shp_miner/lab/bench.py says how they learn and are tested; lessons.py says what from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from shp_miner.lab.bench import LONGER, PENALTIES, Bench, Test
from shp_miner.lab.linear import one_thread
from shp_miner.lab.real import require_checkable
from shp_miner.lab.splits import Split, random_split, time_split
from shp_miner.lab.table import Cell, Table, write_json, write_markdown
from shp_miner.lab.threads import Shares, Threads
from shp_miner.store import Store

_AGAINST = "shp"

_COLUMNS = (
    "trained on",
    "pairs",
    "penalty",
    "accuracy",
    "low",
    "high",
    "less shp",
    "low of that",
    "high of that",
)

Advance = Callable[[float], None]


def compare_models(
    store: Store | str | os.PathLike[str], out: str | os.PathLike[str], *, seed: int = 0, advance: Advance
) -> list[Table]:
    """Train and test the models of each site of a store; write `out`/models.md and `out`/models.json.

    Nothing is random but by `seed`. `advance` gets shares of the work that add up to 1. Raises BadInput if there is no
    store, UsageError without the extra `lab`.
    """
    threads = Threads.read(require_checkable(store).snapshot())
    sites = sorted(threads.posts["site"].unique())
    tables: list[Table] = []
    for site in sites:
        with one_thread():
            tables += _tables_of_site(_of_site(threads, site), site, seed, lambda share: advance(share / len(sites)))
        write_markdown(Path(out) / "models.md", "Models of words", [_about(threads), *tables])
        write_json(Path(out) / "models.json", {"seed": seed, "tables": [table.to_dict() for table in tables]})
    return tables


def _about(threads: Threads) -> str:
    of = f" They are one of {threads.parts} equal parts of the store by hash." if threads.parts > 1 else ""
    return (
        f"{threads.posts.height:,} posts and {threads.answers.height:,} answers.{of} A logistic regression on hashed"
        " words learns from each preset's pairs and from those of rivals, and is tested on threads that it has not"
        f" seen. Penalties of {PENALTIES[0]:g} to {PENALTIES[-1]:g} are tried inside of the threads that it learns"
        " from, where a thread of n pairs weighs sqrt(n). Intervals (95 %) are of a bootstrap over threads; differences"
        " are drawn with the same threads."
    )


def _of_site(threads: Threads, site: str) -> Threads:
    own = pl.col("site") == site
    return replace(threads, posts=threads.posts.filter(own), answers=threads.answers.filter(own))


def _tables_of_site(threads: Threads, site: str, seed: int, advance: Advance) -> list[Table]:
    bench = Bench(threads, seed)
    if bench.why_not:
        advance(1)
        return [Table(f"{site}: models of words", f"Not possible: {bench.why_not}.", _COLUMNS, [])]
    splits = [random_split(bench.hashes, seed), time_split(bench.created)]
    steps = len(splits) * len(bench.lessons)
    tables = []
    for split in splits:
        shares = {test.name: Shares(seed, by_thread=test.by_thread) for test in bench.tests}
        learned: dict[str, tuple[int, str]] = {}
        for lesson in bench.lessons:
            found = bench.taught(lesson, split)
            if found is not None:
                learned[lesson.name] = found.pairs, found.penalties
                bench.add(shares, lesson.name, found.tested, found.hits)
            advance(1 / steps)
        bench.add_longer(shares, split)
        tables += [_table(site, split, test, shares[test.name], bench, learned) for test in bench.tests]
    return tables


def _table(
    site: str, split: Split, test: Test, shares: Shares, bench: Bench, learned: dict[str, tuple[int, str]]
) -> Table:
    rows: list[list[Cell]] = []
    for name in [*(lesson.name for lesson in bench.lessons), LONGER]:
        pairs, penalty = learned.get(name, (None, None))
        if not shares.has(name):
            rows.append([name, *[None] * (len(_COLUMNS) - 1)])
            continue
        against = _AGAINST if shares.has(_AGAINST) else name
        rows.append(
            [
                name,
                pairs,
                penalty,
                shares.share(name),
                *shares.interval(name),
                shares.difference(name, against),
                *shares.interval(name, against),
            ]
        )
    tested = f"{shares.pairs(LONGER):,} test pairs of {shares.threads(LONGER):,} threads."
    note = " ".join([tested, test.note, *bench.remarks])
    return Table(f"{site}: {test.name}, {split.name}", note, _COLUMNS, rows)
