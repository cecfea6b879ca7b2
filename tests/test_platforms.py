"""A seventh platform is a file and a row: everything that knows platforms knows it then."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from inspect import isclass
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from shp_miner import crawl, recheck
from shp_miner.errors import BadInput, UsageError
from shp_miner.forum.serve.refusals import refused
from shp_miner.forum.serve.server import Forum, view_of
from shp_miner.pipeline.keys import CredentialKeys, SourceKind
from shp_miner.sources import registry
from shp_miner.sources.limits import Limits
from shp_miner.sources.registry import Access, open_source
from shp_miner.sources.table import ROWS
from shp_miner.store import Store

from . import toy
from .conftest import ROOT
from .web import FakeClock, access, grown

THREADS = 12

#: The command line of a tree whose table has one row more. Runs several commands, and prints how each ended.
MORE = """
import contextlib, io, json, sys
from shp_miner.sources.table import ROWS
from tests.toy import ROW
ROWS[ROW.name] = ROW
from shp_miner.cli import run
told = []
for arguments in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


def commands(*arguments: list[str], home: Path) -> list[tuple[int, str, str]]:
    """What commands did, one after the other: (exit code, stdout, stderr) of each."""
    done = subprocess.run(
        [sys.executable, "-c", MORE],
        input=json.dumps(arguments),
        cwd=ROOT,
        env={"PATH": "", "HOME": str(home), "XDG_STATE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


@pytest.fixture
def forum(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forum]:
    """The table with the row, and the embedded forum served by the row's name."""
    monkeypatch.setitem(ROWS, "toy", toy.ROW)
    with Forum(grown(THREADS), ["toy"]) as forum:
        yield forum


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_row_and_its_modules_say_the_same(name: str) -> None:
    row, module = ROWS[name], registry.module(name)
    assert isinstance(module.LIMITS, Limits)
    assert callable(module.opened)
    source: Any
    (source,) = {
        member for member in vars(module).values() if isclass(member) and getattr(member, "name", None) == name
    }
    assert getattr(view_of(name), "platform") == name  # noqa: B009  (it is declared as a function)
    assert bool(row.site) != bool(row.example_site)
    if row.site:
        assert source.site == row.site
    assert row.needs_credentials == hasattr(module, "require_credentials")
    assert row.quota is None or row.quota.credential in row.credentials


def test_keys_of_pipelines_are_those_of_the_table() -> None:
    assert get_args(SourceKind) == tuple(ROWS)
    keys = [credential.key for row in ROWS.values() for credential in row.credentials]
    assert list(CredentialKeys.__struct_fields__) == keys


def test_the_table_needs_no_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import shp_miner.sources.table; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['lazy_loader', 'shp_miner']\n"


def test_an_unknown_source_is_refused_with_those_there_are(forum: Forum) -> None:
    with pytest.raises(UsageError, match="There is no source 'tov'") as told:
        crawl("tov", ["workbench"], "store", access(forum, "toy"))
    assert told.value.hint == "Did you mean 'toy'?"
    with pytest.raises(UsageError, match="There is no source 'phpbb'") as told:
        crawl("phpbb", ["workbench"], "store", access(forum, "toy"))
    assert told.value.hint.endswith("nodebb, toy.")


# -- the seventh platform through the API -----------------------------------------------------------------------------


def test_a_seventh_platform_is_crawled_and_visited_again(forum: Forum, tmp_path: Path) -> None:
    (done,) = crawl("toy", ["workbench"], tmp_path / "store", access(forum, "toy"))
    assert (done.read, done.failed, done.complete, done.site) == (THREADS, 0, True, "forum.example")
    posts = Store(tmp_path / "store").snapshot().scan("posts").collect()
    assert posts.select(pl.col("platform", "source").unique()).rows() == [("toy", "toy")]
    asked = len(forum.requests("toy"))
    visited = recheck(tmp_path / "store", access(forum, "toy", FakeClock(forum.community.now_s + 40 * 86_400.0)))
    assert sum(one.read for one in visited) == THREADS == len(forum.requests("toy")) - asked


def test_a_seventh_platform_is_asked_at_its_own_pace(forum: Forum, tmp_path: Path) -> None:
    clock = FakeClock(forum.community.now_s)
    crawl("toy", ["workbench"], tmp_path / "store", access(forum, "toy", clock))
    requests = len(forum.requests("toy"))
    assert sum(clock.slept) == pytest.approx((requests - 1) * 60 / 1200, rel=0.1)


def test_a_seventh_platform_refuses_in_its_own_words(forum: Forum, tmp_path: Path) -> None:
    forum.faults.add(refused(403, "toy"), path="/topic/*", next=1)
    (done,) = crawl("toy", ["workbench"], tmp_path / "store", access(forum, "toy"))
    assert (done.read, done.unreadable, done.failed) == (THREADS - 1, 1, 0)


def test_a_seventh_platform_must_be_told_its_site(forum: Forum, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No site given: toy runs on many sites") as told:
        crawl("toy", ["workbench"], tmp_path, Access(url=forum.url("toy"), allow_private=True))
    assert told.value.hint == "Name one, for example: --site toy.example."


def test_other_sources_know_the_software_of_a_seventh_platform(forum: Forum) -> None:
    with open_source("discourse", access(forum, "toy")) as source, pytest.raises(BadInput) as told:
        source.verify("latest")
    assert (told.value.message, told.value.hint) == (
        "forum.example runs Toy, not Discourse.",
        "Use the source for it: shp-miner crawl toy.",
    )
    with open_source("toy", access(forum, "toy")) as source, pytest.raises(BadInput, match="like a Toy playground"):
        source.verify("elsewhere")


# -- the seventh platform through the command line --------------------------------------------------------------------


def test_a_seventh_platform_through_the_command_line(forum: Forum, tmp_path: Path) -> None:
    there = ["--site", "forum.example", "--url", forum.url("toy"), "--allow-private", "--store", str(tmp_path / "s")]
    crawled, visited, wrong, siteless, read, served, examined = commands(
        ["crawl", "toy", "workbench", "--limit", "5", "--json", *there],
        ["recheck", "--all", "--store", str(tmp_path / "s"), "--json"],
        ["crawl", "tov", "workbench"],
        ["init", str(tmp_path / "no.toml"), "--source", "toy", "--community", "workbench"],
        ["crawl", "--help"],
        ["forum", "--help"],
        ["doctor", "--store", str(tmp_path / "s"), "--json"],
        home=tmp_path,
    )
    assert (crawled[0], json.loads(crawled[1])["communities"][0]["read"]) == (3, 5)
    assert (visited[0], json.loads(visited[1])["communities"][0]["read"]) == (0, 5)
    assert wrong[0] == 2
    assert "Did you mean 'toy'?" in wrong[2]
    assert siteless[0] == 2
    assert "--site is missing." in siteless[2]
    assert "nodebb or toy. Run the command again" in " ".join(read[1].split())
    assert "nodebb or toy. Each platform serves" in " ".join(served[1].split())
    assert json.loads(examined[1])["credentials"]["Toy"] is False


def test_a_seventh_platform_in_a_pipeline(forum: Forum, tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    choices = ["--source", "toy", "--site", "forum.example", "--community", "workbench", "--out", "out"]
    ((code, _, told),) = commands(["init", str(path), *choices, "--store", "store"], home=tmp_path)
    assert (code, told) == (0, "")
    text = path.read_text()
    assert "One of reddit, arctic-shift, stackexchange, lemmy, discourse, nodebb, toy." in text
    assert '#toy_key = "${TOY_KEY}"' in text
    text = text.replace('#url = "http://127.0.0.1:8000"', f'url = "{forum.url("toy")}"')
    path.write_text(text.replace("#allow_private = false", "allow_private = true"))
    near = tmp_path / "near.toml"
    near.write_text(text.replace('kind = "toy"', 'kind = "tooy"'))
    dry, ran, often, paid, misspelt = commands(
        ["run", str(path), "--dry-run", "--json"],
        ["run", str(path), "--json"],
        ["schedule", str(path), "--every", "5m", "--json"],
        ["schedule", str(path), "--every", "15m"],
        ["run", str(near)],
        home=tmp_path,
    )
    steps = {step["step"]: step for step in json.loads(dry[1])["steps"]}
    assert steps["crawl"]["about"] == "toy forum.example workbench"
    assert "1 requests at the start, 1 per 10 listed threads, 1 per thread" in steps["crawl"]["would"]
    assert ran[0] == 0, ran[2]
    assert len(list((tmp_path / "out").glob("**/*.parquet"))) > 0
    assert "needs 2 requests per run, and takes 200 a day without a key" in often[2]
    assert "Toy takes 200 requests a day without a key" in paid[2] + paid[1]
    assert misspelt[0] == 5
    assert "source.1.kind: invalid enum value 'tooy'." in misspelt[2]
    assert "Did you mean 'toy'?" in misspelt[2]
