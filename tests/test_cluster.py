"""A real Ray cluster on this machine: a head and two nodes as processes of their own, and drivers that are commands.

    pip install -c constraints.txt -e '.[ray]' pytest hypothesis
    pytest -m slow tests/test_cluster.py -n 0 -s

Killed workers, nodes and drivers change no byte, and nothing is left over. Takes some minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .build import thread, tree, write_dump
from .servers import Cluster, wait_until

pytestmark = pytest.mark.slow

pytest.importorskip("ray", reason="the extra `ray` is not installed")

#: Threads and answers of the generated months: some dozens of tasks.
MONTHS, THREADS, ANSWERS = 6, 2_000, 16


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("c"))
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def at(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that the local engine made, its export, and the dumps."""
    folder = tmp_path_factory.mktemp("data")
    for month in range(MONTHS):
        records = [
            record
            for number in range(THREADS)
            for record in thread(f"p{month}x{number}", range(2, 2 + ANSWERS), subreddit=f"ask{number % 3}")
        ]
        write_dump(folder / f"RS_2024-0{month + 1}.ndjson", records)
    dumps = sorted(map(str, folder.glob("RS_*")))
    cluster.done("import", "reddit-dump", *dumps, "--store", str(folder / "store"), ray=False)
    cluster.done("export", str(folder / "local"), *export_of(folder), ray=False)
    return folder


def export_of(folder: Path, store: str = "store") -> list[str]:
    return ["--store", str(folder / store), "--rule", "votes", "--format", "pairs,kto"]


def results(out: Path) -> int:
    """How many results of tasks an export has that is being made."""
    return len(list(out.with_name(f".{out.name}.new").rglob("*.result")))


def check(at: Path, out: Path) -> None:
    """An export has the bytes of the local engine's, and nothing lies beside it that was not beside that one."""
    assert tree(out) == tree(at / "local")
    beside = {path.name for path in at.iterdir() if out.name in path.name}
    assert beside == {path.name.replace("local", out.name) for path in at.iterdir() if "local" in path.name}


def test_import_and_export_have_the_bytes_of_the_local_engine(cluster: Cluster, at: Path) -> None:
    dumps = sorted(map(str, at.glob("RS_*")))
    said = cluster.done("import", "reddit-dump", *dumps, "--store", str(at / "second"))
    assert said["complete"]
    assert not (at / "second" / "importing").exists()
    cluster.done("export", str(at / "ray"), *export_of(at, "second"))
    check(at, at / "ray")


def test_killed_workers_and_a_killed_node_change_no_byte(cluster: Cluster, at: Path) -> None:
    out = at / "killed"
    driver = cluster.driver("export", str(out), *export_of(at))
    wait_until(lambda: results(out) > 3)
    killed = 0
    while killed < 3:
        for process in cluster.workers()[:1]:
            try:
                os.kill(process, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
        time.sleep(0.3)
    cluster.kill_node(2)
    cluster.add_node()
    driver.communicate(timeout=400)
    assert driver.returncode == 0
    check(at, out)


def test_a_killed_driver_is_started_again_and_redoes_only_what_is_missing(cluster: Cluster, at: Path) -> None:
    out, new = at / "again", at / ".again.new"
    left: dict[Path, int] = {}
    for _ in range(2):
        driver = cluster.driver("export", str(out), *export_of(at))
        more = len(left) + 2
        wait_until(lambda more=more: results(out) > more)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
        found = {path: path.stat().st_mtime_ns for path in new.rglob("*.result")}
        assert left.items() <= found.items()  # none was made a second time
        left = found
    cluster.done("export", str(out), *export_of(at))
    check(at, out)


def test_a_wrong_token_and_a_cluster_that_is_not_there_are_told_apart(cluster: Cluster, at: Path) -> None:
    words = [sys.executable, "-m", "shp_miner", "export", str(at / "no"), *export_of(at), "--engine", "ray"]
    for address, token, code in ((cluster.address, "x" * 64, 4), ("127.0.0.1:9", "", 75)):
        environment = cluster.environment | ({"RAY_AUTH_TOKEN": token} if token else {})
        ended = subprocess.run(
            [*words, "--address", address], env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, ended.stderr[-2000:]
    assert not (at / "no").exists()


def test_a_task_that_fits_in_no_node_ends_the_command(cluster: Cluster, at: Path) -> None:
    words = ["export", str(at / "huge"), *export_of(at), "--engine", "ray", "--address", cluster.address]
    patient = "import sys, shp_miner.engine.ray as engine; from shp_miner.cli import run; engine._NODE_S = 3"
    ended = subprocess.run(
        [sys.executable, "-c", f"{patient}; sys.exit(run(sys.argv[1:]))", *words, "--memory", "9TB"],
        env=cluster.environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 75, ended.stderr[-2000:]
    assert "No node of the cluster has a core and 9,000,000 MB" in ended.stderr
