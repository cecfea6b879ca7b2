"""Sites as `crawl` meets them: windows, links, other software, checks for robots, names without an address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner.cli import run
from shp_miner.forum.serve import lemmy as lemmy_api
from shp_miner.forum.serve.discourse import DiscourseApi
from shp_miner.forum.serve.lemmy import LemmyApi
from shp_miner.forum.serve.message import Platform, Response
from shp_miner.forum.serve.server import Forum
from shp_miner.sources import connect
from shp_miner.store import Store

from .crawls import settled, with_limits
from .web import Fixed

Said = tuple[int, str]


@pytest.fixture
def crawl(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`shp-miner crawl` of a view that is served; returns the exit code and what stands on stderr."""

    def crawled(view: Platform, *communities: str, platform: str = "") -> Said:
        platform = platform or view.platform
        with Forum(settled(0), [view]) as forum:
            site = ["--site", "forum.example", "--url", forum.url(view.platform), "--allow-private"]
            code = run(["crawl", platform, *communities, *site])
        return code, capfd.readouterr().err

    return crawled


def stored() -> Sequence[str]:
    """The ids of the threads in the store."""
    ids: list[str] = (
        Store("data/store").snapshot().scan("posts").select(pl.col("post_id").unique()).collect()["post_id"].to_list()
    )
    return sorted(ids)


# -- Lemmy ------------------------------------------------------------------------------------------------------------


def test_all_posts_are_listed_whatever_time_window_a_lemmy_instance_prefers(
    crawl: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lemmy_api, "_DEFAULT_RANGE_S", 60)
    community = settled(2)
    assert crawl(LemmyApi(community), community.name) == (0, "")
    assert len(stored()) == 2


# -- NodeBB -----------------------------------------------------------------------------------------------------------

NOT_FOUND = Response(404, {"path": "/api", "title": "[[global:404.title]]"})
DEEP = "41/third-level"
MANY = [{"cid": 20 + number, "slug": f"{20 + number}/sub-{number}"} for number in range(14)]
LINK = {"cid": 9, "slug": "9/shop", "link": "https://shop.example/"}


def category(slug: str) -> dict[str, Any]:
    """A category's page, without topics."""
    return {"cid": int(slug.partition("/")[0]), "slug": slug, "topics": [], "pagination": {"pageCount": 1}}


def nodebb(*, lists_all: bool) -> Fixed:
    """A site with 14 sub-categories, one below them, and a link; the page of all shows ten and two levels."""
    shown = [{"cid": 5, "slug": "5/general", "children": MANY[:10]}, LINK]
    every = [{"cid": 5, "slug": "5/general"}, *MANY, {"cid": 41, "slug": DEEP}, LINK]
    bodies: dict[str, Any] = {
        "/api/categories": {"categories": shown},
        "/api/category/9": Response(200, b'"https://shop.example/"', {"content-type": "application/json"}),
        **{f"/api/category/{listed['cid']}": category(listed["slug"]) for listed in every if listed is not LINK},
    }
    if lists_all:
        bodies["/api/v3/categories"] = {"status": {"code": "ok"}, "response": {"categories": every}}
    return Fixed("nodebb", bodies, NOT_FOUND)


@pytest.mark.parametrize(("name", "requests"), [("sub-3", 1), ("sub-13", 2), ("third-level", 2), (DEEP, 1)])
def test_every_category_of_nodebb_can_be_named(name: str, requests: int, crawl: Callable[..., Said]) -> None:
    site = nodebb(lists_all=True)
    assert crawl(site, name) == (0, "")
    # The categories are asked for once or twice; then comes the page of the one that is meant.
    assert len([path for path in site.asked if path.endswith("categories")]) == (requests if name != DEEP else 0)


def test_where_nodebb_lists_no_more_a_category_is_named_by_its_number(crawl: Callable[..., Said]) -> None:
    code, said = crawl(nodebb(lists_all=False), "third-level")
    assert (code, "You can also give the number in a category's address." in said) == (5, True)
    assert crawl(nodebb(lists_all=False), "41") == (0, "")


@pytest.mark.parametrize("name", ["9", "9/shop", "shop"])
def test_a_category_that_is_a_link_is_said_to_be_one(name: str, crawl: Callable[..., Said]) -> None:
    code, said = crawl(nodebb(lists_all=True), name)
    assert code == 5
    assert "Category 9 of forum.example has no topics; it is a link to https://shop.example/." in said


@pytest.mark.parametrize("name", ["-1", "-1/world"])
def test_a_negative_category_is_no_option(name: str, crawl: Callable[..., Said]) -> None:
    code, said = crawl(nodebb(lists_all=True), name)
    assert code == 5
    assert "Category -1 of forum.example has topics of other servers" in said


def test_a_negative_number_behind_an_option_is_its_value(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["crawl", "nodebb", "5", "--site", "forum.example", "--limit", "-1"]) == 2
    assert "--limit" in capfd.readouterr().err
    assert run(["crawl", "nodebb", "-x", "--site", "forum.example"]) == 2
    assert "-x" in capfd.readouterr().err


# -- Other software ---------------------------------------------------------------------------------------------------

NO_PAGE = Response(404, "<!doctype html><title>404</title>", {"content-type": "text/html"})


def federated(name: str, other: Response = NO_PAGE) -> Callable[[str], Fixed]:
    """A site of the fediverse, which says at a known place which software it runs."""
    schema = "http://nodeinfo.diaspora.software/ns/schema/2.0"
    bodies = {
        "/.well-known/nodeinfo": {"links": [{"rel": schema, "href": "https://forum.example/nodeinfo/2.0"}]},
        "/nodeinfo/2.0": {"version": "2.0", "software": {"name": name, "version": "1.4"}},
    }
    return lambda platform: Fixed(platform, bodies, other)


