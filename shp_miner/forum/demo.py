"""The demo: simulate a forum, import it, mine it by every rule, load the result, hold the labels against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shp_miner.errors import Error
from shp_miner.forum.dump import truth, write_threads
from shp_miner.forum.simulate import simulate
from shp_miner.forum.truth import accuracy
from shp_miner.forum.world import World
from shp_miner.importing import import_dump
from shp_miner.load import load
from shp_miner.pipeline import export_dataset
from shp_miner.rules.presets import PRESETS

SEED = 0


@dataclass(frozen=True)
class RuleResult:
    """What one rule made of the forum: its pairs, and the share of them whose winner really is the better answer."""

    rule: str
    pairs: int
    posts: int
    accuracy: float


@dataclass(frozen=True)
class Demo:
    """What the demo did and where it lies."""

    folder: Path
    threads: int
    answers: int
    votes: int
    rules: list[RuleResult]
    loaded_rows: int
    question: str
    better: str
    worse: str


def run(
    folder: Path, *, seed: int = SEED, world: World | None = None, say: Callable[[str], None] = lambda _: None
) -> Demo:
    """Run the demo in `folder` (threads.jsonl, store, exports). The same seed and world give the same files."""
    world = world or World()
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Simulating a forum: {world.threads} threads, about {world.mean_readers:.0f} readers each")
    threads = simulate(world, seed)
    file = folder / "threads.jsonl"
    write_threads(threads, file)
    say("Importing its threads")
    imported = import_dump("threads", [file], folder / "store", now=world.observed_at)
    if not imported.tally.complete:
        raise Error("The simulated forum did not import whole.", "Please report this.")
    quality = truth(threads)
    results = []
    for name in PRESETS:
        say(f"Mining with the rule {name}")
        out = folder / name
        exported = export_dataset(folder / "store", out, rule=name)
        rows = load(out).to_polars()
        pairs = rows.select(
            "post_id", _side("answer{}_id").alias("winner_id"), _side("answer{}_id", loser=True).alias("loser_id")
        )
        share = accuracy(pairs.to_arrow(), quality)
        results.append(RuleResult(name, rows.height, sum(exported.posts.values()), share))
    say("Loading the shp export with datasets")
    loaded, (question, better, worse) = _loaded(folder)
    votes = sum(answer.up + answer.down for thread in threads for answer in thread.at(world.observed_at).answers)
    return Demo(
        folder, len(threads), len(quality), votes, results, loaded,
        question, better, worse,
    )  # fmt: skip


def _loaded(folder: Path) -> tuple[int, tuple[str, str, str]]:
    """Rows of the shp export, read as a training script would, and its shortest (question, better, worse)."""
    from datasets import load_dataset  # noqa: PLC0415
    from datasets.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    dataset = load_dataset(str(folder / "shp"), cache_dir=str(folder / "cache"))
    rows = (
        (row["question"], *((row["answer1"], row["answer2"])[:: 1 if row["preferred"] == 1 else -1]))
        for row in dataset["train"]
    )
    return sum(split.num_rows for split in dataset.values()), min(rows, key=lambda row: sum(map(len, row)))


def _side(column: str, *, loser: bool = False) -> pl.Expr:
    """A column of the preferred answer, or of the other."""
    first = pl.col("preferred") == (2 if loser else 1)
    return pl.when(first).then(column.format(1)).otherwise(column.format(2))
