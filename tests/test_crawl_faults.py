"""Crawls can be trusted: whatever a forum does, a store ends with every thread once, or says what is missing."""

from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest

from shp_miner import export_dataset
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import Error
from shp_miner.forgetting.forget import forget
from shp_miner.forum.serve import faults, lies
from shp_miner.forum.serve.faults import Delivery, Fault
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET
from shp_miner.sources import stackexchange
from shp_miner.sources.clocks import FileClocks
from shp_miner.store.forgotten_list import has_pending

from .crawls import (
    DAY_S,
    KINDS,
    Bench,
    assert_same,
    bench,
    content,
    doubled,
    marked,
    rows,
    settled,
    waiting,
    with_limits,
)
from .test_forget import seen

# -- misbehaviour -----------------------------------------------------------------------------------------------------

#: Five threads are two pages: enough for every kind of request to be met.
THREADS = 5


@cache
def as_it_should_be(name: str) -> dict[str, pl.DataFrame]:
    """What a crawl without faults leaves in the store."""
    with TemporaryDirectory() as folder, bench(name, Path(folder) / "store", settled(THREADS), small_pages=True) as at:
        assert at.crawl().complete
        return content(at.store)


#: What goes wrong, and for which requests: the plan's parameters.
Plan = list[tuple[Fault, dict[str, Any]]]
FAULTS: dict[str, Callable[[str], Plan]] = {
    "429": lambda name: [(faults.too_many(KINDS[name].signal, 7), {"every": 3})],
    "429-storm": lambda name: [(faults.too_many(KINDS[name].signal, 20), {"skip": 4, "next": 4})],
    "429-too-long": lambda name: [(faults.too_many(KINDS[name].signal, 4000), {"skip": 5, "next": 1})],
    "429-skewed": lambda _: [
        (faults.clock_skew(-7200), {}),
        (faults.too_many("retry_after_date", 9), {"every": 4}),
    ],
    "500": lambda _: [(faults.server_error(500), {"every": 2})],
    "502": lambda _: [(faults.server_error(502), {"share": 0.4})],
    "503-down": lambda _: [(faults.server_error(503), {"skip": 4})],
    "slow": lambda _: [(faults.slow(midway_s=0.6), {"skip": 4, "next": 2})],
    "cut": lambda _: [(faults.cut(0.6), {"every": 3})],
    "cut-for-good": lambda _: [(faults.cut(0.0), {"skip": 5})],
    "not-json": lambda _: [(faults.not_json(), {"every": 3})],
    "types": lambda _: [(faults.changed_types(), {"skip": 4, "next": 3})],
    "field": lambda name: [(faults.changed_types(KINDS[name].field), {"skip": 3, "every": 2})],
    "duplicated": lambda _: [(faults.duplicated(), {})],
    "reordered": lambda _: [(faults.reordered(), {})],
    "doubled-and-reordered": lambda _: [(faults.duplicated(), {"every": 2}), (faults.reordered(), {"every": 3})],
    "skew": lambda _: [(faults.clock_skew(5400), {})],
    "login": lambda _: [(faults.html_login(), {"skip": 5, "next": 3})],
    "login-for-good": lambda _: [(faults.html_login(), {"skip": 2})],
    "everything": lambda name: [
        (faults.too_many(KINDS[name].signal, 3), {"every": 7}),
        (faults.server_error(502), {"every": 5}),
        (faults.cut(0.5), {"share": 0.1}),
        (faults.duplicated(), {"share": 0.5, "seed": 1}),
        (faults.reordered(), {"share": 0.5, "seed": 2}),
        (faults.changed_types(), {"share": 0.05, "seed": 4}),
    ],
}
CASES = [(name, fault) for name in KINDS for fault in FAULTS] + [("reddit", "token")]
FAULTS["token"] = lambda _: [(faults.expired_token(), {"path": "/[rc]*", "every": 3})]

