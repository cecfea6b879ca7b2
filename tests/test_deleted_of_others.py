"""Deletions of what this crawl did not write: imports, other sources, and crawls whose file was lost."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from shp_miner import import_dump
from shp_miner.cli import run
from shp_miner.crawling import recheck
from shp_miner.crawling.state import FILE, CrawlState
from shp_miner.forgetting.forget import purge
from shp_miner.health.doctor import examine
from shp_miner.store import Store
from shp_miner.store.forgotten_list import has_pending, look_noted

from .crawls import Bench, bench, content, settled
from .killing import killed
from .test_crawling import DAY_S, T0_S, Board, FakeClock
from .test_forget import seen
from .test_gone import board_of, crawl, daily, text_of


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def fill(at: Bench, threads: int = 6) -> list[tuple[str, list[str]]]:
    """Threads on the forum, each with four answers; the ids of both. Their texts are found by `word`."""
    found = []
    for n in range(threads):
        post = at.community.ask(f"Is it {word(n)}?", f"It is {word(n)}.", author=f"asker{n}")
        at.community.vote(post, up=20)
        answers = []
        for k in range(4):
            at.community.advance(10)
            answers.append(at.community.answer(post, f"Say {word(n, k)}.", author=f"writer{n}{k}"))
            at.community.vote(answers[k], up=2 + 9 * k)
        found.append((post, answers))
    at.pass_time(3 * 3600)
    return found


def word(thread: int, answer: int | None = None) -> str:
    return f"xyloans{thread:02}x{answer}q" if answer is not None else f"xylopost{thread:02}q"


def own_threads(at: Bench, threads: list[tuple[str, list[str]]], folder: Path) -> Path:
    """What the forum shows now, as somebody's own file."""
    now = at.clock.time
    common = {"created_at": iso(now - 4 * 3600)}
    records = [
        {
            "site": "forum.example", "community": "workbench", "post_id": post, "title": f"Is it {word(n)}?",
            "body": f"It is {word(n)}.", "score": 20, "observed_at": iso(now), **common,
            "answers": [
                {"answer_id": answer, "body": f"Say {word(n, k)}.", "score": 9 * k, "author": f"writer{n}{k}", **common}
                for k, answer in enumerate(answers)
            ],
        }
        for n, (post, answers) in enumerate(threads)
    ]  # fmt: skip
    path = folder / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    return path


@pytest.mark.parametrize("name", ["nodebb", "discourse", "lemmy-v4"])
def test_a_crawl_that_is_told_of_a_deletion_takes_an_imports_text_out(name: str, tmp_path: Path) -> None:
    with bench(name, tmp_path / "store", settled(0)) as at:
        threads = fill(at)
        import_dump("threads", [own_threads(at, threads, tmp_path)], at.store.path)
        (tmp_path / "own.jsonl").unlink()
        options = ["--rule", "votes", "--min-score-age", "0", "--store", str(at.store.path), "--quiet"]
        assert run(["export", str(tmp_path / "out"), *options]) == 0
        assert seen(tmp_path / "out", word(0, 1))
        for n in range(2):
            at.community.delete(threads[n][1][1])
        at.pass_time(DAY_S)
        at.crawl()
        assert seen(tmp_path, word(0, 1), word(1, 1)) == []
        assert seen(at.store.path, word(2, 1))
        assert not has_pending(at.store.path)
        assert examine(at.store.path)["problems"] == []
        at.community.restore(threads[0][1][1])
        for _ in range(3):
            at.pass_time(DAY_S)
            recheck(at.store, at.access())
        assert seen(at.store.path, word(0, 1)), "shown again"


def test_one_source_purges_what_another_read(tmp_path: Path) -> None:
    community = settled(0)
    with bench("arctic-shift", tmp_path, community) as archive, bench("reddit", tmp_path, community) as reddit:
        threads = fill(archive)
        archive.crawl()
        community.delete(threads[1][0], by="moderator")
        community.delete(threads[2][0])
        archive.pass_time(DAY_S)
        reddit.clock.time = archive.clock.time
        assert seen(tmp_path, word(1))
        reddit.crawl()
        assert seen(tmp_path, word(1), word(2)) == []


def _append_and_die(folder: Path) -> None:
    crawl(stub_board(), CrawlState(folder), clock_of(50))


def stub_board() -> Board:
    board = board_of(3)
    board.stubs.add("p01")
    return board


def clock_of(days: float) -> FakeClock:
    clock = FakeClock()
    clock.time = T0_S + days * DAY_S
    return clock


def imported(folder: Path, *post_ids: str) -> Store:
    """Text of the board's posts, by somebody's own file."""
    common = {"site": Board.site, "community": "talk", "created_at": T0_S, "score": 9, "observed_at": T0_S + DAY_S}
    answers = [{"answer_id": "own", "body": "Qzvxkanswer.", "score": 1, "created_at": T0_S + 60}]
    records = [
        {**common, "post_id": post_id, "title": post_id, "body": f"Qzvxk{post_id}.", "answers": answers}
        for post_id in post_ids
    ]
    path = folder.parent / f"{folder.name}.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    import_dump("threads", [path], folder)
    return Store(folder)


