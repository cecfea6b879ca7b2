"""What a Ray cluster costs and gains beside the local engine: one dump, the same bytes, on a disk and in a bucket.

    uv run --group dev --extra ray --extra objects python -m benchmarks.cluster [--times 10] [--json]

A dump of `--times` the comments of r/AskAcademia and r/GradSchool (103,139) is made up, in months. It is imported and
exported by the local engine on a disk (two workers); by Ray (a head, and two nodes of two cores each, as processes of
this machine) on a disk with 1, 2 and 4 workers, and with two in a bucket of moto. Every export must have the bytes of
the first. Twice a driver ends itself when all its tasks are done: the command after it shows what a job costs of which
all is done, and the results that lie there are its tasks. Needs 4 GB of disk for ten times, and nothing beside it that
works: ratios of one run count, not seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import click
from msgspec import Struct, to_builtins

from benchmarks.generate import Size, generate
from shp_miner.paths import expanded
from shp_miner.places.schemes import is_remote
from tests.servers import Cluster, Running, hashes

#: Comments of the two real forums, the months in which as many are made up, and ids that a month has for itself.
REAL, MONTHS, IDS = 103_139, 6, 100_000_000

#: A driver that ends itself when all its tasks are done, before it deletes their results.
DIES = """
import os, sys
import shp_miner.engine.plan as plan
plan.end_plan = lambda *_, **__: os._exit(9)
from shp_miner.cli import run
sys.exit(run(sys.argv[1:]))
"""

#: The same as a driver that runs one task which does nothing: what Ray takes to start.
NOTHING = """
import sys
from benchmarks.cluster import nothing
from shp_miner.engine.choice import Means
with Means(engine="ray", address=sys.argv[1]).cluster(None, 1) as engine:
    list(engine.run(nothing, [0], print))
"""


class Timed(Struct):
    """A command: where its files were, the engine and its workers, the seconds, and those of the driver's processor."""

    step: str
    where: str
    engine: str
    workers: int
    seconds: float
    driver_cpu_s: float
    all_done: bool = False


def nothing(job: int, advance: object) -> int:
    """Return the job: a task that costs what every task costs."""
    del advance
    return job


