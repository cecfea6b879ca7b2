"""`push` through Xet, the storage that huggingface_hub uses where it can: the real client, a Hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http, _xet

from shp_miner.cli import run
from shp_miner.export.dataset import export_dataset
from shp_miner.publishing import commits
from shp_miner.publishing.push import push

from .hub import TOKEN, Cut, Fault, Hub, serving
from .test_push import REPO, Once, busy, filled, tree

__all__ = ["filled"]

pytest.importorskip("hf_xet", reason="hf_xet is not made for this kind of processor")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with a storage, and a client that has sent nothing yet and asks again at once."""
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET"):
            monkeypatch.setattr(constants, name, False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "nowhere")
        monkeypatch.setattr(_http.time, "sleep", lambda _seconds: None)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
        monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
        monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
        _xet.abort_xet_session()
        yield hub
        _xet.abort_xet_session()
        _http.close_session()


def files(out: Path) -> dict[str, bytes]:
    names = [file["path"] for file in json.loads((out / "manifest.json").read_bytes())["files"]]
    return {name: (out / name).read_bytes() for name in names}


def served(hub: Hub) -> dict[str, bytes]:
    large = hub.repos[REPO].large
    return {path: large[file.sha256][0] for path, file in tree(hub).items() if file.sha256}


def test_files_travel_as_chunks_and_only_new_ones(hub: Hub, filled: Path, tmp_path: Path) -> None:
    export_dataset(filled / "store", tmp_path / "out", rule="votes", communities=["other"])
    push(tmp_path / "out", REPO)
    assert served(hub) == files(tmp_path / "out")
    assert not [path for method, path in hub.log if method == "PUT"]
    before = len(hub.repos[REPO].xorbs)
    assert before
    assert push(tmp_path / "out", REPO).commits == []
    assert len(hub.repos[REPO].xorbs) == before
    export_dataset(filled / "store", tmp_path / "out", rule="votes", replace=True)
    push(tmp_path / "out", REPO)
    assert served(hub) == files(tmp_path / "out")
    sent = [chunk for chunks in hub.repos[REPO].xorbs.values() for chunk in chunks]
    assert len(sent) == len(set(sent))


@pytest.mark.parametrize(
    ("where", "faults", "code"),
    [
        ("/xet-write-token/", [busy(503)], 0),
        ("/xet-write-token/", [busy(503)] * 99, 75),
        ("/xet-write-token/", [Fault(401, message="Expired")] * 99, 4),
        ("/xet-write-token/", [Fault(403, message="No write access")] * 99, 4),
        ("/v1/xorbs/", [Cut()], 0),
        ("/v1/xorbs/", [busy(503)] * 99, 75),
        ("/v1/xorbs/", [Fault(403, message="Not yours")] * 99, 4),
        ("/v1/shards", [busy(429)], 0),
        ("/v1/shards", [Cut()] * 99, 75),
    ],
)
def test_a_storage_that_fails_is_said_and_the_next_push_goes_on(
    hub: Hub, filled: Path, where: str, faults: list[Exception], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.before = Once(lambda method, path: where in path, *faults)
    assert run(["push", str(filled / "out"), REPO, "-v"]) == code
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err
    assert "bug" not in said.err
    if code:
        assert set(tree(hub)) == {".gitattributes"}
        hub.before = lambda method, path: None
        assert run(["push", str(filled / "out"), REPO]) == 0
    assert served(hub) == files(filled / "out")


def test_several_commits_and_a_purge_leave_only_what_is_served(
    hub: Hub, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "CHANGES_MOST", 2)
    out = tmp_path / "out"
    export_dataset(filled / "store", out, rule="votes")
    push(out, REPO)
    earlier = set(hub.repos[REPO].large)
    shutil.rmtree(out)
    export_dataset(filled / "store", out, rule="votes", communities=["other"])
    done = push(out, REPO, purge_history=True)
    assert len(done.commits) > 1
    assert served(hub) == files(out)
    left = set(hub.repos[REPO].large)
    assert left == {file.sha256 for file in tree(hub).values() if file.sha256}
    assert earlier - left


def test_ctrl_c_while_chunks_travel_ends_at_once(hub: Hub, filled: Path, tmp_path: Path) -> None:
    under_way, ended = threading.Event(), threading.Event()

    def hangs(method: str, path: str) -> None:
        if "/v1/xorbs/" in path:
            under_way.set()
            ended.wait(60)
            raise Cut

    hub.before = hangs
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "0"}
    command = [sys.executable, "-m", "shp_miner", "push", str(filled / "out"), REPO]
    with subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True) as running:
        assert under_way.wait(60)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
        ended.set()
    assert running.returncode == 3, said
    assert "run the same command again" in said
    assert set(tree(hub)) == {".gitattributes"}
