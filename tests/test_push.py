"""`push`: an export on the Hub, by a real client against a Hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from shp_miner import NotAllowed, import_dump
from shp_miner.cli import run
from shp_miner.errors import BadInput, Incomplete, TryLater, UsageError
from shp_miner.export.dataset import export_dataset
from shp_miner.export.load import load
from shp_miner.publishing import commits
from shp_miner.publishing.push import push

from .build import thread, write_month
from .conftest import NOW
from .hub import READER, TOKEN, Cut, Fault, Hub, serving

#: The library uploads in a way that its own HTTP client would rather have written differently.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "alice/pairs"
SECRET = "Xylotext"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two communities, and its export; Alice answered in one thread."""
    folder = tmp_path_factory.mktemp("filled")
    records = [record for number in range(40) for record in thread(f"p{number}", (3, 9, 5, 7))]
    records += [record for number in range(20) for record in thread(f"q{number}", (4, 6), subreddit="other")]
    for record in records:
        if record["id"] == "p1c1":
            record |= {"body": f"{SECRET} of somebody.", "author": "Alice_Zephyr"}
    import_dump("reddit-dump", write_month(folder / "dump", records), folder / "store", now=NOW)
    export_dataset(folder / "store", folder / "out", rule="votes")
    return folder


@pytest.fixture
def out(tmp_path: Path, filled: Path) -> Path:
    shutil.copytree(filled / "out", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that this process is set to, with a token that may write. Waits of the library take no time."""
    with serving() as hub:
        _as(hub, monkeypatch)
        yield hub
        _http.close_session()


def _as(hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str = TOKEN) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "nowhere")
    monkeypatch.setattr(_http.time, "sleep", lambda _seconds: None)
    monkeypatch.setenv("HF_TOKEN", token)


def tree(hub: Hub, branch: str = "main") -> dict[str, Any]:
    repo = hub.repos[REPO]
    return repo.commits[repo.branches[branch]].tree


def rows(out: Path) -> list[str]:
    return sorted(load(out)["pair_id"])


def again(tmp_path: Path, filled: Path, **options: Any) -> Path:
    """The export of the same store with other options, in the place of the first."""
    export_dataset(filled / "store", tmp_path / "out", rule="votes", **options)
    return tmp_path / "out"


# -- what is there afterwards -----------------------------------------------------------------------------------------


def test_push_and_load_dataset_round_trip(hub: Hub, out: Path, tmp_path: Path) -> None:
    """A real shell: HF_ENDPOINT and HF_TOKEN are all it is told."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "shp_miner", "push", str(out), "pairs", "--json"]
    pushed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert pushed.returncode == 0, pushed.stderr
    told = json.loads(pushed.stdout)
    assert told["repo"] == REPO
    assert told["created"]
    assert told["private"]
    assert hub.repos[REPO].private
    assert len(hub.repos[REPO].commits) == 2  # the first one of a new data set, and ours
    assert TOKEN not in pushed.stdout + pushed.stderr
    code = f"""
import json
from datasets import load_dataset
for name in (None, "other"):
    data = load_dataset({REPO!r}, name)
    print(json.dumps(sorted(row for split in data.values() for row in split["pair_id"])))
"""
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    every, other = map(json.loads, loaded.stdout.splitlines())
    assert every == rows(out)
    assert 0 < len(other) < len(every)


def test_a_second_push_sends_nothing(hub: Hub, out: Path) -> None:
    push(out, REPO)
    before, received = len(hub.repos[REPO].commits), dict(hub.received)
    done = push(out, REPO)
    assert (done.commits, done.bytes, done.added, done.replaced) == ([], 0, [], [])
    assert len(hub.repos[REPO].commits) == before
    assert hub.received == received


def test_only_what_changed_travels_and_what_left_the_manifest_is_deleted(
    hub: Hub, out: Path, tmp_path: Path, filled: Path
) -> None:
    push(out, REPO)
    hub.write(REPO, "notes.txt", "mine")
    received = dict(hub.received)
    shutil.rmtree(out)
    done = push(again(tmp_path, filled, communities=["other"]), REPO)
    assert len(done.commits) == 1
    assert done.deleted
    assert done.old_rows
    assert "notes.txt" in tree(hub)
    names = {file["path"] for file in json.loads((out / "manifest.json").read_bytes())["files"]}
    assert set(tree(hub)) == names | {"README.md", "manifest.json", "notes.txt", ".gitattributes"}
    hashes = {file["sha256"] for file in json.loads((out / "manifest.json").read_bytes())["files"]}
    assert hub.received.keys() - received.keys() <= hashes


def test_several_formats_are_pushed_whole(hub: Hub, tmp_path: Path, filled: Path) -> None:
    out = again(tmp_path, filled, formats=["pairs", "trl"])
    push(out, REPO)
    local = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert local <= tree(hub).keys()
    shutil.rmtree(out)
    done = push(again(tmp_path, filled), REPO)
    assert not [path for path in tree(hub) if path.startswith(("pairs/", "trl/"))]
    assert "trl/manifest.json" in done.deleted


def test_too_many_files_for_one_commit_come_data_first(
    hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "CHANGES_MOST", 2)
    done = push(out, REPO)
    assert len(done.commits) > 2
    titles = [hub.repos[REPO].commits[commit].title for commit in done.commits]
    assert titles[0] == f"Update the export (part 1 of {len(titles)})"
    for commit in done.commits[:-1]:
        assert {"README.md", "manifest.json"}.isdisjoint(hub.repos[REPO].commits[commit].tree)
    assert not [path for path in tree(hub) if path.startswith(".shp-miner")]


def test_a_push_that_ended_between_two_commits_leaves_nothing_unknown(
    hub: Hub, out: Path, tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "CHANGES_MOST", 2)

    monkeypatch.setattr(commits.Sending, "_commit", _interrupted_after(1, commits.Sending._commit))
    with pytest.raises(KeyboardInterrupt):
        push(out, REPO)
    monkeypatch.undo()
    _as(hub, monkeypatch)
    before = {path for path in tree(hub) if path.endswith(".parquet")}
    assert before
    assert "README.md" not in tree(hub)
    shutil.rmtree(out)
    export = again(tmp_path, filled, communities=["other"])
    push(export, REPO)
    names = {file["path"] for file in json.loads((export / "manifest.json").read_bytes())["files"]}
    assert {path for path in tree(hub) if path.endswith(".parquet")} == names


def _interrupted_after(number: int, real: Callable[..., str]) -> Callable[..., str]:
    made = []

    def commit(*arguments: Any) -> str:
        if len(made) == number:
            raise KeyboardInterrupt
        made.append(real(*arguments))
        return made[-1]

    return commit
