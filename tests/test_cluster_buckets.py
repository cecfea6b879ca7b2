"""A real Ray cluster whose dumps, store and exports are in a bucket of a real server, and nothing is on a disk.

    pip install -c constraints.txt -e '.[ray,objects]' pytest hypothesis
    pytest -m slow tests/test_cluster_buckets.py -n 0 -s

Between them and the server (moto, or localbucket, which keeps its objects when it is killed) stands tests/s3.py, which
makes it fail. What is printed is in docs/cluster.md. Takes some minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from shp_miner.paths import expanded

from . import s3
from .servers import Cluster, Running, hashes, wait_until

pytestmark = pytest.mark.slow

pytest.importorskip("obstore", reason="the extra `objects` is not installed")

#: How long a server is away, answers 503 or is slow; the seconds of each slow answer.
AWAY_S, SLOW_S = 5.0, 1.0


@pytest.fixture(scope="module")
def gate() -> Iterator[s3.Server]:
    """A server that passes requests on, and the environment that names it."""
    with s3.running() as gate, pytest.MonkeyPatch.context() as environment:
        s3.credentials(environment, gate.port)
        yield gate


@pytest.fixture(scope="module")
def cluster(gate: s3.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("c"))
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest, gate: s3.Server, tmp_path: Path) -> Iterator[Running]:
    server = Running(request.param, tmp_path)
    gate.behind = server.port
    connection = HTTPConnection("127.0.0.1", gate.port)
    connection.request("PUT", "/bucket")  # localbucket has it
    connection.getresponse().read()
    connection.close()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def forums() -> list[Path]:
    """The dumps of two forums."""
    shared = Path(os.environ.get("SHP_MINER_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not shared.is_dir():
        pytest.skip("no real forum data beside the project (set SHP_MINER_TEST_DATA to its folder)")
    return sorted((shared / "reddit-dumps").glob("R?_*.zst"))


def words_of(dumps: list[str], base: str, out: str) -> dict[str, list[str]]:
    store = ["--store", f"{base}/store"]
    return {
        "import": ["import", "reddit-dump", *dumps, *store],
        "export": ["export", f"{base}/{out}", *store, "--rule", "votes"],
    }


def local(cluster: Cluster, dumps: list[Path], folder: Path) -> None:
    """Import and export on a disk by the local engine."""
    for words in words_of([*map(str, dumps)], str(folder), "out").values():
        cluster.done(*words, ray=False)


def put(dumps: list[Path]) -> list[str]:
    """Put dumps into the bucket; return their addresses."""
    urls = [f"s3://bucket/dumps/{path.name}" for path in dumps]
    for path, url in zip(dumps, urls, strict=True):
        expanded(url).write_bytes(path.read_bytes())
    return urls


def left_over(name: str) -> list[str]:
    """Return the keys that are neither dumps nor a finished export or store."""
    keys = {str(path) for path in expanded(f"s3://bucket/{name}").rglob("*")}
    return [key for key in keys if ".new" in key or "importing" in key or ".shp-miner" in key or ".result" in key]


class Trouble:
    """What happens to a server in the middle of a command. `ends` says whether the command ends with an error."""

    def __init__(self, kind: str, gate: s3.Server, server: Running) -> None:
        self.kind, self.gate, self.server, self.ends = kind, gate, server, kind == "expired"

    def __call__(self) -> None:
        if self.kind == "restarted":
            self.server.kill()
            time.sleep(AWAY_S)
            self.server.start()
        elif self.kind == "expired":
            self.gate.expired = True
        else:
            status, slow_s = (503, 0.0) if self.kind == "503" else (200, SLOW_S)
            self.gate.faults.append(s3.Fault(status=status, slow_s=slow_s, times=10**9))
            time.sleep(AWAY_S)
            self.gate.faults.clear()


def run(cluster: Cluster, gate: s3.Server, words: list[str], trouble: Trouble | None = None) -> float:
    """Run a command on the cluster, if need be twice; return its seconds. Trouble begins when it is at work."""
    gate.asked.clear()
    began = time.monotonic()
    driver = cluster.driver(*words)
    if trouble:
        at_work = "GET.*dumps/" if words[0] == "import" else "PUT.*result$"
        wait_until(lambda: s3.asked(gate, at_work) > 2)
        trouble()
        assert driver.poll() != 0, "the command ended before the trouble did"
    driver.communicate(timeout=500)
    gate.expired = False
    if trouble and driver.returncode:  # credentials ended, or the server was away for longer than tries last
        assert driver.returncode == (4 if trouble.ends else 75)
        cluster.done(*words)
    else:
        assert driver.returncode == 0
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("server", "kinds"),
    [("moto", ["expired", "slow", "503"]), ("localbucket", ["restarted"])],
    indirect=["server"],
    ids=["moto", "localbucket"],
)
def test_whatever_a_server_does_the_bytes_are_those_of_a_disk(
    server: Running, kinds: list[str], gate: s3.Server, cluster: Cluster, forums: list[Path], tmp_path: Path
) -> None:
    local(cluster, forums, tmp_path)
    dumps, usual = put(forums), dict[str, float]()
    for kind in ["", *kinds]:
        name = f"run{kind}"
        for step, words in words_of(dumps, f"s3://bucket/{name}", "out").items():
            seconds = run(cluster, gate, words, Trouble(kind, gate, server) if kind else None)
            usual.setdefault(step, seconds)
            print(f"\n{step} {kind or 'undisturbed'}: {seconds:.1f} s, {seconds - usual[step]:+.1f} s", end="")
        assert hashes(expanded(f"s3://bucket/{name}/out")) == hashes(tmp_path / "out")
        assert left_over(name) == []
    assert not list(cluster.folder.rglob("*.parquet"))
