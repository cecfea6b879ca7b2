"""How many bytes of an export are new when its store has grown: what a Hub or a backup that stores chunks must take.

    uv run python -m benchmarks.growth [--threads 12000] [--format pairs]

A made-up subreddit is imported but for the newest (then: the oldest) 1 % of its threads, and exported; then the rest is
imported, and exported again to the same folder. Each file is cut into chunks of about 64 kB where its content says so
(a Gear hash, Xia and others 2014, with bounds of 8 and 128 kB, as the Hub's storage has them). What counts are the
chunks after that no file had before. Last, one author is forgotten.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks.generate import text
from shp_miner import export_dataset, import_dump
from shp_miner.cli import run

_MEAN, _LEAST, _MOST = 1 << 16, 1 << 13, 1 << 17
_GEAR = np.random.default_rng(0).integers(0, 1 << 63, 256, np.uint64)
_START_S, _YEARS_S = 1_400_000_000, 5 * 365 * 86_400


def chunk_ends(data: npt.NDArray[np.uint8]) -> Iterator[int]:
    """Yield where each chunk ends. A byte's hash is that of the 64 bytes up to it: the sum of G[b] << its distance."""
    hashes = _GEAR[data]
    for step in range(6):  # sums over 1, 2, 4 ... 64 bytes
        width = 1 << step
        shifted = np.zeros_like(hashes)
        shifted[width:] = hashes[:-width] << np.uint64(width)
        hashes = hashes + shifted
    wanted = np.flatnonzero(hashes >> np.uint64(48) == 0) + 1  # one byte in 65,536
    start = 0
    while start < len(data):
        place = np.searchsorted(wanted, start + _LEAST)
        end = min(int(wanted[place]) if place < len(wanted) else len(data), start + _MOST, len(data))
        yield end
        start = end


def chunks_of(folder: Path) -> dict[bytes, int]:
    """Return the size of each chunk of the files of a folder, by its hash."""
    found: dict[bytes, int] = {}
    for path in sorted(folder.rglob("*.parquet")):
        data = np.frombuffer(path.read_bytes(), np.uint8)
        start = 0
        for end in chunk_ends(data):
            found[hashlib.blake2b(data[start:end].tobytes(), digest_size=16).digest()] = end - start
            start = end
    return found


def threads(count: int) -> list[list[dict[str, Any]]]:
    """Return the records of each thread: a post, and about eight answers. Votes follow order and chance."""
    rng = np.random.default_rng(1)
    words = np.array([f"{number:x}{number * 7919 % 9973:x}" for number in range(30_000)], dtype=object)
    found = []
    for number in range(count):
        created = _START_S + _YEARS_S * number // count
        post = {
            "id": f"p{number}",
            "subreddit": "growing",
            "title": text(rng, words, 60),
            "selftext": text(rng, words, 500),
        }
        records = [post | {"author": f"asker{number % 500}", "score": 100, "created_utc": created}]
        for answer in range(2 + int(rng.poisson(6))):
            body = {
                "id": f"c{number}x{answer}",
                "subreddit": "growing",
                "link_id": f"t3_p{number}",
                "body": text(rng, words, 600),
            }
            score = 2 + int(rng.lognormal(2, 1))
            told = {"parent_id": f"t3_p{number}", "author": f"reader{rng.integers(2_000)}", "score": score}
            records.append(body | told | {"created_utc": created + 600 * (answer + 1)})
        found.append(records)
    return found


def written(folder: Path, given: list[list[dict[str, Any]]]) -> list[Path]:
    """Write threads as a dump; return its files."""
    folder.mkdir()
    paths = []
    for name, part in (("RS_2020-01", slice(0, 1)), ("RC_2020-01", slice(1, None))):
        known = {"subreddit": "growing", "retrieved_on": 1_700_000_000}
        records = [record | known for thread in given for record in thread[part]]
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        paths.append(folder / name)
    return paths


def grown(work: Path, first: list[Path], rest: list[Path], form: str) -> tuple[float, float, float]:
    """Return the MB of the export after the rest was added, the share of new bytes, and that of kept files."""
    store, out = work / "store", work / "out"
    import_dump("reddit-dump", first, store)
    export_dataset(store, out, rule="votes", formats=[form])
    before, files = chunks_of(out), _inodes(out)
    import_dump("reddit-dump", rest, store)
    export_dataset(store, out, rule="votes", formats=[form])
    return *_compared(before, out), len(files & _inodes(out)) / len(_inodes(out))


def forgotten(work: Path) -> tuple[float, float, float]:
    """Return the same for one author forgotten."""
    out = work / "out"
    before, files = chunks_of(out), _inodes(out)
    assert run(["forget", "--author", "reader7", "--store", str(work / "store"), "--quiet"]) == 0
    return *_compared(before, out), len(files & _inodes(out)) / len(_inodes(out))


def _compared(before: dict[bytes, int], out: Path) -> tuple[float, float]:
    after = chunks_of(out)
    size = sum(after.values())
    return size / 1e6, sum(length for digest, length in after.items() if digest not in before) / size


def _inodes(out: Path) -> set[int]:
    return {path.stat().st_ino for path in out.rglob("*.parquet")}


@click.command()
@click.option("--threads", "count", default=12_000, show_default=True)
@click.option("--format", "form", default="pairs", show_default=True)
def main(count: int, form: str) -> None:
    """Print the table."""
    made = threads(count)
    few = max(count // 100, 1)
    print("| what | export, MB | new bytes in chunks of 64 kB | files left as they are | seconds |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        dumps = {"newest": (made[:-few], made[-few:]), "oldest": (made[few:], made[:few])}
        for name, (first, rest) in dumps.items():
            work = Path(folder, name)
            work.mkdir()
            paths = [written(work / part, given) for part, given in (("first", first), ("rest", rest))]
            start = time.perf_counter()
            row(f"{name} 1 % of threads added", *grown(work, *paths, form), start)
        start = time.perf_counter()
        row("one author of 2,000 forgotten", *forgotten(Path(folder, "newest")), start)


def row(what: str, size_mb: float, new: float, kept: float, start: float) -> None:
    """Print a row."""
    print(f"| {what} | {size_mb:.0f} | {new:.1%} | {kept:.0%} | {time.perf_counter() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
