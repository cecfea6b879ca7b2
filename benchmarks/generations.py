"""What a dump of Reddit costs to import, by the years whose types it has, and with an odd record in every thousand.

    uv run --group bench python -m benchmarks.generations --folder DIR

Every file holds the same comments; only how they are written differs. Ratios are CPU time of whole processes, start-up
included, against the files with whole numbers; each is the median of `--runs` turns.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.decompress import zstd
from benchmarks.generate import Size, generate
from benchmarks.measure import measure

Record = dict[str, Any]
#: Every so many records an odd one stands.
ODD_EVERY = 1_000


def _text(record: Record) -> Record:
    """2007 to 2015: times as text, no second visit."""
    return record | {"created_utc": str(record["created_utc"]), "retrieved_on": str(record["retrieved_on"])}


def _decimal(record: Record) -> Record:
    """The newest files: times as decimals."""
    return record | {"created_utc": float(record["created_utc"]), "retrieved_on": float(record["retrieved_on"])}


def _other_name(record: Record) -> Record:
    """Files that call the time of reading `retrieved_utc`, and note a second visit."""
    read_s = record.pop("retrieved_on")
    return record | {"retrieved_utc": read_s, "_meta": {"retrieved_2nd_on": read_s + 60, "is_edited": False}}


def _first_years(record: Record) -> Record:
    """Files without flags and without a time of reading."""
    missing = ("retrieved_on", "is_submitter", "score_hidden", "stickied", "distinguished", "edited")
    return {name: value for name, value in record.items() if name not in missing}


GENERATIONS: dict[str, Callable[[Record], Record]] = {
    "whole numbers": lambda record: record,
    "text": _text,
    "decimals": _decimal,
    "retrieved_utc": _other_name,
    "first years": _first_years,
}

#: How one record in a thousand is odd.
ODD: dict[str, Callable[[bytes], bytes]] = {
    "a score of text": lambda line: line.replace(b'"score":', b'"score":"x","was":'),
    "an author that is a number": lambda line: line.replace(b'"author":', b'"author":5,"was":'),
    "cut off": lambda line: line[: len(line) // 2],
    "no JSON inside": lambda line: line.replace(b'"score":', b'"score":?'),
    "bytes that are no text": lambda line: line.replace(b'"body":"', b'"body":"\xff'),
}


def _lines(path: Path) -> Iterator[bytes]:
    with zstd.ZstdFile(path, options={zstd.DecompressionParameter.window_log_max: 31}) as file:
        yield from file


def _write(path: Path, lines: Iterator[bytes]) -> None:
    with zstd.ZstdFile(path, "w", level=3) as file:
        for line in lines:
            file.write(line)


def _make(folder: Path, base: Path) -> dict[str, Path]:
    """The files by name; each is made once."""
    made = {}
    for name, change in GENERATIONS.items():
        made[name] = folder / f"RC_{name.replace(' ', '_')}.zst"
        if not made[name].exists():
            records = (change(json.loads(line)) for line in _lines(base))
            _write(made[name], (json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records))
    for name, odd in ODD.items():
        made[name] = folder / f"RC_{name.replace(' ', '_')}.zst"
        if not made[name].exists():
            lines = enumerate(_lines(made["whole numbers"]), 1)
            _write(made[name], (odd(line[:-1]) + b"\n" if at % ODD_EVERY == 0 else line for at, line in lines))
    return made


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the dumps are made and kept.")
@click.option("--comments", default=200_000, show_default=True)
@click.option("--runs", default=3, show_default=True)
def main(folder: Path, comments: int, runs: int) -> None:
    """Print the CPU seconds of each import, and their ratio to the one of whole numbers."""
    generate(folder, Size(comments=comments, communities=200, words=5_000), window_log=24)
    made = _make(folder, folder / "RC_bench.zst")
    spent: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(runs):
        for name, path in made.items():
            shutil.rmtree(folder / "store", ignore_errors=True)
            command = [sys.executable, "-m", "shp_miner", "import", "reddit-dump", str(path), "--store", "store"]
            found = measure(command, folder)
            if found.exit_code not in (0, 3):
                raise click.ClickException(f"{name}: {found.error}")
            spent[name].append(found.cpu_s)
    usual = statistics.median(spent["whole numbers"])
    for name, seconds in spent.items():
        click.echo(f"{name:28} {statistics.median(seconds):6.2f} s of CPU  {statistics.median(seconds) / usual:5.2f}")


if __name__ == "__main__":
    main()
