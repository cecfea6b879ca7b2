"""What it costs an import to count new and known items: the CPU time of the count, and of the import around it.

    uv run python -m benchmarks.novelty --folder DIR

Each import is a process of its own, and nothing else works in it while it counts, so the CPU time of all its threads is
the count's. The first case goes into an empty store; the second imports the same dump again, where every key is
compared with a stored one.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

from benchmarks.generate import Size, generate
from shp_miner.dumps import novelty
from shp_miner.dumps.importing import import_dump
from shp_miner.store import Snapshot, Store

#: The names of the two cases.
EMPTY, AGAIN = "empty store", "same dump again"


def measure(paths: list[Path], store: Path) -> tuple[float, float]:
    """Return the CPU seconds of an import with its process's start, without the count, and those of the count."""
    count, counting_s = novelty.novelty, [0.0]

    def timed(before: Snapshot | None, opened: Store) -> novelty.Novelty | None:
        began = time.process_time()
        found = count(before, opened)
        counting_s[0] += time.process_time() - began
        return found

    novelty.novelty = timed
    import_dump("reddit-dump", paths, store)
    return time.process_time() - counting_s[0], counting_s[0]


def _apart(folder: Path, paths: list[Path], case: str) -> tuple[float, float]:
    """One measurement in a process of its own, on a fresh copy of the case's store."""
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    if case == AGAIN:
        shutil.copytree(folder / "full", store)
    os.sync()
    command = [sys.executable, "-m", "benchmarks.novelty", "--folder", str(store), *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    without_s, counting_s = json.loads(done.stdout)
    return without_s, counting_s


@click.command()
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="For dumps and stores.")
@click.option("--comments", default=200_000, show_default=True, help="Comments of the dump that is made.")
@click.option("--runs", default=5, show_default=True, help="Imports of each case.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="")
def main(folder: Path, comments: int, runs: int, paths: tuple[Path, ...]) -> None:
    """Print the CPU time of imports without and with the count, and their ratio: medians, and the highest ratio."""
    if paths:  # the process of one measurement
        click.echo(json.dumps(measure(list(paths), folder)))
        return
    dump = folder / f"dump-{comments}"
    if not dump.exists():
        generate(dump, Size(comments), window_log=23)
    files = sorted(dump.glob("*.zst"))
    shutil.rmtree(folder / "full", ignore_errors=True)
    import_dump("reddit-dump", files, folder / "full")
    click.echo(f"{'CPU seconds':<16} {'without':>8} {'with':>8} {'ratio':>6} {'most':>6}")
    for case in (EMPTY, AGAIN):
        rounds = [_apart(folder, files, case) for _ in range(runs)]
        ratios = [1 + counting_s / without_s for without_s, counting_s in rounds]
        without, counting = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
        row = f"{without:>8.2f} {without + counting:>8.2f} {statistics.median(ratios):>6.3f} {max(ratios):>6.3f}"
        click.echo(f"{case:<16} {row}")


if __name__ == "__main__":
    main()
