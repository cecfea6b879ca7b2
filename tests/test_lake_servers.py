"""Stores on S3 servers that others wrote: one that loses commits is refused. Run with `pytest -m slow`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shp_miner import export_dataset
from shp_miner.cli import run
from shp_miner.forum import demo
from shp_miner.forum.live import Community
from shp_miner.store import Store

from . import s3
from .build import tree
from .test_lake import dump

pytestmark = pytest.mark.slow

#: The version whose lost commits were counted.
S3RVER = "s3rver@3.7.1"


@pytest.fixture
def s3rver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a running s3rver with the bucket `bucket`."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no npm and node to run s3rver with")
    place, data = tmp_path / "npm", tmp_path / "data"
    place.mkdir()
    installed = subprocess.run([npm, "install", "--no-audit", S3RVER], cwd=place, capture_output=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm could not install {S3RVER}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [place / "node_modules/.bin/s3rver", "-d", data, "-a", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen([*command, "--configure-bucket", "bucket"], stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            s3.credentials(monkeypatch, port)
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "S3RVER")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S3RVER")
            yield data / "bucket"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.skip("s3rver did not start within 30 s")


def test_s3rver_is_refused_and_nothing_is_left_in_it(
    s3rver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(file) for file in dump(tmp_path)]
    assert run(["import", "reddit-dump", *files, "--store", "s3://bucket/store"]) == 5
    assert "would lose data" in capsys.readouterr().err
    assert not [path for path in s3rver.rglob("*") if path.is_file()]
    assert run(["import", "reddit-dump", *files, "--store", os.fspath(tmp_path / "store")]) == 0


def test_a_crawl_with_deletions_gives_the_bytes_of_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = replace(demo.WORLD, threads=12)
    outs = []
    with s3.running() as server:
        s3.credentials(monkeypatch, server.port)
        for place in (str(tmp_path / "store"), "s3://bucket/store"):
            community = Community(name=demo.COMMUNITY, world=world, seed=1, now=world.starts_at)
            store, out = Store(place), tmp_path / f"out{len(outs)}"
            store.create()
            days, deleted = demo._crawled(community, world, store, lambda _: None)
            assert sum(day.gone for day in days) == deleted > 0
            export_dataset(store, out, rule="votes")
            outs.append({path: data for path, data in tree(out).items() if path.endswith("parquet")})
    assert outs[0] == outs[1] != {}
    state = Path(os.environ["XDG_STATE_HOME"])
    assert len(list(state.rglob("crawl.sqlite"))) == 1