@pytest.mark.parametrize(("platform", "wanted"), [("lemmy", "Lemmy"), ("nodebb", "NodeBB"), ("discourse", "Discourse")])
def test_other_software_is_named(platform: str, wanted: str, crawl: Callable[..., Said]) -> None:
    code, said = crawl(federated("PieFed")(platform), "general")
    assert (code, f"forum.example runs PieFed, not {wanted}." in said) == (5, True)
    assert "No source of shp-miner reads PieFed" in said
    read = "nodebb" if platform == "lemmy" else "lemmy"
    code, said = crawl(federated(read)(platform), "general")
    assert (code, f"shp-miner crawl {read}" in said) == (5, True)
    generated = Response(
        404,
        '<!doctype html><meta name="generator" content="phpBB 3.3"><div class="g-recaptcha">',
        {"content-type": "text/html"},
    )
    code, said = crawl(Fixed(platform, {}, generated), "general")
    assert (code, f"forum.example runs phpBB, not {wanted}." in said) == (5, True)


@pytest.mark.parametrize("name", ["lemmy", "a\x1b[31mb", "x" * 99, ""])
def test_a_name_that_says_nothing_is_left_out(name: str, crawl: Callable[..., Said]) -> None:
    code, said = crawl(federated(name)("lemmy"), "asklemmy")
    assert (code, "does not answer like a Lemmy instance" in said) == (5, True)


# -- What stands before a site ----------------------------------------------------------------------------------------

HTML = {"content-type": "text/html; charset=utf-8"}
CHECK = "<!DOCTYPE html><title>Just a moment...</title><form><input type=password></form>"

WALLS = {
    "a page with 403": Response(403, CHECK, HTML),
    "a page with 200": Response(200, "<!doctype html><title>Making sure you&#39;re not a bot!</title>", HTML),
    "a page with 405": Response(405, "<!doctype html><title>Human Verification</title>", HTML),
    "a page behind a redirect": Response(302, b"", {"location": "/check"}),
    "nothing, as a page": Response(202, b"", HTML),
    "JSON of a guard": Response(403, {"title": "Error 1010: Access denied", "status": 403, "error_code": 1010}),
    "JSON of a gateway": Response(403, {"message": "Forbidden"}),
    "JSON of a host": Response(401, {"error": {"code": "401", "message": "Verify that you are no robot"}}),
    "words": Response(403, b"Access denied", {"content-type": "text/plain"}),
}


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize(
    ("platform", "community"),
    [("discourse", "support"), ("discourse", "latest"), ("nodebb", "5"), ("nodebb", "general"), ("lemmy", "asklemmy")],
)
def test_what_guards_a_site_is_not_taken_for_the_site(
    platform: str, community: str, wall: str, crawl: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(patch=monkeypatch, attempts=1)
    bodies = {"/check": Response(200, CHECK, HTML)}
    code, said = crawl(Fixed(platform, bodies, WALLS[wall]), community)
    assert code == 75, said
    assert "members" not in said
    assert "to the public" not in said


@pytest.mark.parametrize(
    ("platform", "community", "refused"),
    [
        ("discourse", "support", Response(403, {"errors": ["Log in."], "error_type": "not_logged_in"})),
        ("nodebb", "5", Response(401, {"status": {"code": "not-authorised", "message": "Log in."}, "response": {}})),
        ("nodebb", "general", Response(403, {"path": "/categories", "loggedIn": False, "title": "403"})),
        ("lemmy", "asklemmy", Response(401, {"error": "not_logged_in"})),
        ("discourse", "latest", Response(302, b"", {"location": "/login"})),
    ],
)
def test_what_a_site_itself_refuses_is_not_allowed(
    platform: str, community: str, refused: Response, crawl: Callable[..., Said]
) -> None:
    assert crawl(Fixed(platform, {}, refused), community)[0] == 4


# -- Names without an address -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_NODATA])
@pytest.mark.parametrize("platform", ["discourse", "nodebb", "lemmy", "stackexchange", "arctic-shift"])
def test_a_host_without_an_address_is_asked_again_later(
    platform: str, number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, "nothing")

    monkeypatch.setattr(connect, "getaddrinfo", unknown)
    site = [] if platform == "arctic-shift" else ["--site", "forum.example"]
    assert run(["crawl", platform, "latest", *site]) == 75
    assert "No address was found for the host" in capfd.readouterr().err


def test_a_host_without_an_address_keeps_no_other_site_from_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = connect.getaddrinfo

    def known(host: str, *rest: Any, **named: Any) -> Any:
        if host == "gone.example":
            raise socket.gaierror(socket.EAI_NONAME, "nothing")
        return found(host, *rest, **named)

    monkeypatch.setattr(connect, "getaddrinfo", known)
    view = DiscourseApi(settled(3))
    with Forum(view.community, [view]) as forum:
        (tmp_path / "p.toml").write_text(
            f"""store = "data/store"
[[source]]
kind = "discourse"
site = "gone.example"
communities = ["latest"]
[[source]]
kind = "discourse"
site = "forum.example"
url = "{forum.url(view.platform)}"
allow_private = true
communities = ["latest"]
"""
        )
        assert run(["run", "p.toml"]) == 3
    assert len(stored()) == 3


def test_a_name_that_no_host_can_have_is_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["crawl", "discourse", "latest", "--site", "a" * 64 + ".example"]) == 2
    assert "https://" in capfd.readouterr().err
