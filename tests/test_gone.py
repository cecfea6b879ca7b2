"""What cannot be read is hidden, purged only when that is confirmed, and taken back when it is shown again."""

from __future__ import annotations

from typing import get_args

import polars as pl
import pytest

from shp_miner.crawling.community import Crawl
from shp_miner.crawling.gone import ALONE_US, BRAKED_US
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.run import _tidy
from shp_miner.crawling.state import CrawlState
from shp_miner.health.status import status
from shp_miner.platforms.items import Origin
from shp_miner.sources.http import OverBudget
from shp_miner.sources.source import Evidence
from shp_miner.store import Store

from .test_crawling import DAY_S, T0_S, Board, FakeClock, crawl, expected, recheck, stored

KINDS = [("newest", True, 0), ("newest", False, 10), ("oldest", True, 100)]
SURE = ("missing", "forbidden")


@pytest.fixture(params=KINDS, ids=[f"{order}-{ids}" for order, _, ids in KINDS])
def board(request: pytest.FixtureRequest) -> Board:
    order, activity, ids = request.param
    return board_of(40, order=order, activity=activity, ids=ids)


def board_of(threads: int, *, order: str = "newest", activity: bool = True, ids: int = 0) -> Board:
    board = Board(order, activity=activity, ids=ids)  # type: ignore[arg-type]
    for n in range(threads):
        board.post(f"p{n:02}", T0_S + n * 60)
    return board


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.time = T0_S + 3600
    return clock


def daily(days: int, board: Board, state: CrawlState, clock: FakeClock, *, every: int = 1) -> list[Crawled]:
    """A visit to what is due, once a day or `every` so many days, and the purge after each."""
    found = []
    for _ in range(0, days, every):
        clock.time += every * DAY_S
        found.append(recheck(board, state, clock))
        _tidy(Store(state.path.parent), found[-1:])
    return found


def text_of(state: CrawlState, item_id: str) -> bool:
    """Whether the store holds any text of a post or an answer."""
    snapshot = Store(state.path.parent).snapshot()
    key = {"posts": "post_id", "answers": "answer_id"}
    rows = [snapshot.scan(name).filter(pl.col(column) == item_id) for name, column in key.items()]
    return any((part.select("body").collect()["body"] != "").any() for part in rows)


def hidden(board: Board, *post_ids: str) -> dict[str, set[str]]:
    return {post_id: answers for post_id, answers in expected(board).items() if post_id not in post_ids}


@pytest.mark.parametrize("evidence", get_args(Evidence))
def test_one_answer_hides_and_purges_nothing(
    evidence: Evidence, board: Board, state: CrawlState, clock: FakeClock
) -> None:
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = evidence
    board.slipped.add("p07")
    board.looks_up = False
    (done,) = daily(1, board, state, clock)
    assert (done.gone, done.unreadable) == (0, 1)
    assert bool(done.refused) == (evidence not in SURE), "a single item is no closed door"
    assert done.complete == (evidence in SURE)
    assert stored(state) == hidden(board, "p07")
    assert text_of(state, "p07")
    assert text_of(state, "p07a1")
    board.refused.clear()
    board.slipped.clear()
    (done,) = daily(1, board, state, clock)
    assert (done.gone, done.unreadable, done.complete) == (0, 0, True)
    assert stored(state) == expected(board)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("evidence", get_args(Evidence))
def test_only_confirmations_over_days_purge(
    evidence: Evidence, board: Board, state: CrawlState, clock: FakeClock
) -> None:
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = evidence
    board.looks_up = False
    done = daily(4, board, state, clock)
    sure = evidence in SURE
    assert [result.gone for result in done] == [0, 0, int(sure), 0]
    assert text_of(state, "p07") != sure
    assert text_of(state, "p07a1") != sure
    assert stored(state) == hidden(board, "p07")


