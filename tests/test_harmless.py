"""What sites, files and people wrote cannot act on a terminal: not in tables, errors, hints, progress or logs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.cli.saying import harmless_text
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.server import Forum

from .build import submission, write_dump
from .conftest import ROOT
from .crawls import settled

#: Colours, a window title, a cleared screen in one byte, a turned direction, a second line, NUL.
NASTY = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eevil\nError: all is well\r\x00"
ACTS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

WRITES_ITSELF = re.compile(r"(?<![\w.])print\(|click\.s?echo|std(out|err)\.write|print_exc|\.secho\(")


class Lying:
    """A Discourse site whose category, topic and errors hold what acts on a terminal."""

    platform = "discourse"

    def respond(self, request: Request) -> Response:
        if request.path == "/site.json":
            return Response(200, {"categories": [{"id": 5, "slug": NASTY}]})
        if request.path == "/categories.json":
            return Response(200, {"category_list": {"categories": []}})
        if request.path.endswith("/l/latest.json"):
            topic = {"id": 7, "bumped_at": "2024-03-01T10:00:00.000Z"}
            return Response(200, {"topic_list": {"topics": [topic]}})
        return Response(403, {"errors": [NASTY], "error_type": NASTY, "reason": NASTY})


@pytest.fixture
def lying() -> Iterator[list[str]]:
    """How to crawl the site, without the community."""
    with Forum(settled(0), [Lying()]) as forum:
        url = forum.url("discourse")
        yield ["crawl", "discourse", "--site", "forum.example", "--url", url, "--allow-private"]


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    """All that came out, which must hold nothing that acts and no line that somebody else wrote."""
    captured = capfd.readouterr()
    text = captured.out + captured.err
    assert ACTS.search(text) is None, ascii(text)
    assert "\nError: all is well" not in text
    return text


def test_an_error_and_its_hint(lying: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*lying, "elsewhere"]) == 5
    text = printed(capfd)
    assert "has no public category 'elsewhere'" in text
    assert r"a\u001b[31mred" in text


def test_tables_sentences_and_json(lying: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*lying, "5"]) in (0, 3)
    assert r"a\u001b[31mred" in printed(capfd)
    assert run(["status"]) in (0, 3)
    assert r"a\u001b[31mred" in printed(capfd)
    assert run(["status", "--json"]) in (0, 3)
    data = json.loads(printed(capfd))
    assert data["cursors"][0]["community"] == NASTY.lower()


def test_the_tables_of_a_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dump = write_dump(tmp_path / "RS_2024-01.zst", [submission("p1", subreddit=NASTY)])
    assert run(["import", "reddit-dump", str(dump)]) == 0
    assert run(["stats"]) == 0
    assert r"a\u001b[31mred" in printed(capfd)


@pytest.mark.parametrize("form", ["human", "json"])
def test_lines_of_the_log(form: str, lying: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = tmp_path / "p.toml"
    pipeline.write_text(
        f"""store = "store"
[log]
format = "{form}"
[[source]]
kind = "discourse"
site = "forum.example"
url = "{lying[-2]}"
allow_private = true
communities = ["5", "elsewhere"]
"""
    )
    assert run(["run", str(pipeline)]) != 1
    assert r"a\u001b[31mred" in printed(capfd)


def test_a_wrong_option_and_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", f"--{NASTY}"]) == 2
    printed(capfd)
    assert run(["stats", "-v", "--store", "no\x1b[31mstore"]) == 5
    assert "Traceback" in printed(capfd)


def test_a_name_that_the_output_cannot_hold(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "RS_2024-01.zst", [submission("p1", subreddit="читальня")])
    assert run(["import", "reddit-dump", str(dump)]) == 0
    done = subprocess.run(
        [sys.executable, "-c", "from shp_miner.cli import main; main(['stats'])"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0447" in done.stdout


def test_there_is_no_other_way_to_a_terminal() -> None:
    for path in (ROOT / "shp_miner").rglob("*.py"):
        if path.name != "saying.py":
            assert WRITES_ITSELF.search(path.read_text()) is None, path


@given(st.text(st.characters(codec=None)))
def test_what_is_harmless_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = harmless_text(text)
    shown.encode()
    assert ACTS.search(shown) is None
    assert "\n" not in shown
    assert len(shown.splitlines()) <= 1
