"""Threads that were read are stored together, and whatever ends a run, what was read is stored and marked."""

from __future__ import annotations

from typing import Any

import pytest

from shp_miner.crawling import keeping
from shp_miner.crawling.community import Crawl
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import NotAllowed, TryLater
from shp_miner.platforms.items import Thread
from shp_miner.platforms.rows import Chunk
from shp_miner.sources.http import OverBudget
from shp_miner.store import Store

from .crawls import doubled, marked, rows
from .test_crawling import T0_S, Board, FakeClock, expected, stored


class Slow(Board):
    """A forum in memory of which every thread takes some seconds to read."""

    def __init__(self, clock: FakeClock, takes_s: float, threads: int) -> None:
        super().__init__("newest", activity=True, ids=0)
        self.clock, self.takes_s = clock, takes_s
        self.read_at: dict[str, float] = {}
        for number in range(threads):
            self.post(f"p{number:02}", T0_S + number * 3600)

    def thread(self, community: str, post_id: str) -> Thread:
        thread = super().thread(community, post_id)
        self.clock.time += self.takes_s
        self.read_at[post_id] = self.clock.time
        return thread


@pytest.fixture
def appended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads each append brings to the store."""
    counts: list[int] = []
    original = Store.append

    def counted(self: Store, chunk: Chunk, **how: bool) -> None:
        counts.append(chunk.posts.num_rows)
        original(self, chunk, **how)

    monkeypatch.setattr(Store, "append", counted)
    return counts


def crawl(board: Slow, state: CrawlState) -> Crawled:
    return Crawl(board, Store(state.path.parent), state, clock=board.clock).run("talk")


def test_threads_are_stored_together(state: CrawlState, appended: list[int]) -> None:
    board = Slow(FakeClock(), 0, 70)
    assert crawl(board, state).read == 70
    assert appended == [1, 2, 4, 8, 16, 20, 19]
    assert stored(state) == expected(board)


def test_no_thread_waits_long_to_be_stored(state: CrawlState, appended: list[int]) -> None:
    crawl(Slow(FakeClock(), 16, 12), state)
    assert appended == [1, 2, 3, 3, 3]


def test_long_threads_wait_for_few_others(
    state: CrawlState, appended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_ANSWERS_TOGETHER", 9)
    crawl(Slow(FakeClock(), 0, 12), state)
    assert appended == [1, 2, 3, 3, 3]


def test_each_thread_is_observed_when_it_was_read(state: CrawlState) -> None:
    board = Slow(FakeClock(), 3, 12)
    crawl(board, state)
    for table in ("posts", "answers"):
        for row in rows(Store(state.path.parent), table).to_dicts():
            assert row["observed_at"].timestamp() == board.read_at[row["post_id"]]


@pytest.mark.parametrize(
    "end",
    [OverBudget("The requests of this run are used up."), KeyboardInterrupt(), NotAllowed("No longer.")],
    ids=["budget", "interrupted", "refused"],
)
def test_what_was_read_before_the_end_is_stored(end: BaseException, state: CrawlState, appended: list[int]) -> None:
    board, store = Slow(FakeClock(), 0, 30), Store(state.path.parent)
    order = sorted(board.created)  # the oldest first
    board.broken[order[12]] = end  # type: ignore[assignment]
    done = crawl(board, state)
    assert appended == [1, 2, 4, 5]
    assert (done.read, done.answers, bool(done.stopped)) == (12, 36, True)
    assert set(marked(store)) == stored(state).keys() == set(order[:12])
    board.broken.clear()
    assert crawl(board, state).read == 18
    assert stored(state) == expected(board)
    assert [board.count(f"thread {post_id}") for post_id in order] == [1] * 12 + [2] + [1] * 17
    assert doubled(store) == []


def test_a_bug_loses_nothing_that_was_read(state: CrawlState, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Slow(FakeClock(), 0, 30)
    original = CrawlState.known

    def broken(self: CrawlState, origin: Any, post_ids: Any) -> Any:
        return 1 / 0 if post_ids == ["p12"] else original(self, origin, post_ids)

    with monkeypatch.context() as patch:
        patch.setattr(CrawlState, "known", broken)
        with pytest.raises(ZeroDivisionError):
            crawl(board, state)
    assert len(marked(Store(state.path.parent))) == 12
    assert crawl(board, state).read == 18


def test_what_cannot_be_stored_is_free_at_once(state: CrawlState, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Slow(FakeClock(), 0, 30)
    original = Store.append

    def full(self: Store, chunk: Chunk, **how: bool) -> None:
        if chunk.posts.num_rows == 8:
            raise TryLater("The disk is full.", "Free some space.")
        original(self, chunk, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", full)
        done = crawl(board, state)
    assert "The disk is full." in str(done.stopped)
    assert done.read == len(marked(Store(state.path.parent))) == len(stored(state)) == 7
    assert crawl(board, state).read == 23
    assert stored(state) == expected(board)


def test_what_was_stored_and_not_marked_is_read_again(state: CrawlState, monkeypatch: pytest.MonkeyPatch) -> None:
    board, store = Slow(FakeClock(), 0, 30), Store(state.path.parent)
    original = CrawlState.read

    def killed(self: CrawlState, origin: Any, thread: Thread, *times: Any) -> None:
        if thread.post.post_id == "p09":
            raise KeyboardInterrupt
        original(self, origin, thread, *times)

    with monkeypatch.context() as patch:
        patch.setattr(CrawlState, "read", killed)
        assert crawl(board, state).read == 9
    assert (len(marked(store)), len(stored(state))) == (9, 15)
    assert crawl(board, state).read == 21
    assert stored(state) == expected(board)
    assert {row[1] for row in doubled(store)} == {f"p{number:02}" for number in range(9, 15)}