def dumps(folder: Path, comments: int) -> list[Path]:
    """Return dumps with so many comments, made up unless they are there."""
    months = [folder / f"dump-{comments}" / str(month) for month in range(MONTHS)]
    if not all((month / "whole").exists() for month in months):
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_month, months, [comments // MONTHS] * MONTHS, range(MONTHS)))
    return [month / f"{kind}_bench.zst" for month in months for kind in ("RS", "RC")]


def _month(folder: Path, comments: int, month: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    generate(folder, Size(comments, first=month * IDS), seed=month, window_log=27)
    (folder / "whole").touch()


class Bench:
    """Runs commands one after the other, and notes what they took."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.timed = cluster, list[Timed]()

    def took(self, program: Sequence[str], *, code: int = 0) -> tuple[float, float]:
        """Run a Python program to its end; return its seconds, and those of its processor."""
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, *program], env=self.cluster.environment, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == code, (process.returncode, program)
        return time.monotonic() - began, used.ru_utime + used.ru_stime

    def run(self, step: str, words: list[str], workers: int, *, ray: bool, tasks: bool = False) -> int:
        """Time a command; with `tasks` after a driver that ended itself before. Return the tasks that were there."""
        where = "bucket" if any(map(is_remote, words)) else "disk"
        words = [*words, "--workers", str(workers), "-q"]
        words += ["--engine", "ray", "--address", self.cluster.address] if ray else []
        count = 0
        if tasks:
            self.took(["-c", DIES, *words], code=9)
            count = sum(1 for path in _work(step, words).rglob("*.result"))
        seconds, cpu_s = self.took(["-m", "shp_miner", *words])
        self.timed.append(Timed(step, where, "ray" if ray else "local", workers, seconds, cpu_s, tasks))
        print(_row(self.timed[-1]), file=sys.stderr, flush=True)
        return count


def _work(step: str, words: Sequence[str]) -> Path:
    """Return the folder in which a command's tasks leave their results."""
    if step == "import":
        return expanded(words[words.index("--store") + 1]) / "importing"
    out = expanded(words[1])
    return out / ".shp-miner.new" if is_remote(out) else out.with_name(f".{out.name}.new")


def _row(timed: Timed) -> str:
    done = "all done" if timed.all_done else ""
    cells = (timed.step, timed.where, timed.engine, timed.workers, f"{timed.seconds:.1f}", f"{timed.driver_cpu_s:.1f}")
    return f"| {' | '.join(map(str, cells))} | {done} |"


def measure(bench: Bench, files: list[Path], folder: Path, workers: Sequence[int]) -> dict[str, object]:
    """Run all commands; return what follows from their times. Raises AssertionError where bytes differ."""

    def both(name: str, base: str, count: int, *, ray: bool, paths: Sequence[object] = files) -> None:
        store = ["--store", f"{base}/store{name}"]
        bench.run("import", ["import", "reddit-dump", *map(str, paths), *store], count, ray=ray)
        bench.run("export", ["export", f"{base}/out{name}", *store, "--rule", "votes"], count, ray=ray)
        found = hashes(expanded(f"{base}/out{name}"))
        assert found == hashes(folder / "outlocal"), f"the export {base}/out{name} has other bytes"

    both("local", str(folder), 2, ray=False)
    start_s = min(bench.took(["-c", NOTHING, bench.cluster.address])[0] for _ in range(2))
    for count in workers:
        both(str(count), str(folder), count, ray=True)
    tasks = {}
    store = ["--store", str(folder / "storedone")]
    words = ["import", "reddit-dump", *map(str, files), *store]
    tasks["import"] = bench.run("import", words, 2, ray=True, tasks=True)
    words = ["export", str(folder / "outdone"), *store, "--rule", "votes"]
    tasks["export"] = bench.run("export", words, 2, ray=True, tasks=True)
    assert hashes(folder / "outdone") == hashes(folder / "outlocal")
    urls = [expanded(f"s3://bucket/dumps/{path.parent.name}/{path.name}") for path in files]
    for path, url in zip(files, urls, strict=True):
        url.write_bytes(path.read_bytes())
    both("2", "s3://bucket", 2, ray=True, paths=urls)
    return _summed(bench.timed, start_s, tasks)


def _summed(timed: Sequence[Timed], start_s: float, tasks: dict[str, int]) -> dict[str, object]:
    found: dict[str, object] = {"ray_start_s": start_s, "tasks": tasks}
    for step in ("import", "export"):
        seconds = {
            (run.where, run.engine, run.workers): run.seconds for run in timed if run.step == step and not run.all_done
        }
        local, ray = (
            seconds["disk", "local", 2],
            {n: s for (at, by, n), s in seconds.items() if (at, by) == ("disk", "ray")},
        )
        found[step] = {
            "local_s": local,
            "speed_up": {n: (ray[min(ray)] - start_s) / (s - start_s) for n, s in ray.items()},
            "overhead": (ray[2] - start_s) / local - 1,
            "overhead_with_start": ray[2] / local - 1,
            "overhead_ms_a_task": (ray[2] - start_s - local) * 1000 / max(tasks[step], 1),
            "bucket": seconds["bucket", "ray", 2] / ray[2],
            "all_done_s": next(run.seconds for run in timed if run.step == step and run.all_done),
        }
    return found


@click.command(help=__doc__)
@click.option("--times", default=10, help="The size, in those of the two real forums.")
@click.option("--workers", default="1,2,4", help="Workers of Ray to try; 2 must be one of them.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where dumps are made, and used again.")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON.")
def main(times: int, workers: str, folder: Path | None, as_json: bool) -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as scratch:
        place = Path(scratch)
        files = dumps(folder or place, times * REAL)
        server = Running("moto", place / "moto")
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.port}", AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="made-up", AWS_SECRET_ACCESS_KEY="made-up",
        )  # fmt: skip
        connection = HTTPConnection("127.0.0.1", server.port)
        connection.request("PUT", "/bucket")
        connection.getresponse().read()
        (place / "ray").mkdir()
        cluster = Cluster(place / "ray", cores=2)
        try:
            bench = Bench(cluster)
            summed = measure(bench, files, place, [int(n) for n in workers.split(",")])
        finally:
            cluster.stop()
            server.kill()
    if as_json:
        print(json.dumps({"times": times, "runs": to_builtins(bench.timed), **summed}, indent=1))
    else:
        print("| step | files | engine | workers | s | driver's CPU, s | |\n|---|---|---|---:|---:|---:|---|")
        print("\n".join(map(_row, bench.timed)), json.dumps(summed, indent=1), sep="\n\n")


if __name__ == "__main__":
    main()
