"""A crawl ends with every thread exactly once, whatever interrupts it and however a platform lists."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from shp_miner.crawling.community import Crawl
from shp_miner.crawling.result import VISITS_S, Crawled
from shp_miner.crawling.state import FILE, CrawlState
from shp_miner.errors import BadInput, TryLater
from shp_miner.platforms.items import Answer, Origin, Post, Thread
from shp_miner.sources.http import OverBudget
from shp_miner.sources.source import Evidence, Gone, Items, Listed, Listing, Unreadable
from shp_miner.store import Store
from shp_miner.store.lock import working_beside
from shp_miner.store.snapshot import EVERYTHING

from .web import FakeClock

DAY_S = 86_400.0
T0_S = 1_700_000_000.0


class Board:
    """A forum in memory that keeps the protocol of a source, counts what is asked, and fails when told."""

    name, platform, site = "board", "board", "board.example"

    def __init__(self, order: Literal["newest", "oldest"], *, activity: bool, ids: int, page: int = 7) -> None:
        self.order, self.lists_activity, self.ids_per_request, self.page = order, activity, ids, page
        self.looks_up = ids > 0
        self.tells_the_past = False
        self.answers: dict[str, list[str]] = {}
        self.created: dict[str, float] = {}
        self.changed: dict[str, float] = {}
        self.gone: set[str] = set()
        #: What a thread cannot be read for, though nothing says that it is gone.
        self.refused: dict[str, Evidence] = {}
        #: Answers that a reading of the whole thread leaves out, and posts that the look-up by id does.
        self.slipped: set[str] = set()
        #: Threads of whose post only a stub is left.
        self.stubs: set[str] = set()
        self.asked: list[str] = []
        self.allowed: float = float("inf")
        self.broken: dict[str, Exception] = {}
        self.duplicating = False
        #: Whether a thread says by itself when it changed last.
        self.tells = activity

    def post(self, post_id: str, at: float, answers: int = 3) -> None:
        self.created[post_id] = self.changed[post_id] = at
        self.answers[post_id] = [f"{post_id}a{n}" for n in range(answers)]

    def answer(self, post_id: str, at: float) -> None:
        self.answers[post_id].append(f"{post_id}a{len(self.answers[post_id])}")
        if self.lists_activity:
            self.changed[post_id] = at

    def verify(self, community: str) -> str:
        return community

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        self._ask(f"list {token}")
        rows = sorted((at, post_id) for post_id, at in self.changed.items() if post_id not in self.gone)
        if self.order == "newest":
            rows.reverse()
        elif since is not None:
            rows = [row for row in rows if _us(row[0]) >= since]
        start = int(token or 0)
        part = rows[start : start + self.page]
        if self.duplicating:
            part = [*part, *part[:2]][::-1]
        more = str(start + self.page) if start + self.page < len(rows) else None
        return Listing([Listed(post_id, _us(at)) for at, post_id in part], more)

    def thread(self, community: str, post_id: str) -> Thread:
        self._ask(f"thread {post_id}")
        if post_id in self.broken:
            raise self.broken[post_id]
        if post_id in self.gone:
            raise Gone("deleted")
        if post_id in self.refused:
            raise Unreadable(self.refused[post_id], f"board.example refuses {post_id}.")
        answers = [
            self._answer(post_id, answer_id) for answer_id in self._there(post_id) if answer_id not in self.slipped
        ]
        return Thread(self._post(post_id), answers, changed_at=_us(self.changed[post_id]) if self.tells else None)

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        self._ask(f"again {len(post_ids) + len(answer_ids)}")
        assert len(post_ids) + len(answer_ids) <= self.ids_per_request
        return Items(
            [self._post(post_id) for post_id in post_ids if post_id not in {*self.gone, *self.refused, *self.slipped}],
            [
                self._answer(post_id, answer_id)
                for post_id, answer_id in answer_ids
                if answer_id in self._there(post_id)
            ],
        )

    def _there(self, post_id: str) -> list[str]:
        return (
            []
            if post_id in self.gone
            else [answer_id for answer_id in self.answers[post_id] if answer_id not in self.gone]
        )

    def _post(self, post_id: str) -> Post:
        return Post(
            post_id=post_id,
            created_at=_us(self.created[post_id]),
            body=f"Why {post_id}?",
            body_format="text",
            score=9,
            title=post_id,
            state="deleted" if post_id in self.stubs else "live",
        )

    def _answer(self, post_id: str, answer_id: str) -> Answer:
        created = _us(self.created[post_id]) + 60_000_000 * (self.answers[post_id].index(answer_id) + 1)
        return Answer(
            post_id=post_id,
            answer_id=answer_id,
            created_at=created,
            body=f"So {answer_id}.",
            body_format="text",
            score=5,
        )

    def _ask(self, what: str) -> None:
        if self.allowed <= 0:
            raise OverBudget("The requests of this run are used up.")
        self.allowed -= 1
        self.asked.append(what)

    def count(self, what: str) -> int:
        return sum(request.startswith(what) for request in self.asked)


KINDS = [("newest", True, 0), ("newest", False, 10), ("oldest", True, 100), ("oldest", False, 0)]


@pytest.fixture(params=KINDS, ids=[f"{order}-{'activity' if a else 'creation'}-{ids}" for order, a, ids in KINDS])
def board(request: pytest.FixtureRequest) -> Board:
    order, activity, ids = request.param
    board = Board(order, activity=activity, ids=ids)
    for n in range(30):
        board.post(f"p{n:02}", T0_S + n * 3600)
    return board


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T0_S + 40 * DAY_S)


def crawl(board: Board, state: CrawlState, clock: FakeClock, limit: int | None = None) -> Crawled:
    return Crawl(board, Store(state.path.parent), state, clock=clock, limit=limit).run("talk")


def recheck(board: Board, state: CrawlState, clock: FakeClock) -> Crawled:
    return Crawl(board, Store(state.path.parent), state, clock=clock).recheck("talk")


def stored(state: CrawlState) -> dict[str, set[str]]:
    """The live answers of each live post. Those of a post that cannot be read go with it, as in exports."""
    snapshot = Store(state.path.parent).snapshot()
    posts, answers = snapshot.posts(EVERYTHING)[0], snapshot.answers(EVERYTHING)[0]
    states = dict(posts.select("post_id", "state").iter_rows())
    found: dict[str, set[str]] = {post_id: set() for post_id, how in states.items() if how == "live"}
    for post_id, answer_id, how in answers.select("post_id", "answer_id", "state").rows():
        if how == "live" and states[post_id] != "unreadable":
            found[post_id].add(answer_id)
    return found


def expected(board: Board) -> dict[str, set[str]]:
    return {post_id: set(board._there(post_id)) for post_id in board.created if post_id not in board.gone}


def test_a_first_crawl_reads_all_and_a_second_only_what_is_new(
    board: Board, state: CrawlState, clock: FakeClock
) -> None:
    done = crawl(board, state, clock)
    assert done.complete
    assert (done.fresh, done.read, done.answers) == (30, 30, 90)
    assert stored(state) == expected(board)
    assert (board.count("list"), board.count("thread")) == (5, 30)
    board.asked.clear()
    clock.time += 3600
    board.post("new", clock.time - 1800)
    board.answer("p03", clock.time - 600)
    done = crawl(board, state, clock)
    assert board.count("thread") == (2 if board.lists_activity else 1)
    assert board.count("list") == 1
    assert done.complete
    if board.lists_activity:
        assert stored(state) == expected(board)


def test_any_number_of_requests_a_run_leads_to_the_same_store(
    board: Board, state: CrawlState, clock: FakeClock
) -> None:
    for run in range(60):
        board.allowed = 1 + run % 4
        done = crawl(board, state, clock)
        clock.time += 1000  # claims of a run that ended are free at once; those of a dead one after a while
        if run == 20:
            board.post("late", clock.time - 5)
        assert (done.stopped is None) == (board.allowed > 0) or done.stopped is None
    board.allowed = float("inf")
    assert crawl(board, state, clock).complete
    assert stored(state) == expected(board)
    assert {request for request in board.asked if request.startswith("thread")} == {
        f"thread {p}" for p in board.created
    }
    assert board.count("thread") == len(board.created)


def test_pages_that_repeat_and_change_their_order_double_nothing(
    board: Board, state: CrawlState, clock: FakeClock
) -> None:
    board.duplicating = True
    assert crawl(board, state, clock).read == 30
    assert stored(state) == expected(board)
    assert board.count("thread") == 30


def test_what_fails_waits_for_a_later_run(board: Board, state: CrawlState, clock: FakeClock) -> None:
    board.broken = {
        "p05": BadInput("The answer of board.example lacks the field score.", "It may be another version."),
        "p11": TryLater("board.example is down.", "Try later."),
    }
    done = crawl(board, state, clock)
    assert (done.read, done.failed, done.complete) == (28, 2, False)
    assert done.waiting == 2
    board.asked.clear()
    crawl(board, state, clock)
    assert board.count("thread") == 0, "what failed is not asked again at once"
    board.broken.clear()
    clock.time += 3600
    done = crawl(board, state, clock)
    assert (done.read, done.complete) == (2, True)
    assert stored(state) == expected(board)


def test_a_site_that_is_down_ends_the_run(board: Board, state: CrawlState, clock: FakeClock) -> None:
    board.broken = {f"p{n:02}": TryLater("board.example is down.", "Try later.") for n in range(30)}
    done = crawl(board, state, clock)
    assert board.count("thread") == 3
    assert done.stopped == "board.example failed 3 times in a row."
    assert done.waiting == 30


def test_ctrl_c_ends_with_a_true_summary(board: Board, state: CrawlState, clock: FakeClock) -> None:
    board.broken = {"p07": KeyboardInterrupt()}  # type: ignore[dict-item]
    done = crawl(board, state, clock)
    assert done.stopped == "interrupted"
    assert 0 < done.read < 30
    assert done.read + done.waiting == 30
    board.broken.clear()
    assert crawl(board, state, clock).read == done.waiting


def test_a_limit_reads_so_many_and_the_next_run_the_others(board: Board, state: CrawlState, clock: FakeClock) -> None:
    sizes = [crawl(board, state, clock, limit=8).read for _ in range(5)]
    assert sizes[:3] == [8, 8, 8]
    assert sum(sizes) == 30
    assert stored(state) == expected(board)


def test_threads_are_visited_again_at_their_ages(board: Board, state: CrawlState, clock: FakeClock) -> None:
    clock.time = T0_S + 29 * 3600 + 60
    crawl(board, state, clock)
    read: list[int] = []
    for _ in range(40):
        clock.time += DAY_S
        read.append(recheck(board, state, clock).read)
    # Every thread at every age it had not reached when it was first read.
    ages = sum(age_s > T0_S + 29 * 3600 + 60 - created for created in board.created.values() for age_s in VISITS_S)
    skipped = sum(read)
    assert 30 * 3 <= skipped <= ages
    assert read[-1] == 0
    assert max(read) <= 30
    observed = Store(state.path.parent).snapshot().scan("answers").select("observed_at", "answer_id").collect()
    assert observed.filter(observed["answer_id"] == "p29a0").height >= 4


def test_a_visit_that_failed_is_still_to_be_made(state: CrawlState, clock: FakeClock) -> None:
    board = Board("newest", activity=True, ids=0)
    for number in range(3):
        board.post(f"p{number}", T0_S + 39.9 * DAY_S)
    assert crawl(board, state, clock).complete
    clock.time += DAY_S / 4
    board.broken = {"p1": TryLater("board.example is down.", "Try later.")}
    done = recheck(board, state, clock)
    assert (done.read, done.failed, done.waiting, done.complete) == (2, 1, 1, False)
    board.broken.clear()
    board.asked.clear()
    done = recheck(board, state, clock)
    assert (done.read, done.waiting, done.complete, board.asked) == (0, 1, False, [])
    assert state.due_communities("board", "board.example", _us(clock.time)) == ["talk"]
    clock.time += 1000
    done = recheck(board, state, clock)
    assert (done.read, done.waiting, done.complete) == (1, 0, True)


def test_a_visit_asks_for_many_items_at_once(state: CrawlState, clock: FakeClock) -> None:
    board = Board("oldest", activity=True, ids=100)
    for n in range(30):
        board.post(f"p{n:02}", clock.time - 3600)
    crawl(board, state, clock)
    board.asked.clear()
    clock.time += DAY_S
    assert recheck(board, state, clock).read == 30
    assert board.count("thread") == 0
    assert board.count("again") == 2  # 120 items


@pytest.mark.parametrize("tells", [True, False])
def test_a_visit_that_saw_a_change_is_not_made_twice(tells: bool, state: CrawlState, clock: FakeClock) -> None:
    board = Board("newest", activity=True, ids=0)
    board.tells = tells
    for n in range(4):
        board.post(f"p{n}", clock.time - 3600)
    crawl(board, state, clock)
    clock.time += 12 * 3600
    board.answer("p1", clock.time - 4000)
    board.answer("p2", clock.time - 60)
    assert recheck(board, state, clock).read == 4
    board.answer("p2", clock.time + 1)
    clock.time += 60
    board.asked.clear()
    done = crawl(board, state, clock)
    assert board.asked == ["list None", *([] if tells else ["thread p1"]), "thread p2"]
    assert done.complete
    assert stored(state) == expected(board)


def read_half_a_day_ago(state: CrawlState, clock: FakeClock) -> Board:
    """A forum with the thread p, which is due for a visit."""
    board = Board("newest", activity=True, ids=0)
    board.post("p", clock.time - 3600)
    crawl(board, state, clock)
    clock.time += 12 * 3600
    return board


def test_a_thread_that_says_it_changed_in_the_future_hides_nothing(state: CrawlState, clock: FakeClock) -> None:
    board = read_half_a_day_ago(state, clock)
    listed, board.changed["p"] = board.changed["p"], clock.time + 400 * DAY_S
    recheck(board, state, clock)
    board.changed["p"] = listed
    clock.time += 60
    board.answer("p", clock.time - 30)
    assert crawl(board, state, clock).read == 1
    assert stored(state) == expected(board)


def test_what_comes_in_the_second_of_a_visit_is_not_taken_for_read(state: CrawlState, clock: FakeClock) -> None:
    board = read_half_a_day_ago(state, clock)
    board.answer("p", clock.time)
    recheck(board, state, clock)
    board.answer("p", clock.time)
    clock.time += 60
    assert crawl(board, state, clock).read == 1
    assert stored(state) == expected(board)


def test_a_visit_by_id_does_not_stand_for_the_answers_that_a_listing_announced(
    state: CrawlState, clock: FakeClock
) -> None:
    board = Board("oldest", activity=True, ids=100)
    board.post("p", clock.time - 3600)
    crawl(board, state, clock)
    clock.time += DAY_S
    board.answer("p", clock.time - 600)
    board.allowed = 1
    assert crawl(board, state, clock).waiting == 1, "it is listed, and the budget is used up"
    board.allowed = float("inf")
    assert recheck(board, state, clock).read == 1
    assert crawl(board, state, clock).read == 1
    assert stored(state) == expected(board)


def test_what_the_platform_flags_is_gone_at_once_and_what_is_absent_hidden(
    board: Board, state: CrawlState, clock: FakeClock
) -> None:
    clock.time = T0_S + 30 * 3600
    crawl(board, state, clock)
    board.gone |= {"p04", "p09a1"}
    clock.time += 4 * DAY_S
    done = recheck(board, state, clock)
    assert (done.gone, done.complete) == (1, True)
    assert stored(state) == expected(board)


def test_times_in_the_future_hide_nothing(board: Board, state: CrawlState, clock: FakeClock) -> None:
    board.post("future", clock.time + 400 * DAY_S)
    crawl(board, state, clock)
    clock.time += 3600
    board.post("later", clock.time - 60)
    crawl(board, state, clock)
    assert "later" in stored(state)


def test_two_crawls_at_once_share_the_work(board: Board, state: CrawlState, clock: FakeClock, tmp_path: Path) -> None:
    with CrawlState(tmp_path) as other:
        crawls = [Crawl(board, Store(tmp_path), own_state, clock=clock, limit=3) for own_state in (state, other)]
        rng = random.Random(4)
        for _ in range(30):
            rng.choice(crawls).run("talk")
    assert stored(state) == expected(board)
    assert board.count("thread") == 30


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def test_who_comes_alone_clears_up_after_the_dead(tmp_path: Path) -> None:
    calls: list[str] = []
    with working_beside(tmp_path, "crawl", lambda: calls.append("first")):
        with working_beside(tmp_path, "crawl", lambda: calls.append("second")):
            assert calls == ["first"]
        with working_beside(tmp_path, "other", lambda: calls.append("other")):
            assert calls == ["first", "other"]
    with working_beside(tmp_path, "crawl", lambda: calls.append("third")):
        assert calls == ["first", "other", "third"]


def test_claims_of_a_dead_run_are_given_back(board: Board, state: CrawlState, clock: FakeClock) -> None:
    origin = Origin("board", "board", "board.example", "talk")
    state.listed(origin, [Listed("p00", 1)])
    now = _us(clock.now())
    assert state.claim_waiting(origin, now, now + 900_000_000, 5) == ["p00"]
    assert state.claim_waiting(origin, now, now + 900_000_000, 5) == []
    state.release_all()
    assert state.claim_waiting(origin, now, now + 900_000_000, 5) == ["p00"]


def test_the_state_waits_for_another_run_that_makes_it(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE soon (gone)")
    timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    timer.start()
    with CrawlState(tmp_path) as state:
        assert state.sites() == []
    timer.join()
    other.close()