def test_asking_often_confirms_nothing(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = "missing"
    for _ in range(40):
        clock.time += 1800
        recheck(board, state, clock)
    assert board.count("thread p07") == 3, "the first crawl, at once, and after ten hours"
    assert text_of(state, "p07")


def test_a_second_look_up_by_id_confirms(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8, ids=100)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = "missing"
    done = recheck(board, state, clock)
    assert (done.gone, done.unreadable) == (0, 1)
    (done,) = daily(1, board, state, clock)
    assert (done.gone, done.unreadable, text_of(state, "p07")) == (1, 0, False)


def test_an_answer_that_slipped_between_two_pages_is_looked_up_or_waited_for(
    board: Board, state: CrawlState, clock: FakeClock
) -> None:
    crawl(board, state, clock)
    clock.time += 1800
    board.post("late", clock.time - 600)
    board.answer("p03", clock.time - 300)
    board.slipped.add("p03a1")
    done = crawl(board, state, clock)
    assert done.gone == 0
    assert text_of(state, "p03a1")
    if board.lists_activity:
        assert ("p03a1" in stored(state)["p03"]) == board.looks_up
    board.slipped.clear()
    daily(2, board, state, clock)
    assert "p03a1" in stored(state)["p03"]
    assert text_of(state, "p03a1")


def test_an_answer_that_stays_away_is_purged(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += 40 * DAY_S
    board.gone.add("p03a1")
    done = daily(4, board, state, clock)
    assert [result.gone for result in done] == [0, 0, 1, 0]
    assert not text_of(state, "p03a1")
    assert stored(state) == expected(board)


@pytest.mark.parametrize("evidence", get_args(Evidence))
def test_a_site_that_refuses_all_loses_nothing(evidence: Evidence, state: CrawlState, clock: FakeClock) -> None:
    board = board_of(12)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused = dict.fromkeys(board.created, evidence)
    for day, done in enumerate(daily(12, board, state, clock)):
        assert done.gone == 0
        # Later in the fortnight a run asks for one or two of them, and no number of single items is a closed door.
        assert bool(done.refused or done.stopped) == (not done.complete)
        assert not done.complete or (day and evidence in SURE) or not done.unreadable
    assert stored(state) == {}
    board.refused.clear()
    clock.time += 10 * DAY_S
    daily(2, board, state, clock)
    assert stored(state) == expected(board)


def test_a_site_that_knows_nothing_any_more_is_believed_after_two_weeks(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(2)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused = dict.fromkeys(board.created, "missing")
    days = [day for day, done in enumerate(daily(40, board, state, clock)) if done.gone]
    assert days
    assert min(days) * DAY_S * 1e6 >= ALONE_US
    assert not text_of(state, "p00")


def test_the_brake_hides_flags_and_waits(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(20)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.gone |= {f"p{n:02}" for n in range(5)}
    (done,) = daily(1, board, state, clock)
    assert (done.gone, done.complete, text_of(state, "p02")) == (0, False, True)
    assert done.refused is not None
    assert "hidden" in done.refused
    assert stored(state) == expected(board)
    board.gone -= {"p00", "p01"}
    done = daily(14, board, state, clock)[-1]
    assert stored(state) == expected(board)
    assert text_of(state, "p00")
    assert not text_of(state, "p02"), "what the platform goes on flagging is purged, alone or after a week"


def test_the_brake_is_off_after_a_week_of_the_same_word(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(20)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.gone |= {f"p{n:02}" for n in range(10)}
    days = [day for day, done in enumerate(daily(20, board, state, clock)) if done.gone]
    assert min(days) * DAY_S * 1e6 >= BRAKED_US
    assert not text_of(state, "p02")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("what", ["p07", "p07a1"])
def test_what_is_restored_comes_back_whether_purged_or_not(
    what: str, board: Board, state: CrawlState, clock: FakeClock
) -> None:
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.gone.add(what)
    daily(5, board, state, clock)
    assert not text_of(state, what)
    assert stored(state) == expected(board)
    board.gone.clear()
    done = daily(60, board, state, clock)
    assert sum(result.restored for result in done) == 1
    assert stored(state) == expected(board)
    assert text_of(state, what)


def test_what_is_restored_and_answered_anew_is_read_by_the_next_crawl(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    board.gone.add("p07")
    clock.time += DAY_S
    daily(1, board, state, clock)
    board.gone.clear()
    board.answer("p07", clock.time + 1800)
    clock.time += 3600
    assert crawl(board, state, clock).read == 1
    assert stored(state) == expected(board)


def test_a_community_for_members_from_the_start_is_read_when_it_opens(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    board.refused = dict.fromkeys(board.created, "closed")
    for _ in range(3):
        done = crawl(board, state, clock)
        assert (done.gone, done.read, done.complete) == (0, 0, False)
        clock.time += 3 * DAY_S
    board.refused.clear()
    for _ in range(3):
        crawl(board, state, clock)
        clock.time += 3 * DAY_S
    assert stored(state) == expected(board)


def test_visits_never_end(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    clock.time = T0_S + 400 * DAY_S
    crawl(board, state, clock)
    board.gone.add("p07")
    board.asked.clear()
    daily(40, board, state, clock)
    assert not text_of(state, "p07")
    daily(400, board, state, clock, every=5)
    assert board.count("thread p06") == 4, "after 30, 60, 120 and 240 days"
    board.gone.add("p06")
    daily(500, board, state, clock, every=5)
    assert not text_of(state, "p06")
    found = status(state.path.parent, now_s=clock.time)
    assert found.oldest_unchecked is not None


def test_a_full_pass_and_one_by_the_time_of_the_last_reading(board: Board, state: CrawlState, clock: FakeClock) -> None:
    clock.time = T0_S + 400 * DAY_S
    crawl(board, state, clock)
    clock.time += 10 * DAY_S
    assert recheck(board, state, clock).read == 0
    assert visit(board, state, clock, older_than_s=20 * DAY_S).read == 0
    assert visit(board, state, clock, older_than_s=5 * DAY_S).read == 40
    assert visit(board, state, clock, older_than_s=5 * DAY_S).read == 0
    clock.time += 1
    assert visit(board, state, clock, older_than_s=0).read == 40


def visit(board: Board, state: CrawlState, clock: FakeClock, *, older_than_s: float) -> Crawled:
    run = Crawl(board, Store(state.path.parent), state, clock=clock)
    return run.recheck("talk", unseen_since=round((clock.time - older_than_s) * 1e6))


def test_a_run_killed_before_its_end_hides_with_the_next(
    state: CrawlState, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = "missing"
    with monkeypatch.context() as patch:
        patch.setattr("shp_miner.crawling.gone.Doubtful.settle", lambda *_: 1 / 0)
        clock.time += DAY_S
        with pytest.raises(ZeroDivisionError):
            recheck(board, state, clock)
    assert "p07" in stored(state)
    crawl(board, state, clock)
    assert "p07" not in stored(state)


def test_a_closed_door_calls_for_somebody(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = "wall"
    daily(4, board, state, clock)
    found = status(state.path.parent, now_s=clock.time, free_bytes=lambda _: 10**12)
    assert ([problem.what for problem in found.wrong], found.unreadable) == (["closed"], 1)
    assert "board.example answers with a web page" in found.wrong[0].says


def test_what_is_refused_alone_ends_no_run(state: CrawlState, clock: FakeClock) -> None:
    """Deleted threads of a platform that refuses them keep nobody from the others, however many they are."""
    board = board_of(20)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused = {f"p{n:02}": "forbidden" for n in range(8)}
    done = recheck(board, state, clock)
    assert (done.read, done.unreadable, done.stopped) == (12, 8, None)


def test_a_brake_holds_over_runs_that_each_see_little(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(30)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused = {f"p{n:02}": "missing" for n in range(10)}
    board.looks_up = False
    for _ in range(4 * 8):
        clock.time += 3 * 3600
        run = Crawl(board, Store(state.path.parent), state, clock=clock, limit=2)
        assert run.recheck("talk").gone == 0
    board.refused.clear()
    daily(5, board, state, clock)
    assert stored(state) == expected(board)


def test_a_thread_that_costs_more_than_the_budget_holds_nobody_up(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(6)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.broken["p00"] = OverBudget("The requests of this run are used up.")
    for _ in range(4):
        clock.time += 3600
        recheck(board, state, clock)
    assert board.count("thread p05") == 2


def test_a_full_pass_asks_for_what_was_gone_whatever_was_planned(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = "missing"
    board.looks_up = False
    daily(40, board, state, clock)
    assert not text_of(state, "p07")
    board.refused.clear()
    clock.time += 1800
    assert recheck(board, state, clock).restored == 0
    assert visit(board, state, clock, older_than_s=0).restored == 1
    assert stored(state) == expected(board)


def test_a_thread_that_is_back_as_a_stub_is_in_doubt_no_longer(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += 30 * DAY_S
    board.refused["p07"] = "wall"
    daily(1, board, state, clock)
    board.refused.clear()
    board.stubs.add("p07")
    daily(2, board, state, clock)
    assert not state.doubts.about(Origin("board", "board", board.site, "talk"), "p07")


def test_visits_that_a_limit_leaves_are_said(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(8)
    crawl(board, state, clock)
    clock.time += DAY_S
    run = Crawl(board, Store(state.path.parent), state, clock=clock, limit=3)
    done = run.recheck("talk")
    assert (done.read, done.waiting, done.complete) == (3, 5, False)


@pytest.mark.parametrize("evidence", ["closed", "wall"])
def test_when_a_door_opens_all_behind_it_is_read_at_once(
    evidence: Evidence, state: CrawlState, clock: FakeClock
) -> None:
    board = board_of(12)
    crawl(board, state, clock)
    board.refused = dict.fromkeys(board.created, evidence)
    for hours in (6, 11, 21, 41, 81):
        clock.time += hours * 3600
        for _ in range(12):  # a door ends a run after three
            recheck(board, state, clock)
    board.refused.clear()
    clock.time += 600
    assert recheck(board, state, clock).read == 0
    assert stored(state) == {}
    board.answer("p03", clock.time)
    clock.time += 600
    crawl(board, state, clock)
    assert stored(state) == expected(board)
