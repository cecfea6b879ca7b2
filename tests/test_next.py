"""How commands end: what was new, one row of what was written, and commands that can be pasted."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click
import pytest

from shp_miner import Store, import_dump
from shp_miner.cli import run
from shp_miner.cli.following import command, program
from shp_miner.dumps.novelty import novelty
from shp_miner.forum.live import Community
from shp_miner.forum.serve.server import Forum
from shp_miner.forum.world import World

from .build import comment, submission, thread, tree, write_month


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert run([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def following(text: str) -> list[str]:
    """The commands under "Next:"."""
    return [line.strip() for line in text.split("Next:\n")[1].splitlines() if line.strip()]


@pytest.fixture
def dumps(tmp_path: Path) -> list[Path]:
    return write_month(tmp_path / "dumps", [*thread("p1"), *thread("p2", subreddit="Other")])


# -- the form of a command --------------------------------------------------------------------------------------------


def script(folder: Path) -> Path:
    place = folder / ".venv" / "bin" / "shp-miner"
    place.parent.mkdir(parents=True)
    place.write_text("#!/bin/sh\n")
    place.chmod(0o755)
    return place


def test_through_uv_in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = script(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(place)])
    monkeypatch.setenv("PATH", f"{place.parent}:/bin")  # as uv sets it for what it runs
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert program() == "shp-miner", "the folder is not a project"
    (tmp_path / "pyproject.toml").touch()
    assert program() == "uv run shp-miner"
    monkeypatch.chdir("/")
    assert program() == "shp-miner", "uv would not find the project from here"


def test_in_an_active_environment_and_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    place = script(tmp_path / "my project")
    monkeypatch.setattr(sys, "argv", [str(place)])
    monkeypatch.setenv("PATH", f"{place.parent}:/bin")
    assert program() == "shp-miner"
    monkeypatch.setenv("PATH", "/bin")
    assert shlex.split(program()) == [str(place)]


def test_as_a_module_and_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/shp_miner/__main__.py"])
    assert program() == "python -m shp_miner"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert program() == "shp-miner"


def test_words_are_quoted_and_the_default_store_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert command("show", Path("my out"), store=Path("data/store")) == "shp-miner show 'my out'"
    assert command("compare", store=Path("a b")) == "shp-miner compare --store 'a b'"


# -- import -----------------------------------------------------------------------------------------------------------


def test_an_import_says_what_was_new(dumps: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "import", "reddit-dump", *dumps, "--store", "my store")
    assert "Posts: 2 new, 0 known." in text
    assert "Answers: 6 new, 0 known." in text
    for line in following(text):
        assert line.endswith("--store 'my store'")
        assert run(shlex.split(line)[1:]) == 0, line
    capsys.readouterr()
    assert "Answers: 0 new, 6 known." in said(capsys, "import", "reddit-dump", *dumps, "--store", "my store")
    more = write_month(tmp_path / "more", [comment("p1c9"), *thread("p3"), submission("p1", score=7)])
    data = json.loads(said(capsys, "import", "reddit-dump", *more, "--store", "my store", "--json"))
    assert data["new"] == {"post": 1, "answer": 4}
    assert data["known"] == {"post": 1, "answer": 0}


def test_what_is_new_cannot_be_told_after_files_were_replaced(dumps: list[Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    import_dump("reddit-dump", dumps, store)
    before = store.snapshot()
    import_dump("reddit-dump", dumps, store)
    counts = novelty(before, store)
    assert counts is not None
    assert counts.known == {"post": 2, "answer": 6}
    store.compact()
    assert novelty(before, store) is None


# -- export -----------------------------------------------------------------------------------------------------------


def test_an_export_shows_a_row_and_what_comes_next(dumps: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    run(["import", "reddit-dump", *map(str, dumps)])
    capsys.readouterr()
    text = said(capsys, "export", "my out", "--format", "trl")
    assert "One row, " in text
    assert "Preferred (score" in text
    assert following(text) == ["shp-miner show 'my out'", "shp-miner show 'my out' --sort confidence"]
    for line in following(text):
        assert run(shlex.split(line)[1:]) == 0, line
    assert len(following(said(capsys, "export", "kto", "--format", "kto"))) == 1
    capsys.readouterr()
    assert said(capsys, "export", "other", "-q") == ""
    assert "Next:" not in said(capsys, "export", "other", "--json")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--rule", "votes"], "rule shp"),
        (["--min-ratio", "2"], "rule shp"),
        (["--format", "trl"], "format pairs"),
        (["--format", "pairs", "--format", "trl"], "format pairs"),
        (["--community", "other"], "all communities"),
        (["--site", "www.reddit.com"], "all sites"),
    ],
)
def test_another_export_is_not_replaced_without_a_word(
    options: list[str], named: str, dumps: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["import", "reddit-dump", *map(str, dumps)])
    assert run(["export", "out"]) == 0
    before = tree(tmp_path / "out")
    capsys.readouterr()
    text = said(capsys, "export", "out", *options, code=2)
    assert text.startswith(f"Error: out holds another export ({named}")
    assert "--replace" in text
    assert tree(tmp_path / "out") == before
    assert run(["export", "out", "--test", "0.2", "--until", "2030-01-01"]) == 0, "the same selection as before"
    assert run(["export", "out", *options, "--replace"]) == 0
    assert run(["export", "out", *options]) == 0
    assert run(["export", "out"]) == 2


def test_on_a_terminal_it_asks(dumps: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run(["import", "reddit-dump", *map(str, dumps), "-q"])
    assert run(["export", "out", "--community", "r/Other", "-q"]) == 0
    answers = iter([False, True])
    asked = []
    monkeypatch.setattr(click, "confirm", lambda text, **_: asked.append(text) or next(answers))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run(["export", "out"]) == 2
    assert run(["export", "out"]) == 0
    assert asked == ["Replace it?"] * 2
    assert run(["export", "out"]) == 0
    assert len(asked) == 2


def test_an_export_that_cannot_be_read_is_replaced_as_before(dumps: list[Path], tmp_path: Path) -> None:
    run(["import", "reddit-dump", *map(str, dumps), "-q"])
    assert run(["export", "out", "-q"]) == 0
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), "configuration": None}))
    assert run(["export", "out", "-q"]) == 0


# -- crawl ------------------------------------------------------------------------------------------------------------


def test_a_crawl_says_what_was_new(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(threads=1)
    community = Community(world=world, now=world.observed_at)
    with Forum(community, ["lemmy"]) as forum:
        where = ("lemmy", community.name, "--site", "forum.example", "--url", forum.url("lemmy"), "--allow-private")
        text = said(capsys, "crawl", *where)
        assert "Threads: 1 new, 0 known; " in text
        assert following(text) == ["shp-miner status", "shp-miner compare"]
        text = said(capsys, "recheck", "--all")
        assert "Threads: 0 new, 1 known; " in text
        assert following(text) == ["shp-miner status", "shp-miner compare"]
        assert "Next:" not in said(capsys, "recheck", "--all", "--json")