#: What a crawl gets over by itself, without another run.
BY_ITSELF = {
    "429",
    "429-storm",
    "429-skewed",
    "500",
    "slow",
    "cut",
    "not-json",
    "duplicated",
    "reordered",
    "skew",
    "token",
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits for answers of which a test need not wait."""
    with_limits(read_s=0.3, patch=monkeypatch)


def fast(number: int, every: int) -> list[pytest.MarkDecorator]:
    """All are proven, one of so many in every run of the tests; which these are goes round over sources and faults."""
    return [] if number % every == 0 else [pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(
            name, fault, id=f"{name}-{fault}", marks=fast(list(KINDS).index(name) + list(FAULTS).index(fault), 4)
        )
        for name, fault in CASES
    ],
)
def test_it_ends_with_every_thread_once_or_says_what_is_missing(
    name: str, fault: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if fault == "slow":
        request.getfixturevalue("impatient")
    with bench(name, tmp_path / "store", settled(THREADS), small_pages=True) as at:
        planned = [at.forum.faults.add(made, **plan) for made, plan in FAULTS[fault](name)]
        whole = run_once(at)
        assert any(struck.struck for struck in planned)
        assert whole or fault not in BY_ITSELF
        at.forum.faults.clear()
        if not whole:
            at.clock.time += 2 * DAY_S
            done = at.crawl()
            assert done.complete, done
        assert_same(content(at.store), as_it_should_be(name))
        assert doubled(at.store) == []
        assert waiting(at.store) == set()


def run_once(at: Bench) -> bool:
    """Crawl, whatever comes; whether that was all. What is missing then is known to be."""
    try:
        done = at.crawl()
    except Error as error:
        if not error.message.endswith("."):
            raise
        return False
    stored = content(at.store)["posts"]
    assert done.read == stored.height
    if done.complete:
        assert waiting(at.store) == set()
        return True
    assert done.stopped or done.failed or done.refused
    assert done.waiting + done.unreadable == len(waiting(at.store))
    assert not waiting(at.store) & set(stored["post_id"])
    assert done.stopped or stored.height + done.waiting + done.unreadable == THREADS
    return False


# -- what is asked ----------------------------------------------------------------------------------------------------


def asked_for(name: str, sizes: list[int], *, listed: int | None) -> int:
    """How many requests a platform forces on who reads threads, each of so many answers and replies, whole.

    `listed` is how long the listing is that has to be read for it; None where there is none to be read.
    """

    def pages(count: int, size: int) -> int:
        return max(1, -(-count // size))

    def whole(size: int) -> int:
        return sum(pages(1 + count, size) for count in sizes)

    match name:
        case "reddit":  # a token; about the community; pages of 100; a thread of up to 500 answers with one request
            return 1 + (0 if listed is None else 1 + pages(listed, 100)) + len(sizes)
        case "arctic-shift":  # a post of the community; pages of 250, and one more unless below 100; its answers alike
            return (0 if listed is None else 1 + pages(listed + 150, 250)) + len(sizes)
        case "stackexchange":  # a question of the tag; pages that overlap by one; 100 questions at once; their answers
            hundreds = [sizes[start : start + 100] for start in range(0, len(sizes), 100)]
            per_thread = sum(1 + pages(sum(some), 100) * (sum(some) > 0) for some in hundreds)
            return (0 if listed is None else 1 + pages(listed - 1, 99)) + per_thread
        case "lemmy-v4" | "lemmy-v3":  # the version; the community; pages of 50, a full one promises another
            version = 1 if name == "lemmy-v4" else 2
            return version + (0 if listed is None else 1 + pages(listed + 1, 50)) + 2 * len(sizes)
        case "discourse":  # the categories; pages of 30, a full one promises another; posts by 20
            return (0 if listed is None else 1 + pages(listed + 1, 30)) + whole(20)
        case _:  # NodeBB: the categories; pages of 20; posts by 20
            return (0 if listed is None else 1 + pages(listed, 20)) + whole(20)


def sizes_of(name: str, at: Bench, post_ids: list[str] | None = None) -> list[int]:
    """The items below each thread that the platform hands out with it."""
    nested = name in ("discourse", "nodebb")
    return [
        sum(1 for _ in thread.walk()) if nested else len(thread.answers)
        for thread in at.community.threads()
        if post_ids is None or thread.post_id in post_ids
    ]


@pytest.mark.parametrize("name", KINDS)
def test_a_first_crawl_an_incremental_one_and_a_visit_ask_no_more_than_they_must(name: str, tmp_path: Path) -> None:
    with bench(name, tmp_path / "store", settled(30)) as at:
        done, first = at.asked(at.crawl)
        assert (done.complete, done.fresh, done.read) == (True, 30, 30)
        assert len(first) == asked_for(name, sizes_of(name, at), listed=30)
        answers = done.answers

        at.pass_time(3 * 3600)
        old = at.community.threads()[7].post_id
        at.community.answer(old, "Another thought.", author="latecomer")
        new = at.community.ask("What about now?", "Things have changed.", author="newcomer")
        at.community.answer(new, "A first thought.", author="latecomer")
        at.pass_time(1800)
        done, later = at.asked(at.crawl)
        by_activity = name in ("stackexchange", "discourse", "nodebb")
        read = [new, *([old] if by_activity else [])]
        assert (done.complete, done.fresh, done.read) == (True, len(read), len(read))
        # Only what lies above the last listing is listed: a page.
        listed = 19 if name == "nodebb" else 29
        assert len(later) == asked_for(name, sizes_of(name, at, read), listed=listed)

        at.pass_time(12 * DAY_S)
        at.community.vote(new, up=7)
        due = [
            thread.post_id for thread in at.community.threads() if thread.post_id == new or is_due(at, thread.created_s)
        ]
        done, visit = at.asked(at.recheck)
        assert (done.complete, done.read) == (True, len(due))
        assert 5 < len(due) < 31
        assert len(visit) == visited(name, at, due)
        assert at.crawl().read == 0
        found = content(at.store)
        assert found["posts"].height == 31
        assert found["answers"].height == answers + (2 if by_activity else 1 + (old in due and "lemmy" in name))
        if name != "arctic-shift":  # which reads twice and no more
            shown = at.community.thread(new)
            assert shown is not None
            post = found["posts"].filter(title="What about now?").row(0, named=True)
            assert post["score"] == shown.score + ("lemmy" in name)
        print(
            f"\n{name:14}first {len(first):4}   then {len(later):3}   visit of {len(due)} threads {len(visit):3}",
            end="",
        )


def is_due(at: Bench, created_s: int) -> bool:
    """Whether an old thread came to the age of 30 days since it was read."""
    return at.clock.time - 12 * DAY_S - 12_600 < created_s + 30 * DAY_S <= at.clock.time


def visited(name: str, at: Bench, due: list[str]) -> int:
    """What visiting threads costs: by ids where the platform takes them (a hundred, five hundred), else whole."""
    items = len(due) + sum(len(thread.answers) for thread in at.community.threads() if thread.post_id in due)
    items -= 1 if name in ("reddit", "arctic-shift") and _unlisted(at, due) else 0
    match name:
        case "reddit":
            return 1 + -(-items // 100)
        case "arctic-shift":
            return 2
        case "stackexchange":
            return 2 * -(-items // 100) if items > 100 else 2
        case _:
            return asked_for(name, sizes_of(name, at, due), listed=None)


def _unlisted(at: Bench, due: list[str]) -> bool:
    """Whether an answer to one of the threads came after it was read and was announced by no listing."""
    return any(
        answer.author == "latecomer"
        for thread in at.community.threads()[1:]
        if thread.post_id in due
        for answer in thread.answers
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_three_hundred_threads_of_twenty_answers(name: str, tmp_path: Path) -> None:
    community = settled(0)
    for number in range(300):
        post_id = community.ask(f"Question {number}?", "Some detail.")
        for answer in range(20):
            community.advance(30)
            community.answer(post_id, f"Answer {number}.{answer}.", author=f"person {answer}")
        community.advance(60)
    with bench(name, tmp_path / "store", community) as at:
        done, first = at.asked(at.crawl)
        assert (done.complete, done.read, done.answers) == (True, 300, 6000)
        assert len(first) == asked_for(name, [20] * 300, listed=300)
        assert rows(at.store, "answers").height == 6000
        print(
            f"\n{name:14}300 threads of 20 answers: {len(first):4} requests, "
            f"{at.clock.time - community.now_s:4.0f} s of waiting",
            end="",
        )


# -- what is deleted --------------------------------------------------------------------------------------------------


#: Items that go at once, flagged as such or looked up by id, and after being asked for again. Whole threads count once;
#: of Reddit's and the archive's stubs are left, item by item.
GONE = {
    "reddit": (12, 0),
    "arctic-shift": (12, 0),
    "stackexchange": (0, 8),
    "lemmy-v4": (6, 2),
    "lemmy-v3": (6, 2),
    "discourse": (3, 5),
    "nodebb": (6, 2),
}


@pytest.mark.parametrize(
    ("name", "late"),
    [
        pytest.param(name, late, id=f"{name}-{'later' if late else 'young'}", marks=fast(number + 2 * late, 4))
        for number, name in enumerate(KINDS)
        for late in (True, False)
    ],
)
def test_what_is_deleted_leaves_no_byte_anywhere(name: str, late: bool, tmp_path: Path) -> None:
    """Young threads are read whole again, older ones by the ids of their items where the platform can do that."""
    with bench(name, tmp_path / "store", settled(0)) as at:
        community, (post, by_author, by_moderator, edit, kept) = at.community, WORDS
        ids = [ask(at, number, post if number < 2 else "plain") for number in range(5)]
        at.pass_time(3 * 3600)
        assert at.crawl().read == 5
        at.store.compact()
        community.edit(ids[1], f"Now it says {edit}.")
        at.pass_time((50 if late else 6) * 3600)
        assert at.recheck().read == 5
        # The archive keeps the text of its first reading.
        there = [word for word in WORDS if word != edit or name != "arctic-shift"]
        assert all(seen(at.store.path, word) for word in there)
        if late:
            export_dataset(at.store, tmp_path / "out", rule="votes", formats=["pairs", "trl"], workers=1)
            assert all(seen(tmp_path / "out", word) for word in (post, by_author, by_moderator, kept))

        community.delete(ids[0])
        community.delete(ids[1], by="moderator")
        for thread in community.threads():
            for answer in thread.answers:
                if by_author in answer.body:
                    community.delete(answer.answer_id)
                if by_moderator in answer.body:
                    community.delete(answer.answer_id, by="moderator")
        at.pass_time((5 * 24 if late else 17) * 3600)
        at_once, confirmed = GONE[name]
        done = at.recheck()
        assert (done.complete, done.gone) == (True, at_once)
        # What is only absent is asked for three times, on as many days; by id twice.
        for gone in {"stackexchange": [confirmed]}.get(name, [0, confirmed] if confirmed else []):
            at.pass_time(DAY_S)
            assert at.recheck().gone == gone
        for folder in (at.store.path, *([tmp_path / "out"] if late else [])):
            assert seen(folder, post, by_author, by_moderator, edit) == []
            assert seen(folder, kept)
        # That was that: later runs find nothing more to do, and bring nothing back.
        at.pass_time(30 * DAY_S)
        assert at.crawl().gone == at.recheck().gone == 0
        assert seen(at.store.path, post, by_author, by_moderator, edit) == []
        assert not has_pending(at.store.path)

        forget(at.store, authors=[kept])
        assert seen(tmp_path, kept) == []
        community.answer(ids[4], f"It is me again, {kept}.", author=kept)
        community.ask(f"{kept} asks", f"Is {kept} known?", author=kept)
        at.pass_time(3600)
        assert at.crawl().complete
        assert seen(tmp_path, *WORDS) == []


#: What is in posts, in answers that their authors and moderators delete, in edited posts, and what is left alone.
WORDS = ("Xylopost", "Xyloauthor", "Xylomoderator", "Xyloedit", "Xylokept")


def ask(at: Bench, number: int, word: str) -> str:
    """A question with answers of all kinds, and votes on them; gives its id."""
    _, by_author, by_moderator, _, kept = WORDS
    post_id = at.community.ask(f"Title {number} {word}?", f"Body {word}.", author=f"{word}{number}")
    at.community.vote(post_id, up=20)
    for up, name in ((30, kept), (12, by_author), (4, by_moderator), (2, "plain")):
        at.community.advance(30)
        answer_id = at.community.answer(post_id, f"Answer {number} {name}.", author=name)
        at.community.vote(answer_id, up=up)
    return post_id


# -- what nobody may read in logs and files ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_no_secret_and_no_name_is_in_a_log_an_error_or_the_state(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k3y-of-nobody-else"
    monkeypatch.setenv(stackexchange.KEY, key)
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with bench(name, tmp_path / "store", settled(THREADS), small_pages=True) as at:
        with closing(FileClocks(tmp_path / "hosts.sqlite")) as clocks:
            at.clocks = clocks
            for fault, plan in FAULTS["everything"](name):
                at.forum.faults.add(fault, skip=2, **plan)
            at.forum.faults.add(faults.changed_types(KINDS[name].field), skip=9, every=4)
            for _ in range(3):
                try:
                    done = at.crawl()
                    said += [str(done), *at.clock.waits]
                except Error as error:
                    said += [repr(error), *traceback.format_exception(error)]
                at.clock.time += 7200
        people = {item.author for thread in at.community.threads() for item in (thread, *thread.walk()) if item.author}
        tokens = {request.headers.get("authorization", "").partition(" ")[2] for request in at.requests} - {""}
        assert bool(tokens) == (name == "reddit")
    secrets = {CLIENT_ID, CLIENT_SECRET, key, *tokens}
    texts = [*said, *(record.getMessage() + str(record.exc_text) for record in caplog.records)]
    files = list(tmp_path.rglob("*sqlite*"))
    assert {path.name for path in files} >= {"crawl.sqlite", "hosts.sqlite"}
    texts += [path.read_bytes().decode("utf-8", "replace") for path in files]
    assert any("status" in text or "shape" in text for text in texts)
    for word in secrets | people:
        assert not [text for text in texts if word in text], word


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_budgets_end_a_run_and_the_next_goes_on(name: str, tmp_path: Path) -> None:
    with bench(name, tmp_path / "store", settled(THREADS), small_pages=True) as at:
        done, asked = at.asked(lambda: at.crawl(max_requests=5))
        assert len(asked) == 5
        assert done.stopped == "The 5 requests of this run are used up."
        started = at.clock.time
        done = at.crawl(max_seconds=2)
        assert at.clock.time - started <= 2
        assert done.stopped in ("The 2 seconds of this run are used up.", None)
        assert done.waiting == len(waiting(at.store)) or not done.listed
        done = at.crawl(limit=1)
        assert done.read <= max(1, THREADS if done.complete else 1)
        assert at.crawl().complete
        assert_same(content(at.store), as_it_should_be(name))
        assert doubled(at.store) == []


def test_the_end_of_reddits_listing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    community = settled(0)
    for number in range(1010):
        community.ask(f"Question {number}?", "")
        community.advance(60)
    monkeypatch.setattr("shp_miner.crawling.reading.Reading.take", lambda _: None)
    with bench("reddit", tmp_path / "store", community) as at:
        done = at.crawl()
        assert done.listed == 1000
        assert done.capped is not None
        assert "holds no more than about 1,000" in done.capped


# -- one bad thread ---------------------------------------------------------------------------------------------------


def bad_items(*post_ids: str) -> Fault:
    """Some questions come without a score."""

    def spoil(delivery: Delivery) -> Delivery:
        body = delivery.response.body
        if not isinstance(body, dict) or "items" not in body:
            return delivery
        items = [
            {name: value for name, value in item.items() if name != "score" or str(item["question_id"]) not in post_ids}
            for item in body["items"]
        ]
        return replace(delivery, response=replace(delivery.response, body={**body, "items": items}))

    return Fault("bad items", spoil=spoil)


def test_a_bad_thread_among_many_keeps_no_other_back(tmp_path: Path) -> None:
    with bench("stackexchange", tmp_path / "store", settled(40)) as at:
        ids = [thread.post_id for thread in at.community.threads()]
        bad = {ids[0], ids[23]}
        at.forum.faults.add(bad_items(*bad))
        done, asked = at.asked(at.crawl)
        assert (done.read, done.failed, done.waiting) == (38, 2, 2)
        assert waiting(at.store) == bad
        assert len(asked) < 40
        at.pass_time(20 * DAY_S)
        at.forum.faults.clear()
        at.forum.faults.add(bad_items(ids[5]))
        assert at.crawl().complete
        visit = at.recheck()
        assert visit.failed <= 1
        assert visit.read > 5
        # An API that answers in another way altogether is not asked once for each thread.
        at.forum.faults.clear()
        at.forum.faults.add(bad_items(*ids))
        at.pass_time(30 * DAY_S)
        for thread in ids:
            at.community.answer(thread, "And another thing.")
        at.pass_time(7200)
        done, asked = at.asked(at.crawl)
        assert (done.read, done.failed) == (0, 40)
        assert len(asked) < 20


def test_a_listing_that_breaks_off_holds_nothing_back(tmp_path: Path) -> None:
    with bench("nodebb", tmp_path / "store", settled(THREADS), small_pages=True) as at:
        at.forum.faults.add(faults.html_login(), path="/api/category/*", skip=1)
        done = at.crawl()
        assert (done.listed, done.read) == (3, 3)
        assert done.stopped is not None
        assert "a login page" in done.stopped
        at.forum.faults.clear()
        done = at.crawl()
        assert (done.complete, done.read) == (True, THREADS - 3)


@pytest.mark.parametrize("honest_after_days", [3, 8])
def test_records_lost_of_a_listing_are_listed_again_for_a_week(honest_after_days: int, tmp_path: Path) -> None:
    def is_complete(at: Bench) -> bool:
        with closing(sqlite3.connect(at.store.path / "crawl.sqlite")) as database:
            return bool(database.execute("SELECT count(complete_to) FROM windows").fetchone()[0])

    with bench("reddit", tmp_path / "store", settled(5), small_pages=True) as at:
        at.forum.faults.add(lies.told("score-a-text"))
        assert at.crawl().listed == 2
        at.pass_time(honest_after_days * DAY_S)
        assert (at.crawl().listed, is_complete(at)) == (2, honest_after_days > 7)
        at.forum.faults.clear()
        at.pass_time(DAY_S)
        # After a week the listing is taken as it is: it is not read from its beginning for ever.
        assert (at.crawl().listed == 5) == (honest_after_days < 7)
        assert is_complete(at)


def test_what_a_crash_left_unmarked_is_missed_when_it_is_gone(tmp_path: Path) -> None:
    with bench("discourse", tmp_path / "store", settled(0)) as at:
        one, other = (ask(at, number, WORDS[0]) for number in range(2))
        at.pass_time(3600)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CrawlState, "read", interrupted)
            for _ in range(2):
                assert at.crawl(limit=1).stopped == "interrupted"
                at.community.answer(one, "Later.")
                at.pass_time(60)
        assert len(seen(at.store.path, WORDS[0])) > 1
        assert marked(at.store) == {}
        at.community.delete(one)
        at.community.delete(other)
        at.community.ask("Another?", "It can be read.")
        gone = []
        for _ in range(3):
            gone.append(at.crawl().gone)
            at.pass_time(DAY_S)
        assert gone == [0, 0, 2]
        assert seen(at.store.path, *WORDS) == []


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt
