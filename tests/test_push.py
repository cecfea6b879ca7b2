"""`push`: an export on the Hub, by a real client against a Hub on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from shp_miner import NotAllowed, import_dump
from shp_miner.cli import run
from shp_miner.errors import BadInput, Incomplete, UsageError
from shp_miner.export.dataset import export_dataset
from shp_miner.export.load import load
from shp_miner.publishing import commits
from shp_miner.publishing.cards import BEGIN, END, merged_card
from shp_miner.publishing.push import push

from .build import thread, write_month
from .conftest import NOW
from .hub import READER, TOKEN, Cut, Fault, Hub, serving
from .test_progress import Terminal

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


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[pytest.MonkeyPatch, pytest.CaptureFixture[str]]:
    """The variables that a command sees, and what it prints."""
    return monkeypatch, capsys


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
    export_dataset(filled / "store", tmp_path / "out", rule="votes", replace=True, **options)
    return tmp_path / "out"


class Once:
    """Fails in turn, each time that a request fits; `hits` counts."""

    def __init__(self, fits: Callable[[str, str], bool], *faults: Exception) -> None:
        self.fits, self.faults, self.hits = fits, list(faults), 0

    def __call__(self, method: str, path: str) -> None:
        if self.faults and self.fits(method, path):
            self.hits += 1
            raise self.faults.pop(0)


def busy(status: int = 503, **headers: str) -> Fault:
    return Fault(status, message="Busy", headers={name.replace("_", "-"): value for name, value in headers.items()})


# -- what is there afterwards -----------------------------------------------------------------------------------------


def test_push_and_load_dataset_round_trip(hub: Hub, out: Path, tmp_path: Path) -> None:
    """A real shell that is told HF_ENDPOINT and HF_TOKEN, against a Hub that is busy, hangs up and is changed."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}

    def shell(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    faults = [
        Once(lambda method, path: path == "/api/repos/create", busy(429, Retry_After="0")),
        Once(lambda method, path: path.endswith("/objects/batch"), busy(503, Retry_After="0")),
        Once(lambda method, path: method == "PUT", Cut()),
    ]

    def trouble(method: str, path: str) -> None:
        for fault in faults:
            fault(method, path)
        if "/commit/" in path:
            hub.before = lambda method, path: None
            hub.write(REPO, "theirs.txt", "somebody else's")

    hub.before = trouble
    first = shell("-m", "shp_miner", "push", str(out), "pairs", "-v")
    assert first.returncode == 75, first.stderr
    assert "Run the same command again" in first.stderr
    assert [fault.hits for fault in faults] == [1, 1, 1]
    pushed = shell("-m", "shp_miner", "push", str(out), "pairs", "--json")
    assert pushed.returncode == 0, pushed.stderr
    told = json.loads(pushed.stdout)
    assert (told["repo"], told["private"], len(told["commits"])) == (REPO, True, 1)
    assert hub.repos[REPO].private
    assert tree(hub)["theirs.txt"].content == b"somebody else's"
    assert TOKEN not in first.stdout + first.stderr + pushed.stdout + pushed.stderr
    code = f"""
import json
from datasets import load_dataset
for name in (None, "other"):
    data = load_dataset({REPO!r}, name)
    print(json.dumps(sorted(row for split in data.values() for row in split["pair_id"])))
"""
    loaded = shell("-c", code)
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


def test_too_many_files_for_one_commit_come_data_first(hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


# -- what people wrote there ------------------------------------------------------------------------------------------


def test_what_people_added_to_the_card_stays(hub: Hub, out: Path, tmp_path: Path, filled: Path) -> None:
    push(out, REPO)
    card = tree(hub)["README.md"].content.decode()
    edited = re.sub("pretty_name: .*", "pretty_name: My pairs", card).replace("tags:\n", "tags:\n- mine\n")
    edited = edited.replace("<!-- shp-miner:begin -->", "Above.\n\n<!-- shp-miner:begin -->\nLost.")
    hub.write(REPO, "README.md", edited + "\n## Mine\n\nBelow.\n")
    shutil.rmtree(out)
    push(again(tmp_path, filled, communities=["other"]), REPO)
    now = tree(hub)["README.md"].content.decode()
    assert "pretty_name: My pairs" in now
    assert "- mine\n" in now
    assert "\nAbove.\n" in now
    assert now.endswith("## Mine\n\nBelow.\n")
    assert "Lost." not in now
    assert f'load_dataset("{REPO}"' in now
    assert push(out, REPO).commits == []


def test_a_card_whose_markers_are_damaged_stops_the_push(hub: Hub, out: Path, tmp_path: Path, filled: Path) -> None:
    push(out, REPO)
    card = tree(hub)["README.md"].content.decode()
    hub.write(REPO, "README.md", card.replace("<!-- shp-miner:end -->", ""))
    before = dict(hub.repos[REPO].branches)
    with pytest.raises(BadInput, match=r"README.md of alice/pairs"):
        push(out, REPO)
    assert hub.repos[REPO].branches == before


def test_a_file_of_somebody_is_not_replaced(hub: Hub, out: Path) -> None:
    hub.create(REPO)
    hub.write(REPO, "manifest.json", "{}")
    with pytest.raises(UsageError, match=r"manifest\.json that is not shp-miner's"):
        push(out, REPO)
    assert tree(hub)["manifest.json"].content == b"{}"
    assert not hub.received


# -- who may see it ---------------------------------------------------------------------------------------------------


def test_nothing_is_public_by_accident(hub: Hub, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.create(REPO, private=False)
    assert run(["push", str(out), REPO]) == 2
    assert "everybody can read" in capsys.readouterr().err
    assert not hub.received
    hub.makes_public = True
    with pytest.raises(NotAllowed, match="made alice/new public"):
        push(out, "alice/new")
    assert not hub.received
    assert run(["push", str(out), REPO, "--public"]) == 0


def test_a_data_set_keeps_its_visibility(hub: Hub, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.create(REPO)
    assert run(["push", str(out), REPO, "--public"]) == 0
    assert "stays private" in capsys.readouterr().err
    assert hub.repos[REPO].private


def test_a_dry_run_needs_no_right_to_write(
    hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    assert run(["push", str(out), REPO, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert told["created"]
    assert abs(told["bytes"] - size) < 500  # the card gets the name of the data set
    assert hub.repos == {}
    hub.create(REPO)
    assert run(["push", str(out), REPO, "--dry-run"]) == 0
    assert "nothing is" in capsys.readouterr().out
    assert not [method for method, _ in hub.log if method not in ("GET", "HEAD")]


@pytest.mark.parametrize(
    ("token", "repo", "code_and_words"),
    [
        ("", REPO, (4, "no token")),
        ("hf_wrong", REPO, (4, "refuses the token")),
        (READER, REPO, (4, "does not allow this")),
        (TOKEN, "somebody/pairs", (4, "does not allow this")),
        (TOKEN, "alice/taken", (2, "taken")),
        (TOKEN, "alice/a/b", (2, "not the name")),
        (TOKEN, "alice/..", (2, "not the name")),
    ],
)
def test_what_may_not_be_is_said_and_nothing_is_sent(
    hub: Hub,
    out: Path,
    shell: tuple[pytest.MonkeyPatch, pytest.CaptureFixture[str]],
    token: str,
    repo: str,
    code_and_words: tuple[int, str],
) -> None:
    monkeypatch, capsys = shell
    code, words = code_and_words
    monkeypatch.setenv("HF_TOKEN", token)
    assert run(["push", str(out), repo, "-v"]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert not token or token not in said.out + said.err
    assert not hub.received


# -- exports that are not whole ---------------------------------------------------------------------------------------


def test_a_damaged_export_does_not_leave_the_machine(hub: Hub, out: Path, tmp_path: Path) -> None:
    shard = next(out.rglob("*.parquet"))
    data = shard.read_bytes()
    shard.write_bytes(data[:-9] + b"x" + data[-8:])
    assert run(["push", str(out), REPO]) == 5
    shard.unlink()
    assert run(["push", str(out), REPO]) == 5
    assert run(["push", str(tmp_path), REPO]) == 5
    assert hub.log == []


# -- a Hub that fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "fits"),
    [
        ("reading", lambda method, path: method == "GET" and path == f"/api/datasets/{REPO}/revision/main"),
        ("making", lambda method, path: path == "/api/repos/create"),
        ("asking", lambda method, path: "/preupload/" in path),
        ("batch", lambda method, path: path.endswith("/objects/batch")),
        ("sending", lambda method, path: method == "PUT"),
        ("committing", lambda method, path: "/commit/" in path),
    ],
)
def test_a_busy_hub_is_asked_again(hub: Hub, out: Path, what: str, fits: Callable[[str, str], bool]) -> None:
    hub.before = faults = Once(fits, busy(429, Retry_After="3"), busy(), Cut())
    done = push(out, REPO)
    assert faults.hits == 3
    assert len(hub.repos[REPO].commits) == 2
    assert tree(hub).keys() >= set(done.added)


def test_the_wait_that_the_hub_asks_for_is_kept(hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(_http.time, "sleep", waits.append)
    hub.before = Once(lambda method, path: path == "/api/repos/create", busy(429, Retry_After="17"))
    push(out, REPO)
    assert 17.0 in waits


def test_a_long_wait_ends_the_push_at_once(hub: Hub, out: Path) -> None:
    hub.before = faults = Once(lambda method, path: path == "/api/repos/create", busy(429, Retry_After="86400"))
    assert run(["push", str(out), REPO]) == 75
    assert faults.hits == 1


def test_a_hub_that_is_down_is_exit_75_and_the_next_push_goes_on(hub: Hub, out: Path) -> None:
    sent = []

    def dies(method: str, path: str) -> None:
        if "/commit/" in path:
            raise busy()

    hub.before = dies
    assert run(["push", str(out), REPO]) == 75
    assert set(tree(hub)) == {".gitattributes"}
    sent = [path for method, path in hub.log if method == "PUT"]
    hub.before = lambda method, path: None
    assert run(["push", str(out), REPO]) == 0
    assert [path for method, path in hub.log if method == "PUT"] == sent  # no large file travels twice


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: Hub, out: Path) -> None:
    hub.after = Once(lambda method, path: "/commit/" in path, Cut())
    done = push(out, REPO)
    assert len(hub.repos[REPO].commits) == 2
    assert done.commits == [hub.repos[REPO].branches["main"]]


def test_a_concurrent_push_is_not_overwritten(hub: Hub, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.create(REPO)

    def meanwhile(method: str, path: str) -> None:
        if "/commit/" in path:
            hub.before = lambda method, path: None
            hub.write(REPO, "theirs.txt", "first")

    hub.before = meanwhile
    assert run(["push", str(out), REPO]) == 75
    assert "Run the same command again" in capsys.readouterr().err
    assert set(tree(hub)) == {".gitattributes", "theirs.txt"}
    assert run(["push", str(out), REPO]) == 0
    assert "theirs.txt" in tree(hub)


def test_files_that_the_hub_left_out_are_reported(hub: Hub, out: Path) -> None:
    hub.create(REPO)
    hub.write(REPO, ".gitignore", "*.parquet")
    with pytest.raises(Incomplete, match="does not have"):
        push(out, REPO)


def test_offline_is_said(hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run(["push", str(out), REPO]) == 2


# -- history ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Path:
    """A store of its own, with an export at `out`."""
    shutil.copytree(filled / "store", tmp_path / "store")
    (tmp_path / "store" / "identity.json").unlink()
    shutil.rmtree(tmp_path / "store" / "exports")
    export_dataset(tmp_path / "store", tmp_path / "out", rule="votes")
    return tmp_path / "store"


def cli(*words: object) -> int:
    return run([str(word) for word in words])


def test_after_forget_and_purge_no_revision_serves_the_text(
    hub: Hub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli("push", out, REPO, "--store", store) == 0
    assert served(hub, SECRET)
    capsys.readouterr()
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 0
    assert f"push {out} {REPO} --purge-history" in capsys.readouterr().err
    assert cli("push", out, REPO, "--store", store) == 0
    assert "still serve what was forgotten" in capsys.readouterr().out
    assert served(hub, SECRET)
    assert cli("push", out, REPO, "--store", store, "--purge-history") == 2  # nobody can be asked
    assert cli("push", out, REPO, "--store", store, "--purge-history", "--dry-run") == 0
    assert "Would be deleted for good" in capsys.readouterr().out
    assert served(hub, SECRET)
    assert cli("push", out, REPO, "--store", store, "--purge-history", "--yes") == 0
    assert not served(hub, SECRET)
    assert len(hub.repos[REPO].commits) == 1
    assert {file["sha256"] for file in json.loads((out / "manifest.json").read_bytes())["files"]} == hub.repos[
        REPO
    ].large.keys()
    capsys.readouterr()
    assert cli("forget", "--id", "reddit.com/p2", "--store", store, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pushed"] == []


def served(hub: Hub, text: str) -> bool:
    """Whether any byte of a text is in what the Hub keeps: in rows, which are compressed, too."""
    if text.encode() in hub.everything():
        return True
    kept = [content for repo in hub.repos.values() for content, _, _ in repo.large.values()]
    return any(text in str(pl.read_parquet(content).rows()) for content in kept if content[:4] == b"PAR1")


def test_tags_and_pull_requests_that_still_serve_an_export_are_named(
    hub: Hub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    push(out, REPO, store=store)
    repo = hub.repos[REPO]
    repo.tags["v1"] = repo.pulls["refs/pr/1"] = repo.branches["main"]
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 0
    capsys.readouterr()
    assert cli("push", out, REPO, "--store", store, "--purge-history", "--yes") == 3
    said = capsys.readouterr().err
    assert "tag v1" in said
    assert "pull request refs/pr/1" in said
    assert not served(hub, SECRET)  # the rows are gone; cards and manifests are what is left
    del repo.tags["v1"], repo.pulls["refs/pr/1"]
    assert cli("push", out, REPO, "--store", store, "--purge-history", "--yes") == 0


def test_a_commit_that_the_hub_still_serves_by_its_id_is_named(
    hub: Hub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(tmp_path / "out", REPO, store=store)
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 0
    hub.keeps_old_commits = True
    capsys.readouterr()
    assert cli("push", tmp_path / "out", REPO, "--store", store, "--purge-history", "--yes") == 3
    assert "by its id" in capsys.readouterr().err
    assert not served(hub, SECRET)
    assert cli("push", tmp_path / "out", REPO, "--store", store, "--purge-history", "--yes") == 3
    capsys.readouterr()
    assert cli("forget", "--store", store, "--id", "reddit.com/p3") == 0
    assert "still serve what was forgotten" in capsys.readouterr().err
    hub.keeps_old_commits = False
    hub.repos[REPO].drop_unreachable()
    assert cli("push", tmp_path / "out", REPO, "--store", store, "--purge-history", "--yes") == 0


def test_a_terminal_is_asked_before_a_purge_and_a_public_push(
    hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def no(about: str, question: str) -> bool:
        asked.append(about)
        return False

    hub.create(REPO, private=False)
    with pytest.raises(UsageError, match="everybody can read"):
        push(out, REPO, confirm=no)
    push(out, REPO, public=True)
    before = hub.repos[REPO].branches["main"]
    with pytest.raises(UsageError, match="history of alice/pairs stays"):
        push(out, REPO, public=True, purge_history=True, confirm=no)
    assert asked == ["public", "purge"]
    assert hub.repos[REPO].branches["main"] == before
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda question, **_: bool(asked.append(question)))
    assert run(["push", str(out), REPO, "--public", "--purge-history"]) == 2
    assert "squashed" in asked[-1]
    assert run(["push", str(out), REPO, "--public", "--purge-history", "--yes"]) == 0


@pytest.mark.parametrize(("keys", "code"), [("\x03", 3), ("\n", 2), ("n\n", 2), ("y\n", 0)], ids=repr)
def test_a_public_data_set_is_changed_only_after_a_yes(keys: str, code: int, hub: Hub, out: Path) -> None:
    hub.create(REPO, private=False)
    before = dict(hub.repos[REPO].branches)
    terminal = Terminal(
        "push", str(out), REPO, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1", HF_TOKEN=TOKEN
    )
    terminal.until(lambda data: "Push? [y/N]: " in data)
    terminal.press_at_question(keys)
    ended, lines = terminal.end()
    assert ended == code, lines
    assert (hub.repos[REPO].branches == before) == (code != 0)
    said = {3: "Error: The question was not answered: nothing was done.", 2: f"Error: {REPO} is public: everybody can"}
    assert any(line.startswith(said.get(code, "Pushed to")) for line in lines)


def test_a_purge_keeps_what_other_branches_and_people_have(hub: Hub, out: Path, tmp_path: Path, filled: Path) -> None:
    push(out, REPO)
    push(out, REPO, revision="old")
    repo = hub.repos[REPO]
    repo.large["f" * 64] = (b"a model of somebody", "model.bin", hub.now())
    before = set(repo.large)
    shutil.rmtree(out)
    done = push(again(tmp_path, filled, communities=["other"]), REPO, purge_history=True)
    assert done.history is not None
    assert any("branch old" in sentence for sentence in done.history.left)
    assert before <= repo.large.keys()
    assert push(tmp_path / "out", REPO, revision="old", purge_history=True).history is not None
    assert "f" * 64 in repo.large
    assert not served(hub, SECRET)


def test_a_killed_push_is_known_to_the_purge(
    hub: Hub, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large files that were sent and never committed are in no manifest there."""
    out = tmp_path / "out"
    monkeypatch.setattr(commits.Sending, "_commit", _interrupted_after(0, commits.Sending._commit))
    with pytest.raises(KeyboardInterrupt):
        push(out, REPO, store=store)
    monkeypatch.undo()
    _as(hub, monkeypatch)
    assert served(hub, SECRET)
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 0
    push(out, REPO, store=store, purge_history=True)
    assert not served(hub, SECRET)


def test_a_branch_that_the_store_knows_to_be_clean_is_not_named(hub: Hub, store: Path, tmp_path: Path) -> None:
    push(tmp_path / "out", REPO, store=store)
    push(tmp_path / "out", REPO, store=store, revision="v1")
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 0
    assert cli("push", tmp_path / "out", REPO, "--store", store, "--purge-history", "--yes") == 3
    words = ("--store", store, "--purge-history", "--yes")
    assert served(hub, SECRET)  # the branch v1 is alive, and has it
    assert cli("push", tmp_path / "out", REPO, "--revision", "v1", *words) == 0
    assert not served(hub, SECRET)
    assert cli("push", tmp_path / "out", REPO, *words) == 0


def test_an_export_that_a_forget_request_has_not_reached_is_not_pushed(
    hub: Hub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.rename(tmp_path / "away")
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 3
    (tmp_path / "away").rename(out)
    assert cli("push", out, REPO, "--store", store) == 75
    assert "may have its content" in capsys.readouterr().err
    assert hub.log == []
    assert cli("forget", "--store", store) == 0
    assert cli("push", out, REPO, "--store", store) == 0
    assert not served(hub, SECRET)


def test_each_export_that_was_pushed_to_a_data_set_counts(
    hub: Hub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(tmp_path / "out", REPO, store=store)
    export_dataset(store, tmp_path / "two", rule="votes", communities="other")
    push(tmp_path / "two", REPO, store=store)
    assert cli("forget", "--author", "Alice_Zephyr", "--store", store) == 0
    assert f"push {tmp_path / 'two'} {REPO} --purge-history --store {store}" in capsys.readouterr().err
    push(tmp_path / "two", REPO, store=store, purge_history=True)
    assert not served(hub, SECRET)
    assert cli("status", "--store", store, "--json") == 0
    assert json.loads(capsys.readouterr().out)["forgetting_pushed"] == []


def test_an_export_that_is_gone_counts_as_one_that_had_the_content(
    hub: Hub, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(tmp_path / "out", REPO, store=store)
    shutil.rmtree(tmp_path / "out")
    words = ("forget", "--author", "Alice_Zephyr", "--store", store, "--drop-export", tmp_path / "out")
    assert cli(*words) == 0
    assert f"{tmp_path / 'out'} is gone: export again" in capsys.readouterr().err
    assert cli("status", "--store", store, "--json") == 0
    (owed,) = json.loads(capsys.readouterr().out)["forgetting_pushed"]
    assert (owed["repo"], owed["endpoint"]) == (REPO, hub.url)
    assert cli("status", "--store", store) == 0
    assert "1 pushed data set to purge" in capsys.readouterr().out


# -- cards ------------------------------------------------------------------------------------------------------------

OURS = """\
---
tags:
- ours
license: other
configs:
- config_name: all
---

# Preferences mined from forums

Text.
"""


def test_a_card_gets_its_markers_once() -> None:
    once = merged_card(OURS, None)
    assert once.startswith("---\ntags:\n- ours\n")
    assert once.count(BEGIN) == once.count(END) == 1
    assert merged_card(OURS, once) == once
    assert merged_card(once, once) == once


def test_a_readme_of_somebody_stays_below_ours() -> None:
    now = merged_card(OURS, "---\nlicense: mit\nlanguage: [en]\n---\n# Mine\n\nWords.\n")
    assert now.endswith(f"{END}\n\n# Mine\n\nWords.\n")
    assert "license: other" in now
    assert "language: [en]" in now
    assert "mit" not in now


def test_a_card_of_ours_without_markers_is_replaced() -> None:
    assert merged_card(OURS, OURS.replace("Text.", "A quote.")) == merged_card(OURS, None)


def test_keys_about_files_of_before_are_not_kept() -> None:
    info, name = "dataset_info:\n  features:\n  - name: old\n", '"pretty_name": |\n  Two\n  lines\n'
    theirs = f"---\n{info}{name}tags: [mine, ours]\n---\n"
    now = merged_card(OURS, theirs)
    assert "dataset_info" not in now
    assert "features" not in now
    assert name in now
    assert "tags:\n- ours\n- mine\n" in now
    assert now.count("ours") == 1


@pytest.mark.parametrize("theirs", ["language: nn", "language: ['no', nn]", "language:\n- nn\n- no"])
def test_languages_that_people_added_stay(theirs: str) -> None:
    ours = OURS.replace("tags:", 'language:\n- "no"\ntags:', 1)
    now = merged_card(ours, f"---\n{theirs}\n---\n")
    assert 'language:\n- "no"\n- nn\ntags:' in now
    assert merged_card(ours, now) == now


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_markers_that_are_not_a_pair_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        merged_card(OURS, f"# Mine\n{text}\n")
