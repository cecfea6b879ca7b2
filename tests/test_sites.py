"""Sites as `crawl` meets them: windows, links, other software, checks for robots, names without an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from shp_miner.cli import run
from shp_miner.forum.serve import lemmy as lemmy_api
from shp_miner.forum.serve.lemmy import LemmyApi
from shp_miner.forum.serve.message import Platform, Request, Response
from shp_miner.forum.serve.server import Forum
from shp_miner.store import Store

from .crawls import settled

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


class Fixed:
    """A site that answers each path with the JSON it is told, and all others as its platform does."""

    def __init__(self, platform: str, bodies: Mapping[str, Any], other: Response) -> None:
        self.platform, self.bodies, self.other = platform, bodies, other
        self.asked: list[str] = []

    def respond(self, request: Request) -> Response:
        self.asked.append(request.path)
        found = self.bodies.get(request.path, self.other)
        return found if isinstance(found, Response) else Response(200, found)


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
    community = settled(5)
    assert crawl(LemmyApi(community), community.name) == (0, "")
    assert len(stored()) == 5
