"""The ready pipeline files: each is taken, planned, and run against the platform it is for, served here."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from msgspec import structs

from shp_miner import cli
from shp_miner.errors import UsageError
from shp_miner.forum.live import Community
from shp_miner.forum.serve.server import Forum
from shp_miner.forum.world import World
from shp_miner.pipeline import config
from shp_miner.pipeline.keys import Pipeline

from .build import thread, write_month
from .conftest import ROOT
from .crawls import Bench, bench
from .flows import community, manifest, run_on, steps

FILES = {path.stem: path for path in sorted((ROOT / "pipelines").glob("*.toml"))}

#: The bench of each file that crawls.
PLATFORMS = {
    "demo": "discourse",
    "eli5": "reddit",
    "cooking-stackexchange": "stackexchange",
    "lemmy": "lemmy-v3",
    "discourse": "discourse",
    "nodebb": "nodebb",
}


def test_every_file_is_tried_here() -> None:
    assert FILES.keys() == PLATFORMS.keys() | {"askacademia"}


def here(name: str, folder: Path) -> Pipeline:
    """A ready file as it is, at a place of its own, so that its relative paths lead into the test's folder."""
    path = folder / "pipelines" / f"{name}.toml"
    path.parent.mkdir()
    path.write_bytes(FILES[name].read_bytes())
    return config.read(path)


@pytest.mark.parametrize("name", FILES)
def test_a_dry_run_says_what_it_would_do(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = here(name, tmp_path)
    for variable in filter(None, structs.astuple(whole.credentials)):
        monkeypatch.setenv(variable[2:-1], "somebody")
    assert cli.run(["run", str(tmp_path / "pipelines" / f"{name}.toml"), "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["steps"]
    assert sum(part["step"] == "crawl" for part in planned) == sum(len(source.communities) for source in whole.sources)
    assert [part["about"] for part in planned if part["step"] == "export"] == [export.out for export in whole.exports]
    folder = str(tmp_path / "data")
    assert all(path.startswith(folder) for path in (whole.store, *(export.out for export in whole.exports)))
    assert not Path(folder).exists()


@pytest.mark.parametrize("name", FILES)
def test_what_is_switched_off_is_right_too(name: str) -> None:
    lines = FILES[name].read_text().splitlines()
    on = [line[1:] if line.startswith("#") and line[1:2] not in ("", " ") else line for line in lines]
    config.parse(tomllib.loads("\n".join(on)))
    assert lines[0].startswith("# "), "it begins with what it is for"
    assert len(lines) < 50


def rewritten(whole: Pipeline, at: Bench) -> Pipeline:
    """The same for the bench's forum: its address, its site and its only community."""
    url = at.forum.url(at.view.platform)
    sources = [
        structs.replace(source, url=url, site=at.kind.site, communities=[at.kind.community], allow_private=True)
        for source in whole.sources
    ]
    return structs.replace(whole, sources=sources)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_run_gives_pairs(name: str, tmp_path: Path) -> None:
    whole = here(name, tmp_path)
    with bench(PLATFORMS[name], Path(whole.store), community()) as at:
        assert at.kind.source == whole.sources[0].kind
        ran = run_on(at, rewritten(whole, at))
        assert (ran.exit_code, ran.new) == (0, 8), ran.steps
        assert ran.pairs > 0
        for export in whole.exports:
            folders = [Path(export.out)] if len(export.formats) == 1 else [Path(export.out, n) for n in export.formats]
            assert [manifest(folder)["format"] for folder in folders] == export.formats
        again = run_on(at, rewritten(whole, at))
        assert (again.exit_code, again.new) == (0, 0)
        assert {said for said, _ in steps(again)["export"]} == {"up to date"}


def test_dumps_give_pairs(tmp_path: Path) -> None:
    from shp_miner.pipeline.run import run

    whole = here("askacademia", tmp_path)
    assert steps(run(whole, "askacademia.toml")).keys() == {"export"}, "no files yet"
    records = [record for n in range(30) for record in thread(f"p{n}", range(2, 9), subreddit="AskAcademia")]
    write_month(tmp_path / "data" / "dumps", [*records, *thread("other")])
    ran = run(whole, "askacademia.toml")
    assert (ran.exit_code, steps(ran)["import"]) == (0, [("210 answers, 30 posts of 2 files", 0)])
    assert ran.pairs > 0
    assert [manifest(Path(export.out))["format"] for export in whole.exports] == ["pairs", "trl"]


def test_the_demo_reaches_the_forum_at_its_port(tmp_path: Path) -> None:
    text = FILES["demo"].read_text()
    (command,) = [line for line in text.splitlines() if "--serve" in line]
    port = command.split()[-1]
    assert tomllib.loads(text)["source"][0]["url"] == f"http://127.0.0.1:{port}"
    crowd = Community(world=World(threads=2))
    with Forum(crowd, ["discourse"]) as first:
        taken = int(first.url("discourse").rpartition(":")[2])
        with pytest.raises(UsageError, match=f"Port {taken} cannot be used"):
            Forum(crowd, ["lemmy"], port=taken)
    with Forum(crowd, ["discourse"], port=taken) as again:
        assert again.url("discourse") == f"http://127.0.0.1:{taken}"
        assert crowd.name == tomllib.loads(text)["source"][0]["communities"][0]
