"""Exports in buckets of real servers (moto, localbucket), by real processes that are killed: run with `-m slow`.

The servers come from the package index by `uv run --with`; without uv the tests are skipped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from shp_miner.errors import Error
from shp_miner.export.publish_remote import JOURNAL, WAITING
from shp_miner.paths import expanded
from shp_miner.places.path import RemotePath

from . import s3
from .build import thread, write_month
from .servers import SERVERS, Running, hashes

pytestmark = pytest.mark.slow

OUT, STORE = "s3://bucket/exports/out", "s3://bucket/store"


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    server = Running(request.param, tmp_path)
    s3.credentials(monkeypatch, server.port)
    if request.param == "moto":
        import urllib.request

        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{server.port}/bucket", method="PUT")).close()
    yield server
    server.kill()


def command(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "shp_miner", *words, "-q"], start_new_session=True)


def done(*words: str) -> float:
    """Run a command to its end, and return its seconds."""
    began = time.monotonic()
    assert command(*words).wait() == 0
    return time.monotonic() - began


def killed_when(is_time: Callable[[], bool], words: list[str]) -> None:
    """Kill a command when it is time; it must not have ended by then."""
    process = command(*words)
    while not is_time():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def there(path: RemotePath, least: int = 1) -> Callable[[], bool]:
    def look() -> bool:
        with suppress(Error):
            return len(path.object.entries()) >= least or (least == 1 and path.is_file())
        return False

    return look


def test_whatever_dies_the_bytes_are_those_of_a_disk(
    server: Running, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumps = [str(path) for path in sorted((shared_data / "reddit-dumps").glob("R?_*.zst"))]
    local, out = tmp_path / "local", expanded(OUT)
    done("import", "reddit-dump", *dumps, "--store", str(tmp_path / "store"))
    wanted = ["--format", "pairs,trl", "--rule", "votes"]
    usual_s = done("export", str(local), "--store", str(tmp_path / "store"), *wanted)
    done("import", "reddit-dump", *dumps, "--store", STORE)
    words = ["export", OUT, "--store", STORE, *wanted]
    first_s = done(*words)
    assert hashes(out) == hashes(local)
    print(f"\n{usual_s:.1f} s on a disk, {first_s:.1f} s in the bucket (store and export)")
    assert not list(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.parquet"))

    out.delete_tree()
    killed_when(there(out / WAITING, 4), words)  # while files are written
    killed_when(there(out / JOURNAL), words)  # while they take their places
    again_s = done(*words)
    assert hashes(out) == hashes(local)
    print(f"{again_s:.1f} s again after two kills")

    if server.data.joinpath("bucket", "exports").exists():  # a server that keeps its objects
        out.delete_tree()
        process = command(*words)
        for _ in range(2):
            time.sleep(usual_s / 2)
            server.kill()
            time.sleep(1.5)
            server.start()
        assert process.wait() == 0
        assert hashes(out) == hashes(local)


def test_two_processes_that_export_at_once_mix_nothing(server: Running, tmp_path: Path) -> None:
    records = [record for n in range(40) for record in thread(f"p{n}", (3, 9, 5, 7))]
    done(
        "import", "reddit-dump", *map(str, write_month(tmp_path / "dump", records)), "--store", str(tmp_path / "store")
    )
    whole = {}
    for rule in ("shp", "votes"):
        done("export", str(tmp_path / rule), "--store", str(tmp_path / "store"), "--rule", rule)
        whole[rule] = hashes(tmp_path / rule)
    codes = []
    for turn in range(4):
        both = []
        for rule in whole:
            os.environ["XDG_CACHE_HOME"] = str(tmp_path / f"machine of {rule}")
            words = ["export", f"{OUT}{turn}", "--store", str(tmp_path / "store"), "--rule", rule, "--replace"]
            both.append(command(*words))
        codes.append(sorted(process.wait() for process in both))
        assert hashes(expanded(f"{OUT}{turn}")) in whole.values()
    assert all(pair in ([0, 0], [0, 75]) for pair in codes)  # one after the other, or one of them
    assert [0, 75] in codes


def test_forgotten_text_is_in_no_object(server: Running, tmp_path: Path) -> None:
    records = [record for n in range(40) for record in thread(f"p{n}", (3, 9, 5, 7))]
    for record in records:
        if record["id"] == "p1c1":
            record |= {"body": "Xylotext", "author": "Alice"}
    done("import", "reddit-dump", *map(str, write_month(tmp_path / "dump", records)), "--store", STORE)
    done("export", OUT, "--store", STORE, "--rule", "votes")

    def holding() -> list[str]:
        found = []
        for path in expanded("s3://bucket").rglob("*"):
            data = path.read_bytes()
            is_table = data[:4] == b"PAR1"
            unpacked = pl.read_parquet(data).with_columns(pl.selectors.binary().bin.encode("hex")) if is_table else None
            text = data if unpacked is None else unpacked.write_ndjson().encode()
            found += [str(path)] if b"Xylotext" in text or b"Alice" in text else []
        return found

    assert [path for path in holding() if path.startswith(OUT)]
    assert [path for path in holding() if path.startswith(STORE)]
    done("forget", "--author", "Alice", "--store", STORE)
    assert holding() == []
