"""Threads that can never be read: they call for somebody, then they are given up, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shp_miner import cli
from shp_miner.crawling.community import Crawl
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.retries import GIVE_UP_S, GIVE_UP_TRIES
from shp_miner.crawling.run import recheck as recheck_all
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import BadInput, TryLater
from shp_miner.forum.serve import faults
from shp_miner.health.status import Status, status
from shp_miner.pipeline import metrics
from shp_miner.platforms.items import Origin
from shp_miner.store import Store

from .crawls import bench, settled
from .flows import run_on
from .test_crawling import DAY_S, T0_S, Board, crawl, expected, recheck, stored
from .web import FakeClock

ORIGIN = Origin("board", "board", "board.example", "talk")
BAD = BadInput("The answer of board.example lacks the field score.", "It may be another version.")
DOWN = TryLater("board.example answered with status 500.", "Try later.")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T0_S + 40 * DAY_S)


def board_of(threads: int = 8, *, activity: bool = True, ids: int = 0) -> Board:
    board = Board("newest", activity=activity, ids=ids)
    for n in range(threads):
        board.post(f"p{n}", T0_S + n * 3600)
    return board


def shown(state: CrawlState, clock: FakeClock) -> Status:
    return status(state.path.parent, now_s=clock.time, free_bytes=lambda _: 10**12)


def wrong(state: CrawlState, clock: FakeClock) -> list[str]:
    return [problem.what for problem in shown(state, clock).wrong]


def days(count: int, board: Board, state: CrawlState, clock: FakeClock, step_s: float = DAY_S) -> list[Crawled]:
    """A crawl at once, and one after each day."""
    done = [crawl(board, state, clock)]
    for _ in range(count):
        clock.time += step_s
        done.append(crawl(board, state, clock))
    return done


@pytest.mark.parametrize("error", [BAD, DOWN], ids=["bad", "down"])
def test_it_calls_for_twelve_days_and_is_then_counted_only(
    error: Exception, state: CrawlState, clock: FakeClock
) -> None:
    board = board_of()
    board.broken = {"p3": error}
    called, complete = [], []
    for day in range(20):
        complete.append(crawl(board, state, clock).complete)
        called += [day] * (wrong(state, clock) == ["retries"])
        clock.time += DAY_S
    assert called == list(range(3, 14))
    assert complete == [False] * 15 + [True] * 5
    board.asked.clear()
    done = crawl(board, state, clock)
    assert (done.given_up, done.waiting, board.count("thread")) == (1, 0, 0)
    found = shown(state, clock)
    (cursor,) = found.cursors
    assert (found.given_up, cursor.given_up, found.failing, found.waiting, found.wrong) == (1, 1, 0, 0, [])
    assert [(seen.post_id, seen.error) for seen in found.given_up_last] == [("p3", str(error))]
    assert found.plain()["given_up_last"][0]["since"] == "2023-12-24T22:13:20Z"


def test_what_is_new_still_calls(state: CrawlState, clock: FakeClock) -> None:
    board = board_of()
    board.broken = {"p3": BAD}
    days(20, board, state, clock)
    board.post("q", clock.time)
    board.broken["q"] = DOWN
    days(3, board, state, clock)
    assert wrong(state, clock) == ["retries"]
    found = shown(state, clock)
    assert found.failing_longest
    assert (found.failing_longest.post_id, found.failing, found.given_up) == ("q", 1, 1)


def test_who_crawls_once_a_week_makes_as_many_tries(state: CrawlState, clock: FakeClock) -> None:
    board = board_of()
    board.broken = {"p3": BAD}
    done = days(GIVE_UP_TRIES, board, state, clock, 7 * DAY_S)
    assert [result.given_up for result in done] == [0] * (GIVE_UP_TRIES - 1) + [1, 1]


def test_tries_that_are_close_together_are_not_enough(state: CrawlState, clock: FakeClock) -> None:
    board = board_of()
    board.broken = {"p3": BAD}
    days(round(GIVE_UP_S / 3600) - 1, board, state, clock, 3600.0)
    assert board.count("thread p3") > GIVE_UP_TRIES
    assert state.given_up(ORIGIN) == 0
    days(25, board, state, clock, 3600.0)
    assert state.given_up(ORIGIN) == 1


def test_a_site_that_is_down_is_no_fault_of_its_threads(state: CrawlState, clock: FakeClock) -> None:
    board = board_of()
    days(0, board, state, clock)
    for n in range(4):
        board.answer(f"p{n}", clock.time)
    board.broken = dict.fromkeys(board.created, DOWN)
    days(60, board, state, clock)
    assert state.given_up(ORIGIN) == 0
    assert "retries" in wrong(state, clock)
    board.broken.clear()
    days(2, board, state, clock)
    assert stored(state) == expected(board)
    assert wrong(state, clock) == []


def test_three_that_stand_in_front_of_all_others_are_given_up_after_a_look_at_another(
    state: CrawlState, clock: FakeClock
) -> None:
    board = board_of()
    crawl(board, state, clock)
    for n in range(6):
        board.answer(f"p{n}", clock.time + n)
    board.broken = {"p0": DOWN, "p1": BAD, "p2": DOWN}
    done = days(14, board, state, clock)
    # They fail first, and what stands behind them has its turn while they are put off.
    assert (done[0].read, done[0].stopped) == (0, "board.example failed 3 times in a row.")
    assert done[-1].given_up == 3
    board.broken = {}
    for n in range(6):
        board.answer(f"p{n}", clock.time + n)
    assert crawl(board, state, clock).complete
    assert stored(state) == expected(board)


def test_it_is_given_up_though_the_budget_of_every_run_is_used_up(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(60)
    board.broken = {"p0": DOWN}
    for _ in range(15):
        board.allowed = 12
        done = crawl(board, state, clock)
        assert done.stopped == "The requests of this run are used up." or done.complete or done.failed
        for n in range(1, 30):
            board.answer(f"p{n}", clock.time)
        clock.time += DAY_S
    assert state.given_up(ORIGIN) == 1


@pytest.mark.parametrize("ids", [0, 100])
def test_a_visit_is_given_up_too(ids: int, state: CrawlState, clock: FakeClock) -> None:
    board = Board("newest", activity=False, ids=ids)
    for n in range(4):
        board.post(f"p{n}", clock.time - 3600)
    crawl(board, state, clock)
    clock.time += 6 * 3600
    board.broken = {"p1": DOWN}
    if ids:
        bad = board._post

        def post(post_id: str) -> object:
            if post_id in board.broken and clock.time > T0_S + 42 * DAY_S:
                raise BAD
            return bad(post_id)

        board._post = post  # type: ignore[method-assign, assignment]
    for _ in range(18):
        recheck(board, state, clock)
        clock.time += DAY_S
    done = recheck(board, state, clock)
    found = shown(state, clock)
    assert (found.given_up, found.due, found.wrong) == (1, 0, [])
    assert found.next_visit
    assert found.next_visit.timestamp() == T0_S + 70 * DAY_S - 3600, "the others' at thirty days"
    clock.time += 20 * DAY_S
    done = recheck(board, state, clock)
    assert (done.read, done.failed, done.waiting, done.given_up) == (3, 0, 0, 1)
    assert wrong(state, clock) == []


def test_what_has_changed_is_tried_once_more(state: CrawlState, clock: FakeClock) -> None:
    board = board_of()
    board.broken = {"p3": BAD}
    days(15, board, state, clock)
    for _ in range(3):
        board.answer("p3", clock.time)
        board.asked.clear()
        clock.time += DAY_S
        board.allowed = 1
        done = crawl(board, state, clock)
        assert (done.waiting, done.given_up, wrong(state, clock)) == (1, 1, []), "it is listed, and not yet read"
        board.allowed = float("inf")
        done = crawl(board, state, clock)
        assert (done.failed, done.waiting, done.given_up) == (1, 0, 1)
        # Nothing else was new: another one is looked at before it is given up again.
        assert (board.count("thread p3"), board.count("thread")) == (1, 2)
        assert wrong(state, clock) == []
    board.answer("p3", clock.time)
    board.broken.clear()
    clock.time += DAY_S
    done = crawl(board, state, clock)
    assert (done.complete, done.given_up) == (True, 0)
    assert stored(state) == expected(board)


@pytest.mark.parametrize(("activity", "ids"), [(True, 100), (False, 0)])
def test_what_is_asked_for_is_read_whole(activity: bool, ids: int, state: CrawlState, clock: FakeClock) -> None:
    board = board_of(activity=activity, ids=ids)
    board.broken = {"p3": BAD}
    days(15, board, state, clock)
    assert "p3" not in stored(state)
    state.take_up_again()
    assert state.due_communities("board", "board.example", round(clock.time * 1e6)) == ["talk"]
    assert (recheck(board, state, clock).given_up, wrong(state, clock)) == (1, [])
    assert state.due_communities("board", "board.example", round(clock.time * 1e6)) == []
    board.broken.clear()
    assert recheck(board, state, clock).read == 0
    state.take_up_again()
    done = recheck(board, state, clock)
    assert (done.read, done.given_up, done.complete) == (1, 0, True)
    assert stored(state) == expected(board)


def test_a_run_that_is_told_to_end_asks_for_nothing_more(state: CrawlState, clock: FakeClock) -> None:
    board = board_of(4)
    board.broken = {"p0": DOWN}
    days(13, board, state, clock)
    clock.time += DAY_S
    for n in range(1, 4):
        board.answer(f"p{n}", clock.time)
    board.broken["p1"] = KeyboardInterrupt()  # type: ignore[assignment]
    board.asked.clear()
    done = Crawl(board, Store(state.path.parent), state, clock=clock).run("talk")
    assert (done.stopped, done.failed, done.given_up) == ("interrupted", 1, 0)
    assert board.asked[1:] == ["thread p0", "thread p1"]


def test_runs_say_it_and_the_command_takes_it_up_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bench("discourse", tmp_path / "store", settled(6, readers=300.0)) as at:
        bad = at.community.threads()[2].post_id
        at.forum.faults.add(faults.changed_types("id"), path=f"/t/{bad}*")
        said: list[str] = []
        codes = []
        for _ in range(17):
            ran = run_on(at, say=said.append, only=["crawl"])
            codes.append((ran.exit_code, ran.given_up))
            at.pass_time(DAY_S)
        assert codes == [(3, 0)] * 14 + [(3, 1)] + [(0, 1)] * 2
        assert said.count(f"workbench: thread {bad} failed for too long and is given up") == 1
        metrics.write(tmp_path / "shp.prom", ran.pipeline, ran.counts(), 0)
        assert 'shp_miner_threads_given_up{pipeline="test.toml"} 1\n' in (tmp_path / "shp.prom").read_text()
        arguments = ["--store", str(at.store.path)]
        capsys.readouterr()
        cli.run(["status", *arguments, "--min-free", "0GB", "--json"])
        told = json.loads(capsys.readouterr().out)
        assert (told["given_up"], told["given_up_last"][0]["post_id"]) == (1, bad)
        assert "lacks" in told["given_up_last"][0]["error"] or "shape" in told["given_up_last"][0]["error"]
        cli.run(["status", *arguments, "--min-free", "0GB"])
        assert "Given up, the last 1 of 1" in capsys.readouterr().out
        at.forum.faults.clear()
        assert recheck_all(at.store, at.access(), limit=1)[0].given_up in (0, 1)
        assert cli.run(["recheck", *arguments, "--given-up", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["communities"][0]["given_up"] == 0
        assert status(at.store.path).given_up == 0
