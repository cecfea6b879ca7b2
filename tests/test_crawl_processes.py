"""Crawls as processes: killed at any moment, ended by signals, two at once. Real time, and fast limits."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import pytest

from shp_miner.forum.live import Community
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.message import Platform, Request, Response
from shp_miner.forum.serve.nodebb import NodebbApi
from shp_miner.forum.serve.server import Forum
from shp_miner.store import Store

from .crawls import CREDENTIALS, KINDS, Kind, content, doubled, marked, settled, waiting, with_limits

#: What crawls of these tests may ask, all processes together.
RATE, BURST = 25, 5

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.test_run", "shp_miner.crawling.run", "shp_miner.cli.crawl", "shp_miner.cli.run_"]
)


@dataclass
class Timed:
    """A platform that notes when it was asked for which threads. It answers `most` requests, if set, and no more."""

    views: tuple[Platform, ...]
    platform: ClassVar[str] = "timed"
    asked: list[tuple[float, list[str]]] = field(default_factory=list)
    most: int | None = None
    _lock: Lock = field(default_factory=Lock)

    def respond(self, request: Request) -> Response:
        while self.most is not None and len(self.asked) >= self.most:
            time.sleep(0.002)
        with self._lock:
            self.asked.append((time.monotonic(), threads_in(request)))
            view = self.views[-1] if request.path.startswith("/api/") else self.views[0]
            return view.respond(request)

    def threads(self, since: int = 0) -> list[str]:
        """The threads that were asked for."""
        with self._lock:
            return [thread for _, threads in self.asked[since:] for thread in threads]


def threads_in(request: Request) -> list[str]:
    """The threads that a request asks for, each platform's first request for one."""
    match request.path.removesuffix(".json").strip("/").split("/"):
        case ["t" | "comments", post_id] | ["api", "topic", post_id]:
            return [post_id] if request.first("page", "1") == "1" else []
        case ["api", _, "post"]:
            return [request.first("id")]
        case ["api", "comments", "search"]:
            return [request.first("link_id")]
        case ["2.3", "questions", ids]:
            return ids.split(";")
    return []


# -- inside the process -----------------------------------------------------------------------------------------------


def crawling(
    kind: Kind, url: str, store: Path, out: Path, *, options: tuple[str, ...], limits: dict[str, float]
) -> None:
    """`shp-miner crawl --json` with other limits, its output in a file and its exit code as the process's."""
    from shp_miner.cli import run

    patch = pytest.MonkeyPatch()
    with_limits(patch=patch, **limits)
    for variable, value in CREDENTIALS.items():
        os.environ[f"SHP_MINER_REDDIT_{variable}"] = value
    os.environ["XDG_STATE_HOME"] = str(store.parent / "state")
    site = ["--site", kind.site] if kind.site else []
    arguments = [
        "crawl",
        kind.source,
        kind.community,
        *site,
        "--url",
        url,
        "--allow-private",
        "--store",
        str(store),
        "--json",
    ]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with out.open("w") as file, redirect_stdout(file):
        code = run([*arguments, *options])
    sys.exit(code)


@dataclass
class Place:
    """A served forum and a store for crawls in other processes."""

    kind: Kind
    view: Timed
    forum: Forum
    store: Store
    started: int = 0

    def start(self, *options: str, kind: Kind | None = None, **limits: Any) -> ForkServerProcess:
        self.started += 1
        allowed = {"requests": 100_000, "burst": 100, "pause_s": 0, "backoff_s": 0.01, **limits}
        process = PROCESSES.Process(
            target=crawling,
            args=(kind or self.kind, self.forum.url("timed"), self.store.path, self.out(self.started)),
            kwargs={"options": options, "limits": allowed},
        )
        process.start()
        return process

    def wait_for(self, process: ForkServerProcess, requests: int) -> None:
        """Wait until so many requests came, in all, or the process ended."""
        deadline = time.monotonic() + 30
        while len(self.view.asked) < requests and process.exitcode is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def out(self, number: int) -> Path:
        return self.store.path.parent / f"out{number}"

    def said(self, number: int | None = None) -> dict[str, Any]:
        """What a run printed, the last one unless told otherwise."""
        (found,) = json.loads(self.out(number or self.started).read_text())["communities"]
        return dict(found)

    def finish(self, *options: str, **limits: Any) -> dict[str, Any]:
        """Crawl until nothing is left."""
        process = self.start(*options, **limits)
        process.join(60)
        assert process.exitcode == 0, self.said()
        return self.said()

    def ids(self) -> dict[str, set[str]]:
        """The answers of each thread in the store; every one stands there once but for observations of other times."""
        found: dict[str, set[str]] = {
            row["post_id"]: set() for row in content(self.store)["posts"].iter_rows(named=True)
        }
        for row in content(self.store)["answers"].iter_rows(named=True):
            found[row["post_id"]].add(row["answer_id"])
        return found


@contextmanager
def place(name: str, tmp_path: Path, community: Community, *more: Callable[[Community], Any]) -> Iterator[Place]:
    kind = KINDS[name]
    view = Timed(tuple(make(community) for make in (kind.view, *more)))
    with Forum(community, [view]) as forum:
        yield Place(kind, view, forum, Store(tmp_path / "store"))