@pytest.mark.parametrize(
    "moment",
    [
        "shp_miner.store.lake:note_look after 1",
        "shp_miner.store.lake:Store.append after 2",
        "shp_miner.crawling.state:CrawlState.noted after 2",
        "shp_miner.crawling.gone:Doubtful.settle before 1",
    ],
)
def test_whatever_ends_the_run_the_next_one_takes_it_out(moment: str, tmp_path: Path) -> None:
    store = imported(tmp_path / "store", "p00", "p01", "p02")
    killed(_append_and_die, store.path, moment)
    purge(store)
    clock = clock_of(51)
    with CrawlState(store.path) as state:
        crawl(stub_board(), state, clock)
        daily(1, stub_board(), state, clock)
        assert not text_of(state, "p01")
        assert text_of(state, "p02")
    assert not look_noted(store.path)


def test_the_brake_holds_what_the_crawl_read_itself(tmp_path: Path) -> None:
    store, board, clock = imported(tmp_path / "store", "p90"), board_of(20), clock_of(1)
    with CrawlState(store.path) as state:
        crawl(board, state, clock)
        board.post("p90", T0_S + 2 * DAY_S)
        board.stubs |= {"p90", *(f"p{n:02}" for n in range(20))}
        board.answers |= {f"p{n:02}": [] for n in range(5)}
        clock.time += 3 * DAY_S
        crawl(board, state, clock)
        (done,) = daily(1, board, state, clock)
        assert done.refused
        assert text_of(state, "p02"), "flagged with many others"
        assert not text_of(state, "p90"), "the flag of a thread that was never read stands alone"


def test_a_thread_that_is_flagged_as_a_whole_goes_with_the_answers_of_an_import(tmp_path: Path) -> None:
    store, board, clock = imported(tmp_path / "store", "p01", "p02"), board_of(3), clock_of(50)
    with CrawlState(store.path) as state:
        crawl(board, state, clock, limit=1)
        board.gone.add("p01")
        crawl(board, state, clock)
        daily(1, board, state, clock)
        assert not text_of(state, "p01")
        assert [row for row in text_rows(store) if row[0] == "p01"] == []
        assert text_of(state, "p02")


def text_rows(store: Store) -> list[tuple[str, str]]:
    snapshot = store.snapshot()
    rows = [snapshot.scan(name).select("post_id", "body").collect() for name in ("posts", "answers")]
    return pl.concat(rows).filter(pl.col("body") != "").rows()


# -- the crawl's file is lost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "lost"), [("nodebb", "deleted"), ("reddit", "repaired"), ("lemmy-v4", "deleted")])
def test_what_was_deleted_since_the_crawls_file_was_lost_is_missed(name: str, lost: str, tmp_path: Path) -> None:
    with bench(name, tmp_path / "store", settled(0)) as at:
        threads = fill(at)
        at.crawl()
        before = content(at.store)
        for path in at.store.path.glob(f"{FILE}*"):
            path.unlink()
        if lost == "repaired":
            (at.store.path / FILE).write_bytes(b"\0" * 4096)
            assert run(["doctor", "--repair", "--store", str(at.store.path), "--quiet"]) == 0
        at.community.delete(threads[0][1][1])
        at.community.delete(threads[1][1][1], by="moderator")
        at.community.delete(threads[2][0], by="moderator")
        at.community.purge(threads[3][0])
        for _ in range(20):
            at.pass_time(DAY_S)
            at.crawl()
            recheck(at.store, at.access())
        gone = [word(0, 1), word(1, 1), word(2), word(3), word(3, 0)]
        assert seen(at.store.path, *gone) == []
        kept = content(at.store)["answers"].filter(pl.col("state") == "live")
        expected = before["answers"].filter(~pl.col("post_id").is_in([_id(name, threads[3][0])]))
        assert set(kept["answer_id"]) <= set(expected["answer_id"])
        assert kept.height >= 14


def _id(name: str, item_id: str) -> str:
    from shp_miner.forum.serve.reddit import base36

    return base36(int(item_id)) if name == "reddit" else item_id


def test_threads_of_imports_alone_are_not_visited(tmp_path: Path) -> None:
    with bench("nodebb", tmp_path / "store", settled(0)) as at:
        threads = fill(at)
        import_dump("threads", [own_threads(at, threads, tmp_path)], at.store.path)
        at.community.delete(threads[2][0])
        at.crawl()
        with closing(sqlite3.connect(at.store.path / FILE)) as database:
            (count,) = database.execute("SELECT count(*) FROM threads").fetchone()
        assert count == 5


def test_new_answers_are_read_after_the_file_was_lost_whatever_the_letter_case(tmp_path: Path) -> None:
    with bench("nodebb", tmp_path / "store", settled(0)) as at:
        threads = fill(at)
        at.crawl()
        for path in at.store.path.glob(f"{FILE}*"):
            path.unlink()
        at.pass_time(DAY_S)
        at.community.answer(threads[0][0], "Xkjqznew.", author="late")
        at.pass_time(3600)
        done = at.crawl()
        assert (done.read, done.new) == (6, 0)
        assert seen(at.store.path, "xkjqznew")
