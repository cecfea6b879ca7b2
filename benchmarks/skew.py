"""The largest task's share of an import's and an export's work where data is uneven: `python benchmarks/skew.py [MB]`.

Half of the rows are of one community, and 60 % of the bytes in one file. Limits of tasks are made as many times smaller
as the generated dump (of so many MB of JSON, default 60) is smaller than the 10 GB at which all of them count.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shp_miner import export_dataset, import_dump
from shp_miner.dumps import sharing
from shp_miner.dumps.compressed import ignore_progress
from shp_miner.dumps.importing import import_part
from shp_miner.engine import Means, local
from shp_miner.export import cuts, dataset, runs
from shp_miner.tally import Tally

_WANTED_MB = 10_000


def write_dump(folder: Path, size_mb: int) -> list[Path]:
    """Write one file of 60 % of the bytes and eight others; half of the threads are of one community."""
    dice = random.Random(1)
    names = [folder / f"RC_{number}.ndjson" for number in range(9)]
    files = [name.open("w", encoding="utf-8") for name in names]
    for number in range(size_mb * 1_000_000 // 4_500):
        community = "large" if number % 2 else f"c{number % 40}"
        file = files[0] if dice.random() < 0.6 else files[1 + number % 8]
        where = {"subreddit": community, "created_utc": 1_600_000_000 + number * 60, "author": f"a{number}"}
        post = {"id": f"p{number}", "title": "Why?", "selftext": dice.randbytes(300).hex(), "score": 99} | where
        rows: list[dict[str, Any]] = [post]
        for answer in range(5):
            rows.append(
                {"id": f"a{number}x{answer}", "link_id": f"t3_p{number}", "parent_id": f"t3_p{number}"}
                | where
                | {
                    "author": f"b{number}x{answer}",
                    "body": dice.randbytes(150).hex(),
                    "score": 3 * answer + dice.randrange(30),
                }
            )
        for row in rows:
            row["retrieved_on"] = 1_700_000_000
            row["created_utc"] += 60 * rows.index(row)
            file.write(json.dumps(row) + "\n")
    for file in files:
        file.close()
    return names


def shares(seconds: Sequence[float]) -> str:
    """What the largest task has of the work, and how many there are."""
    return f"{max(seconds) / sum(seconds):.0%} of {len(seconds)} tasks"


def imports(files: Sequence[Path], folder: Path, *, cut: bool) -> str:
    """CPU time of each task of an import of the files."""
    job = sharing.ImportJob("reddit-dump", list(files), folder, datetime.now(UTC), {})
    whole = sharing.sections_of
    if not cut:
        sharing.sections_of = lambda *_: []  # type: ignore[assignment]
    jobs, _ = sharing.import_jobs(job, Means(workers=8), Tally())
    sharing.sections_of = whole
    return shares([_timed(lambda part=part: import_part(part, ignore_progress)) for part in jobs])


def exports(store: Path, out: Path, layout: str, *, cut: bool) -> tuple[str, float]:
    """CPU time of each task that writes files, and of the whole export."""
    taken: list[float] = []
    run = local.Threads.run

    def timed(engine: Any, task: Callable[..., Any], jobs: Sequence[Any], advance: Any) -> Iterator[Any]:
        for job in jobs:
            begun = time.process_time()
            (result,) = run(engine, task, [job], advance)
            if "write_groups" in str(getattr(job, "task", "")):
                taken.append(time.process_time() - begun)
            yield result

    local.Threads.run = timed  # type: ignore[method-assign]
    large, runs.LARGE, runs.LARGE_COMPACT = (runs.LARGE, runs.LARGE_COMPACT), *((2, 2) if cut else (1 << 60, 1 << 60))
    try:
        spent = _timed(lambda: export_dataset(store, out, rule="votes", layout=layout, workers=1))
    finally:
        local.Threads.run = run  # type: ignore[method-assign]
        runs.LARGE, runs.LARGE_COMPACT = large
    return shares(taken), spent


def _timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main(size_mb: int = 60) -> None:
    """Print the shares."""
    factor = _WANTED_MB // size_mb
    for name in ("_SHARED_FILE_BYTES", "SECTION_BYTES"):
        setattr(sharing, name, getattr(sharing, name) // factor)
    for name in ("FILE_LEAST", "FILE_MEAN", "FILE_MOST", "GROUP_LEAST", "GROUP_MEAN"):
        setattr(cuts, name, max(getattr(cuts, name) // factor, 2))
    dataset.WINDOW_BYTES //= factor
    folder = Path(tempfile.mkdtemp(prefix="skew-"))
    try:
        files = write_dump(folder, size_mb)
        for cut in (False, True):
            print("import, one file of 60 %, cut:" if cut else "import, one file of 60 %, whole:", end=" ")
            print(imports(files, folder / f"plain{cut}", cut=cut))
        import_dump("reddit-dump", files, folder / "store")
        for layout in ("joined", "compact"):
            for cut in (False, True):
                share, spent = exports(folder / "store", folder / f"{layout}{cut}", layout, cut=cut)
                how = "by file" if cut else "whole"
                print(f"export {layout}, one community of 50 %, {how}: {share}, {spent:.1f} s of CPU time in all")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
