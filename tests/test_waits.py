"""A forum that asks for a pause: what a person sees of the wait on a terminal, and a log elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial

import pytest

from shp_miner.cli import run
from shp_miner.cli.progress import progress
from shp_miner.forum.serve.discourse import DiscourseApi
from shp_miner.forum.serve.faults import too_many
from shp_miner.forum.serve.server import Forum
from shp_miner.sources import pace

from .crawls import settled
from .test_progress import Terminal
from .web import FakeClock


@pytest.fixture
def forum() -> Iterator[Forum]:
    community = settled(8)
    with Forum(community, [DiscourseApi(community)]) as served:
        yield served


def crawl_of(forum: Forum, limit: int = 3) -> list[str]:
    return [
        "crawl", "discourse", forum.community.name, "--site", "forum.example", "--url", forum.url("discourse"),
        "--allow-private", "--limit", str(limit),
    ]  # fmt: skip


def test_a_bar_shows_how_long_a_wait_is_and_why(forum: Forum) -> None:
    forum.faults.add(too_many("retry_after_seconds", 3), path="/t/*", skip=1, next=1)
    terminal = Terminal(*crawl_of(forum), COLUMNS="60")
    code, lines = terminal.end()
    assert code == 3, "--limit leaves threads"
    bars = [drawn.partition("\r")[0] for drawn in terminal.data.split("\r\x1b[2K")]
    waits = [bar for bar in bars if "waiting" in bar]
    reason = rf"{forum.community.name}  waiting (\d) s: 127\.0\.0\.1:\d+ asks for a pause"
    found = [re.fullmatch(reason, bar) for bar in waits]
    assert all(found), waits
    assert len({match[1] for match in found if match}) > 1, "it counts down"
    assert bars.index(waits[-1]) < len(bars) - 1, "the bar goes on after the wait"
    assert not [line for line in lines if "asks for a pause" in line], "nothing is left of it"


class Minutes(FakeClock):
    """A clock whose waits take no time; after each minute it waits until that minute's line is printed."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(time.time())
        self.lines = lines

    def sleep(self, seconds: float, why: str) -> None:
        end = self.time + seconds
        while self.time + 61 <= end:
            before, self.time = len(self.lines), self.time + 61
            patience = time.monotonic() + 20
            while len(self.lines) == before and time.monotonic() < patience:
                time.sleep(0.005)
        self.time = end


def test_elsewhere_a_wait_is_a_line_a_minute_with_its_reason(forum: Forum, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    clock = Minutes(lines)
    monkeypatch.setattr(pace._SystemClock, "now", lambda _: clock.now())
    monkeypatch.setattr(pace._SystemClock, "sleep", lambda _, seconds, why: clock.sleep(seconds, why))
    monkeypatch.setattr("shp_miner.cli.crawl.progress", partial(progress, now=clock.now))
    monkeypatch.setattr("shp_miner.cli.progress._say", lines.append)
    forum.faults.add(too_many("retry_after_seconds", 200), path="/t/*", skip=1, next=1)
    assert run(crawl_of(forum)) == 3, "--limit leaves threads"
    told = [
        re.fullmatch(
            r"(\w+): 1 of 3 threads, waiting (\d+) s: 127\.0\.0\.1:\d+ asks for a pause "
            r"\(status 429, Retry-After\), \d+ answers",
            line,
        )
        for line in lines
    ]
    assert len(told) == 3, lines
    left = [int(line[2]) for line in told if line]
    assert [left[0] - left[1], left[1] - left[2]] == [61, 61], lines
