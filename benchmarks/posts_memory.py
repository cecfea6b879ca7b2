"""The memory that imports of a Posts.xml of several sizes take, and their time.

    uv run --group bench python -m benchmarks.posts_memory --folder DIR --gigabytes 0.5 --gigabytes 5

Each file is generated straight into zstd, which takes a quarter of its size on the disk; its store takes as much again.
The texts of 3,000 threads come again and again, with ids of their own. Each import is a process of its own.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import click
import zstandard

from benchmarks.inputs import SE_SITE, post_threads, posts_xml
from benchmarks.measure import Measure, measure

_DIFFERENT = 3_000


def write_packed(path: Path, size_bytes: int) -> None:
    """Write a Posts.xml of about `size_bytes`, compressed."""
    records = list(post_threads(_DIFFERENT))
    left = size_bytes

    def few() -> itertools.takewhile[dict[str, object]]:
        return itertools.takewhile(lambda _: left > 0, itertools.cycle(records))

    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as packed:
        for line in posts_xml(few()):
            packed.write(data := line.encode())
            left -= len(data)


def _imported(path: Path, folder: Path) -> Measure:
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    command = [sys.executable, "-m", "shp_miner", "import", "stackexchange-dump", "--site", SE_SITE]
    found = measure([*command, str(path), "--store", str(store)], folder)
    shutil.rmtree(store, ignore_errors=True)
    if found.exit_code:
        raise click.ClickException(found.error)
    return found


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the files are made and kept.")
@click.option(
    "--gigabytes", multiple=True, type=float, default=(0.5, 5.0), show_default=True, help="Of XML; repeatable."
)
@click.option("--runs", default=1, show_default=True)
def main(folder: Path, gigabytes: tuple[float, ...], runs: int) -> None:
    """Print the peak of memory of each import, and its ratio to the first."""
    folder.mkdir(parents=True, exist_ok=True)
    first = 0.0
    for size in gigabytes:
        path = folder / f"{size:g}" / "Posts.xml.zst"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_packed(path, int(size * 1e9))
        for _ in range(runs):
            found = _imported(path, folder)
            mebibytes = found.largest_bytes / (1 << 20)
            first = first or mebibytes
            speed = f"{found.wall_s:6.2f} s  {found.cpu_s:6.2f} s of CPU"
            click.echo(f"{size:5g} GB  {mebibytes:5.0f} MiB  {mebibytes / first:.2f} of the first  {speed}")


if __name__ == "__main__":
    main()
