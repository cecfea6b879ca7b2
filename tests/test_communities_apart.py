"""What ends one community's run ends no other's; budgets and sites that are down end all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shp_miner.crawling import recheck
from shp_miner.crawling.community import Crawl
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.run import _until_stopped
from shp_miner.crawling.state import FILE, CrawlState
from shp_miner.errors import NotAllowed, TryLater
from shp_miner.forum.serve import refusals
from shp_miner.platforms.items import Origin
from shp_miner.sources.source import Listed
from shp_miner.store import Store

from .crawls import bench, settled
from .test_crawling import DAY_S, Board, FakeClock
from .test_deleted_of_others import fill, word
from .test_forget import seen


def test_a_closed_category_keeps_no_other_from_its_visits(tmp_path: Path) -> None:
    with bench("discourse", tmp_path / "store", settled(0)) as at:
        threads = fill(at, 9)
        at.crawl()
        shut = [post for post, _ in threads[3:]]
        with closing(sqlite3.connect(at.store.path / FILE)) as database, database:
            database.executemany(
                "UPDATE threads SET community = 'aaa', due_at = 1 WHERE post_id = ?", [(post_id,) for post_id in shut]
            )
        for post_id in shut:
            at.forum.faults.add(refusals.to_login(), path=f"/t/{post_id}.json")
        at.community.delete(threads[0][1][1])
        at.pass_time(DAY_S)
        done = recheck(at.store, at.access())
        assert [bool(result.stopped) for result in done] == [True, False]
        assert done[1].read == 3
        assert seen(at.store.path, word(0, 1)) == []


@pytest.fixture
def run(tmp_path: Path) -> Crawl:
    store = Store(tmp_path)
    store.create()
    return Crawl(Board("newest", activity=True, ids=0), store, CrawlState(tmp_path), clock=FakeClock())


def outcome(community: str, **told: object) -> Crawled:
    return Crawled("board", "board.example", community, **told)  # type: ignore[arg-type]


def test_two_communities_in_a_row_without_an_answer_end_the_sites_run(run: Crawl) -> None:
    asked = []

    def step(community: str) -> Crawled:
        asked.append(community)
        if community == "read":
            return outcome(community, read=3)
        raise TryLater("board.example is down.", "")

    done = _until_stopped(run, Board("newest", activity=True, ids=0), ["x", "read", "a", "b", "c"], step)
    assert asked == ["x", "read", "a", "b"]
    assert [result.read for result in done] == [0, 3, 0, 0], "what was done is not lost"


def test_communities_that_are_refused_end_no_other_s_run(run: Crawl) -> None:
    def step(community: str) -> Crawled:
        if community == "open":
            return outcome(community, read=3)
        raise NotAllowed("Members only.", "")

    done = _until_stopped(run, Board("newest", activity=True, ids=0), ["a", "b", "c", "open"], step)
    assert [result.read for result in done] == [0, 0, 0, 3]


def test_where_nothing_could_be_done_that_is_raised(run: Crawl) -> None:
    def step(_: str) -> Crawled:
        raise NotAllowed("Members only.", "")

    with pytest.raises(NotAllowed):
        _until_stopped(run, Board("newest", activity=True, ids=0), ["a"], step)


def test_a_budget_ends_all(run: Crawl) -> None:
    def step(community: str) -> Crawled:
        run.ended = True
        return outcome(community, read=1, stopped="The requests of this run are used up.")

    assert len(_until_stopped(run, Board("newest", activity=True, ids=0), ["a", "b"], step)) == 1


def test_who_waited_longest_comes_first(tmp_path: Path) -> None:
    Store(tmp_path).create()
    with CrawlState(tmp_path) as state:
        for community in "abc":
            state.listed(Origin("board", "board", "board.example", community), [Listed(f"p{community}", 1)])
        with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
            database.execute("UPDATE threads SET read_at = 1, due_at = CASE community WHEN 'b' THEN 5 ELSE 9 END")
            database.execute("UPDATE threads SET due_at = 1, retry_at = 20 WHERE community = 'a'")
        assert state.due_communities("board", "board.example", 30) == ["b", "c", "a"]