# -- kill -9 ----------------------------------------------------------------------------------------------------------

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "kills", "threads"),
    [
        ("discourse", 5, 150),
        *(pytest.param(name, 50, 150, marks=SLOW) for name in ("discourse", "lemmy-v4", "arctic-shift", "reddit")),
        pytest.param("stackexchange", 50, 120, marks=SLOW),
    ],
)
def test_killed_at_random_moments_nothing_is_lost_or_doubled(
    name: str, kills: int, threads: int, tmp_path: Path
) -> None:
    rng = random.Random(7)
    with place(name, tmp_path, settled(threads)) as at:
        expected = {
            thread.post_id: {answer.answer_id for answer in thread.answers} for thread in at.forum.community.threads()
        }
        in_the_middle = 0
        read: dict[str, set[str]] = {}
        since = 0
        for _ in range(kills):
            before = len(at.view.asked)
            # On a busy machine a crawl must not end before its kill; so many requests more are enough to store threads.
            at.view.most = before + 40
            process = at.start()
            # Stack Exchange gives a hundred threads with two requests, and storing them takes longer than those.
            together = name == "stackexchange"
            at.wait_for(process, before + rng.randint(1, 4 if together else 8))
            time.sleep(rng.uniform(0, 0.2 if together else 0.08))
            process.kill()
            process.join()
            in_the_middle += process.exitcode == -signal.SIGKILL
            # What was marked before is not read again.
            assert set(at.view.threads(since)) & read.keys() == set()
            since = len(at.view.asked)
            if (at.store.path / "crawl.sqlite").exists() and at.store.exists:
                read = marked(at.store)
                stored = at.ids()
                assert all(answers <= stored[post_id] for post_id, answers in read.items())
            time.sleep(0.05)
        assert in_the_middle >= kills * 0.8
        at.view.most = None
        at.finish()
        assert read_of(name, at.ids()) == expected
        assert waiting(at.store) == set()
        # Threads are stored twice where the kill came between storing them together and marking them, and nowhere else.
        twice = {row[1] for row in doubled(at.store)}
        assert len(twice) <= in_the_middle * (100 if name == "stackexchange" else 20)
        print(f"\n{name}: {in_the_middle} of {kills} kills in the middle, {len(twice)} threads stored twice", end="")


def read_of(name: str, found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Ids as the community has them."""
    base = 36 if name in ("reddit", "arctic-shift") else 10
    return {str(int(post, base)): {str(int(answer, base)) for answer in answers} for post, answers in found.items()}


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "how"), [("discourse", signal.SIGTERM), ("reddit", signal.SIGINT)])
def test_a_signal_ends_a_run_with_a_true_summary(name: str, how: signal.Signals, tmp_path: Path) -> None:
    with place(name, tmp_path, settled(12)) as at:
        at.forum.faults.add(faults.slow(before_s=0.03))
        process = at.start()
        at.wait_for(process, 8)
        assert process.pid is not None
        os.kill(process.pid, how)
        process.join(20)
        said = at.said()
        assert (process.exitcode, said["stopped"]) == (3, "interrupted")
        assert 0 < said["read"] == len(marked(at.store)) == content(at.store)["posts"].height
        assert said["read"] + said["waiting"] == said["listed"] == 12
        second = at.finish()
        assert second["read"] == said["waiting"], "what was not read is free at once"
        assert doubled(at.store) == []
        assert set(at.ids()) == set(marked(at.store))


def test_bounds_of_the_command_end_it_with_exit_code_3(tmp_path: Path) -> None:
    with place("discourse", tmp_path, settled(8)) as at:
        for options, stopped in (
            (["--max-requests", "6"], "The 6 requests of this run are used up."),
            (["--max-requests", "0"], "The 0 requests of this run are used up."),
            (["--limit", "2"], None),
            (["--max-seconds", "0"], "The 0 seconds of this run are used up."),
        ):
            process = at.start(*options)
            process.join(20)
            assert (process.exitcode, at.said()["stopped"]) == (3, stopped), options
        at.finish()
        assert len(at.ids()) == 8
        assert doubled(at.store) == []


# -- two at once ------------------------------------------------------------------------------------------------------


def kept(times: list[float]) -> None:
    """The limit holds over every stretch of time, give or take a moment for packets on their way."""
    for start, first in enumerate(times):
        for end in range(start + BURST, len(times)):
            assert end - start + 1 <= BURST + 1 + RATE * (times[end] - first + 0.15), (start, end, times[end] - first)
    assert times[-1] - times[0] >= (len(times) - BURST - 1) / RATE - 0.15


def test_two_crawls_of_one_community_share_its_threads_and_the_limit(tmp_path: Path) -> None:
    with place("discourse", tmp_path, settled(30)) as at:
        both = [at.start(requests=RATE, interval_s=1, burst=BURST) for _ in range(2)]
        for process in both:
            process.join(60)
        assert {process.exitcode for process in both} <= {0, 3}
        said = [at.said(number) for number in (1, 2)]
        assert sum(summary["read"] for summary in said) == 30
        assert min(summary["read"] for summary in said) > 0
        assert doubled(at.store) == []
        assert set(Counter(at.view.threads()).values()) == {1}
        kept([moment for moment, _ in at.view.asked])
        assert at.finish()["read"] == 0
        assert len(at.ids()) == 30


def test_two_sources_at_one_host_keep_its_limit_together(tmp_path: Path) -> None:
    with place("discourse", tmp_path, settled(15), NodebbApi) as at:
        both = [
            at.start(kind=KINDS[name], requests=RATE, interval_s=1, burst=BURST) for name in ("discourse", "nodebb")
        ]
        for process in both:
            process.join(60)
        assert [process.exitcode for process in both] == [0, 0]
        assert [at.said(number)["read"] for number in (1, 2)] == [15, 15]
        kept([moment for moment, _ in at.view.asked])
        assert len(at.ids()) == 15
