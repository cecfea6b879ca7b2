"""Where an import of everything spends its time: each stage by itself, one after the other, in CPU time of all threads.

Run as a module with a dump file (`python -m benchmarks.stages RC_bench.zst`). The import itself runs the stages side by
side, so the sum is its CPU time and not its duration.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pyarrow as pa

from shp_miner.dumps.compressed import decompressed_blocks
from shp_miner.dumps.lines import Lines, all_lines, joined_lines
from shp_miner.dumps.reddit import kind_of
from shp_miner.dumps.reddit_columns import LEFT_OUT, to_frame
from shp_miner.dumps.shortcut import Shortcut
from shp_miner.model import ANSWER, POST
from shp_miner.platforms.rows import Rows
from shp_miner.store.files import write_file
from shp_miner.tally import Tally

LATEST_US = 4_000_000_000_000_000
LINES = 10_000


class Stages:
    """CPU seconds by stage, in the order in which the stages first ran."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what the block takes to a stage."""
        before = time.process_time()
        yield
        self.seconds[name] += time.process_time() - before


def batches(path: Path, kind: str, stages: Stages) -> Iterator[Lines]:
    """What is to be parsed, as the import finds it."""
    source, offset, held = decompressed_blocks(path, Tally()), 0, list[Lines]()
    shortcut: Shortcut | None = None
    while True:
        with stages.timed("decompress"):
            text = next(source, b"")
        if not text:
            break
        with stages.timed("search"):
            shortcut = shortcut or Shortcut(kind, (), text)
            found = shortcut.candidates(offset, text)
            held.append(all_lines(offset, text) if found is None else found)
            offset += len(text)
            batch = joined_lines(held) if sum(map(len, held)) >= LINES else None
        if batch:
            yield batch
            held = []
    if held:
        yield joined_lines(held)


def run(path: Path, folder: Path) -> tuple[Stages, int]:
    """The stages over one file, and the rows that were written to `folder`."""
    stages, kind, written = Stages(), kind_of(path), 0
    rows = Rows(POST if kind == "post" else ANSWER)

    def write() -> int:
        with stages.timed("sort and convert"):
            table: pa.Table = rows.take()
        with stages.timed("write"):
            write_file(folder, table)
        return int(table.num_rows)

    for lines in batches(path, kind, stages):
        with stages.timed("parse"):
            frame, _ = to_frame(kind, lines, LATEST_US, ())
            kept = frame.filter(frame[LEFT_OUT].is_null())
        with stages.timed("hash"):
            rows.add_frame(kept)
        if rows.full:
            written += write()
    return stages, written + write()


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
def main(path: Path) -> None:
    """Print the CPU time of each stage of importing everything in PATH."""
    with tempfile.TemporaryDirectory() as folder:
        stages, rows = run(path, Path(folder))
    for name, seconds in stages.seconds.items():
        click.echo(f"{name:20} {seconds:7.2f} s {seconds / rows * 1e6:7.2f} us a row")
    total = sum(stages.seconds.values())
    click.echo(f"{'together':20} {total:7.2f} s {total / rows * 1e6:7.2f} us a row, {rows:,} rows")


if __name__ == "__main__":
    main()
