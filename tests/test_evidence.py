"""What each answer of each platform means for a thread, as docs/crawling.md has it, asked over loopback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shp_miner.errors import BadInput, TryLater
from shp_miner.forum.serve.faults import Fault
from shp_miner.forum.serve.message import Response
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET, base36
from shp_miner.forum.serve.server import Forum
from shp_miner.sources.decode import is_login
from shp_miner.sources.reddit_praw import Credentials
from shp_miner.sources.registry import open_source
from shp_miner.sources.source import Gone, Source, Unreadable
from shp_miner.sources.table import ROWS

from .web import access, grown

DOCS = (Path(__file__).parents[1] / "docs" / "crawling.md").read_text()

#: Which forum a source asks, the requests for a thread, and the words with which its API refuses.
SERVED = {
    "reddit": ("reddit", "/comments/*", lambda status: {"message": "No", "error": status}),
    "arctic-shift": ("arctic-shift", "/api/posts/ids", lambda _: {"data": None, "error": "Not found"}),
    "stackexchange": (
        "stackexchange",
        "/2.3/questions/*",
        lambda status: {"message": "No."} if status < 404 else {"error_id": 404, "error_name": "no_method"},
    ),
    "lemmy": (
        "lemmy",
        "/api/v4/post",
        lambda status: {"error": {403: "no", 410: "gone", 401: "not_logged_in"}.get(status, "not_found")},
    ),
    "discourse": (
        "discourse",
        "/t/*",
        lambda status: (
            {"errors": ["No."], "error_type": "invalid_access" if status == 403 else "not_found"}
            if status != 401
            else {"errors": ["No."]}
        ),
    ),
    "nodebb": ("nodebb", "/api/topic/*", lambda _: {"status": {"code": "no", "message": "No."}, "response": {}}),
}

PAGE = "<!doctype html><title>Just a moment...</title>"
HTML = {"content-type": "text/html; charset=utf-8"}


def table() -> dict[str, dict[str, str]]:
    """Meanings by answer and source."""
    part = DOCS.split("### What each answer means")[1].split("\n\n- ")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in part.splitlines() if "|" in line]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def answers(words: Callable[[int], Any]) -> dict[str, list[Response]]:
    return {
        **{f"{status}, JSON": [Response(status, words(status))] for status in (401, 403, 404, 410)},
        "a web page, with any status": [Response(status, PAGE, HTML) for status in (200, 401, 403, 404, 410, 418)],
        "an empty body, with any status": [Response(status, b"") for status in (200, 401, 403, 404, 410)],
        "a redirect to a log-in": [Response(302, b"", {"location": "/login?next=/x"})],
    }


@contextmanager
def served(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Forum, Source, str]]:
    """A forum, the source that asks it, and the id of one of its threads."""
    credentials = Credentials(CLIENT_ID, CLIENT_SECRET, "reader")
    monkeypatch.setattr(Credentials, "find", classmethod(lambda _cls: credentials))
    with Forum(grown(5), [name]) as forum, open_source(name, access(forum, name)) as source:
        post_id = forum.community.threads()[0].post_id
        yield forum, source, base36(int(post_id)) if name in ("reddit", "arctic-shift") else post_id


def meaning(source: Source, community: str, post_id: str) -> str:
    try:
        source.thread(community, post_id)
    except Unreadable as unreadable:
        return unreadable.evidence
    except Gone:
        return "gone"
    except (BadInput, TryLater):
        return "failed"
    return "read"


def test_the_table_names_every_source() -> None:
    assert all(tuple(row) == tuple(ROWS) for row in table().values())


@pytest.mark.parametrize("name", ROWS)
def test_each_answer_means_what_the_page_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path, words = SERVED[name]
    with served(name, monkeypatch) as (forum, source, post_id):
        community = source.verify({"stackexchange": "all"}.get(name, "workbench"))
        assert meaning(source, community, post_id) == "read"
        for answer, responses in answers(words).items():
            for response in responses:
                forum.faults.clear()
                # Once; an empty body with status 200 is asked for again before it counts.
                times = 5 if response.status == 200 and not response.body else 1
                forum.faults.add(Fault("instead", instead=lambda _, made=response: made), path=path, next=times)
                assert meaning(source, community, post_id) == table()[answer][name], (answer, response)
        forum.faults.clear()
        assert meaning(source, community, post_id) == "read"


@pytest.mark.parametrize("name", [name for name in ROWS if table()["not among the items asked for by id"][name] != "-"])
def test_absent_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(name, monkeypatch) as (_, source, _):
        assert source.looks_up
        community = source.verify({"stackexchange": "all"}.get(name, "workbench"))
        assert meaning(source, community, "999999") == "missing"


@pytest.mark.parametrize(
    "path", ["/login", "/api/login", "/session/sso", "/users/sign_in", "/signin/", "/LOGIN", "/auth/login", "/sso"]
)
def test_where_people_log_in(path: str) -> None:
    assert is_login(path)


@pytest.mark.parametrize(
    "path", ["/t/login/17.json", "/", "", "/topic/5/login", "/users/login-help/x", "/c/session", "/auth"]
)
def test_what_is_only_called_like_it(path: str) -> None:
    assert not is_login(path)


def test_the_page_names_every_word_that_means_something() -> None:
    from shp_miner.sources import discourse, lemmy, reddit

    named = set(re.findall(r"`(\w+)`", DOCS))
    closed = [
        word
        for module in (discourse, lemmy, reddit)
        for word in module.MEANINGS.words
        if module.MEANINGS.words[word] == "closed"
    ]
    assert set(closed) <= named
