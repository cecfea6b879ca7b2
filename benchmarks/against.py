"""Whether exports are what they were in another revision, byte for byte and second for second; and what cleaning takes.

    uv run python -m benchmarks.against REVISION --store DIR [--runs 5]

Takes the sources of the revision out of git, and exports copies of the store in turns: by the revision and by these
sources, both without cleaning, then by these with each profile of cleaning. Each round is a pair for each ratio. Every
run is a process of its own with one worker; the first round is thrown away, because it makes the fits that stores keep.
The revision must run with the packages that are installed now. Exits with 1 if a file of rows differs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import polars as pl

from shp_miner.store import Store
from shp_miner.store.snapshot import EVERYTHING

HERE = Path(__file__).resolve().parents[1]

#: What the two without cleaning are called.
BEFORE, NOW = "revision", "now"

PROFILES = ("standard", "strict")


def sources_of(revision: str, folder: Path) -> Path:
    """Write the package as it was in a revision into a folder, and return the folder."""
    folder.mkdir()
    packed = subprocess.run(["git", "archive", revision, "shp_miner"], cwd=HERE, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


def exported(sources: Path, store: Path, out: Path, options: list[str]) -> float:
    """Export by the sources in a folder, and return the CPU seconds of the process."""
    words = ["export", str(out), "--store", str(store), "--allow-unknown-age", "--workers", "1", "--quiet", *options]
    environment = {**os.environ, "PYTHONPATH": str(sources), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "shp_miner", *words]
    process = subprocess.Popen(command, cwd=sources, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise click.ClickException(f"{' '.join(command)} failed.")
    return used.ru_utime + used.ru_stime


def digests(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of an export by its path."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest() for path in files}


def told_difference(before: Path, now: Path) -> bool:
    """Print which files differ; return whether files of rows do."""
    first, second = digests(before), digests(now)
    differing = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    rows = [name for name in differing if name.endswith(".parquet")]
    print(f"{len(first)} files without cleaning: {len(differing)} differ, {len(rows)} of them files of rows")
    for name in differing:
        print(f"  differs: {name}")
    return bool(rows)


@click.command()
@click.argument("revision")
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True, help="A store with pairs.")
@click.option("--runs", default=5, show_default=True, help="Rounds that count.")
def main(revision: str, store: Path, runs: int) -> None:
    """Compare exports of REVISION with those of these sources."""
    answers, _ = Store(store).snapshot().answers(EVERYTHING)
    count = answers.filter(pl.col("state") == "live").height
    with TemporaryDirectory() as folder:
        work = Path(folder)
        old = sources_of(revision, work / "sources")
        variants: dict[str, tuple[Path, list[str]]] = {BEFORE: (old, []), NOW: (HERE, [])}
        variants |= {name: (HERE, ["--clean", name]) for name in PROFILES}
        for name in variants:
            shutil.copytree(store, work / "stores" / name / store.name)
        rounds: list[dict[str, float]] = []
        for number in range(runs + 1):
            spent = {}
            for name, (sources, options) in variants.items():
                out = work / "out" / name
                shutil.rmtree(out, ignore_errors=True)
                spent[name] = exported(sources, work / "stores" / name / store.name, out, options)
            if number:
                rounds.append(spent)
                print("  ".join(f"{name} {seconds:.2f} s" for name, seconds in spent.items()), flush=True)
        for name, base in ((NOW, BEFORE), *((name, NOW) for name in PROFILES)):
            ratios = [spent[name] / spent[base] for spent in rounds]
            a_second = count * len(rounds) / sum(spent[name] for spent in rounds)
            print(f"{name}: {median(ratios):.2f} times {base} (median; {min(ratios):.2f} to {max(ratios):.2f}), "
                  f"{a_second:,.0f} answers/s of a core")  # fmt: skip
        differs = told_difference(work / "out" / BEFORE, work / "out" / NOW)
    sys.exit(differs)


if __name__ == "__main__":
    main()
