"""Checks of labels on real threads, whose truth is unknown: the pairs of every rule, and how well they hold.

None of them proves that a label is right. docs/real-checks.md explains each check.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from shp_miner.errors import BadInput
from shp_miner.lab.audit import Judgment
from shp_miner.lab.early import early_tables
from shp_miner.lab.judges import judge_tables
from shp_miner.lab.table import Table, write_json, write_markdown
from shp_miner.lab.thinning import thinning_tables
from shp_miner.lab.threads import KEY, Shares, Threads, pair_side
from shp_miner.lab.words import require_learning, words_tables
from shp_miner.rules.age import is_dated
from shp_miner.rules.presets import PRESETS
from shp_miner.store import Store

#: How often `check_store` calls `advance`.
STEPS = 5


def require_checkable(store: Store | str | os.PathLike[str]) -> Store:
    """Return the store, if it can be checked.

    Raises BadInput if there is none or it has no answer with a time of writing, UsageError without the extra `lab`.
    """
    store = store if isinstance(store, Store) else Store(store)
    store.require()
    require_learning()
    written = store.snapshot().scan("answers").select(dated=is_dated())
    if not written.select(pl.len() == 0).collect().item() and written.filter("dated").head(1).collect().is_empty():
        raise BadInput(
            f"{store.path} has no answer whose time of writing is known, and the lab's presets and checks need it.",
            "`shp-miner export OUT --rule votes --allow-unknown-age` needs no times; `shp-miner train OUT` says what a "
            "model learns of its labels.",
        )
    return store


def check_store(
    store: Store | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    judgments: list[Judgment] | None = None,
    advance: Callable[[float], None] = lambda _share: None,
) -> list[Table]:
    """Check every preset on the threads of a store; write `out`/checks.md and `out`/checks.json.

    The tables are the same for every store; if a store lacks data for a check, its note says so. `seed` decides the
    halves, folds, samples and bootstrap draws; nothing else is random. `judgments` are people's
    (`shp_miner.lab.audit`), who judge the presets too. `advance` gets the share of each step done; the shares add up to
    1. Raises as `require_checkable`.
    """
    threads = Threads.read(require_checkable(store).snapshot())
    advance(1 / STEPS)
    pairs = {name: threads.pairs(rule) for name, rule in PRESETS.items()}
    tables = [_pairs_table(threads, pairs, seed)]
    advance(1 / STEPS)
    tables += early_tables(threads, seed)
    tables += judge_tables(threads, _unaware(threads, pairs), seed, judgments)
    advance(1 / STEPS)
    tables += thinning_tables(threads, seed)
    advance(1 / STEPS)
    tables += words_tables(threads, pairs, seed)
    about = _about(threads)
    write_markdown(Path(out) / "checks.md", "Checks of labels", [about, *tables])
    write_json(
        Path(out) / "checks.json", {"about": about, "seed": seed, "tables": [table.to_dict() for table in tables]}
    )
    advance(1 / STEPS)
    return tables


def _unaware(threads: Threads, pairs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The pairs that the presets make where nobody says what was accepted."""
    never = pl.lit(None, threads.answers.schema["accepted_at"])
    answers = threads.answers.with_columns(accepted=pl.lit(value=False), accepted_at=never)
    return {
        name: found if PRESETS[name].measure == "score" else threads.pairs(PRESETS[name], answers)
        for name, found in pairs.items()
    }


def _about(threads: Threads) -> str:
    communities = threads.posts["community"].n_unique()
    whose = "one community" if communities == 1 else f"{communities:,} communities"
    of = f", one of {threads.parts} equal parts of the store by hash" if threads.parts > 1 else ""
    return (
        f"{threads.posts.height:,} posts and {threads.answers.height:,} answers of {whose}{of}. An `error` is a"
        " standard error by a bootstrap over whole threads; it is left out where all pairs of a column are alike."
    )


def _pairs_table(threads: Threads, pairs: dict[str, pl.DataFrame], seed: int) -> Table:
    """What every preset makes of the threads, and how often its winner is the longer answer."""
    chars = threads.answers.select(*KEY, "body_chars")
    shares, later = Shares(seed), Shares(seed)
    for name, found in pairs.items():
        winner, loser = (pair_side(found, of, chars)["body_chars"] for of in ("winner", "loser"))
        for kept, apart in ((shares, winner - loser), (later, found["seconds_difference"])):
            untied = apart != 0
            kept.add(
                name, found["thread_hash"].filter(untied), (apart.filter(untied) > 0).to_numpy().astype(np.float64)
            )
    rows = [
        [
            name,
            found.height,
            found["thread_hash"].n_unique(),
            shares.share(name),
            shares.error(name),
            later.share(name),
            later.error(name),
            _mean(found["confidence"]),
            _mean(found["tier"] == "strict") if "tier" in found.columns else None,
        ]
        for name, found in pairs.items()
    ]
    note = (
        "`longer wins`: the share of the pairs, without those of equal length, whose winner has more visible"
        " characters. `later wins`: the same for the winner that was written later. `confidence` is the mean of the"
        " pairs that have one; `strict` the share of the pairs in that tier."
    )
    columns = (
        "preset",
        "pairs",
        "posts",
        "longer wins",
        "error",
        "later wins",
        "error of that",
        "confidence",
        "strict",
    )
    return Table("Pairs by preset", note, columns, rows)


def _mean(values: pl.Series) -> float | None:
    known = values.drop_nulls()
    return float(known.to_numpy().mean()) if len(known) else None
