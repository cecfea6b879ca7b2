"""What a cap on the pairs of a post costs `comparisons`, and what hard rows drawn by weight are worth to a trainer.

    uv run --extra lab python -m benchmarks.drawn STORE...

Models of words as in `shp-miner lab --models` (random split): on the pairs of `comparisons` with their columns and
other caps, and on hard rows. "drawn" are those of --sample-by-weight; of "drawn sides" the preferred side
is drawn too, with the probability of the target. Differences are to `comparisons` as the preset has it.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl

from shp_miner import Store, preset
from shp_miner.lab import bench as benches
from shp_miner.lab.bench import Bench
from shp_miner.lab.lessons import Lesson
from shp_miner.lab.linear import one_thread
from shp_miner.lab.splits import random_split
from shp_miner.lab.threads import Shares, Threads
from shp_miner.rules.comparisons import PAIRS_MAX

CAPS = (10, 25, 50, 100, 200, 500, None)
_OWN = f"at most {PAIRS_MAX}"


def lessons(threads: Threads, seed: int) -> tuple[list[Lesson], list[str]]:
    """Return the lessons to compare; that of the preset first."""
    found = []
    for cap in sorted(CAPS, key=lambda cap: cap != PAIRS_MAX):
        name = f"at most {cap}" if cap else "no cap"
        pairs = threads.pairs(preset("comparisons", max_pairs_per_post=cap))
        found.append(Lesson(name, pairs, soft=True, offset="soft"))
    drawn = threads.pairs(preset("comparisons", sample_by_weight=True))
    lower = np.random.default_rng(seed).random(drawn.height) >= drawn["target"].to_numpy()
    swapped = drawn.with_columns(
        winner_id=pl.when(lower).then("loser_id").otherwise("winner_id"),
        loser_id=pl.when(lower).then("winner_id").otherwise("loser_id"),
    )
    found += [
        Lesson("drawn, with the margin", drawn, offset="hard"),
        Lesson("drawn, without it", drawn),
        Lesson("drawn sides, with the soft slopes", swapped, offset="soft"),
        Lesson("shp", threads.pairs(preset("shp"))),
    ]
    return found, []


def main() -> None:
    """Print a table of each store and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    benches.lessons_of = lessons
    for path in chosen.stores:
        threads = Threads.read(Store(path).snapshot())
        with one_thread():
            bench = Bench(threads, chosen.seed)
            split = random_split(bench.hashes, chosen.seed)
            shares = {test.name: Shares(chosen.seed, by_thread=test.by_thread) for test in bench.tests}
            learned = {}
            for lesson in bench.lessons:
                done = bench.taught(lesson, split)
                if done is not None:
                    learned[lesson.name] = done.pairs
                    bench.add(shares, lesson.name, done.tested, done.hits)
        for test, share in shares.items():
            print(f"{path}: {test}, random split\n\n| trained on | pairs | accuracy | less the preset | low | high |")
            print("| --- | ---: | ---: | ---: | ---: | ---: |")
            for name, pairs in learned.items():
                apart = "- | - | -"
                if name != _OWN:  # the same pairs have no interval
                    numbers = (share.difference(name, _OWN), *share.interval(name, _OWN))
                    apart = " | ".join("-" if number is None else f"{number:.3f}" for number in numbers)
                print(f"| {name} | {pairs:,} | {share.share(name):.3f} | {apart} |", flush=True)
            print()


if __name__ == "__main__":
    main()
