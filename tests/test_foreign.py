"""What one record, thread, site or file says can only cost that record, thread, site or file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shp_miner.cli import run
from shp_miner.forum.serve.faults import Fault, change_body

from .build import comment, submission, thread, write_dump
from .crawls import KINDS, bench, rows, settled
from .flows import pipeline, run_on, source, steps

#: By source: the list of answers in a body, the name of the score, and of the time, in the platform's own words.
SCORES = {
    "arctic-shift": ("score", "created_utc"),
    "stackexchange": ("score", "creation_date"),
    "lemmy-v4": ("score", "published_at"),
    "nodebb": ("votes", "timestamp"),
    "reddit": ("score", "created_utc"),
}
FAR = {"published_at": "9999-12-31T23:59:59Z", "creation_date": 10**17, "created_utc": 10**17, "timestamp": 10**17}


def lie(field: str, value: Any, *, only: Callable[[dict[str, Any]], bool]) -> Fault:
    """One value in every record that `only` names."""

    def change(body: Any) -> Any:
        if isinstance(body, list):
            return [change(part) for part in body]
        if not isinstance(body, dict):
            return body
        changed = {name: change(part) for name, part in body.items()}
        return {**changed, field: value} if field in changed and only(body) else changed

    return Fault(f"{field} is {value!r:.20}", spoil=change_body(change))


def is_answer(number: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a record is the answer of this id, on any platform."""

    def check(record: dict[str, Any]) -> bool:
        own = record.get("answer_id", record.get("pid", record.get("id")))
        return str(own) == number and "title" not in record and str(record.get("name", "t1_")).startswith("t1_")

    return check


@pytest.mark.sampled(4)
@pytest.mark.parametrize("value", [2**63, 2**70, -(2**70), "many", None])
@pytest.mark.parametrize("name", ["stackexchange", "lemmy-v4", "nodebb", "arctic-shift", "reddit"])
def test_an_impossible_score_of_one_answer_costs_that_answer(name: str, value: Any, tmp_path: Path) -> None:
    if value is None and name == "arctic-shift":
        pytest.skip("a null score is one that the archive does not know")
    with bench(name, tmp_path / "store", settled(3, readers=300)) as at:
        whole = at.crawl()
        assert whole.complete
        ids = {row["answer_id"] for row in rows(at.store, "answers").to_dicts()}
    one = sorted(ids)[0]
    with bench(name, tmp_path / "lied", settled(3, readers=300)) as at:
        at.forum.faults.add(lie(SCORES[name][0], value, only=is_answer(one)))
        done = at.crawl()
        assert done.stopped is None
        found = {row["answer_id"] for row in rows(at.store, "answers").to_dicts()}
        assert found == ids - {one}
        assert (done.read, done.failed, sum(done.lost.values()) > 0) == (3, 0, True)
        assert done.lost_in_words().startswith(f"{sum(done.lost.values())} record")


@pytest.mark.parametrize("name", ["stackexchange", "lemmy-v4", "nodebb", "arctic-shift", "reddit"])
def test_an_impossible_time_of_one_answer_costs_that_answer(name: str, tmp_path: Path) -> None:
    with bench(name, tmp_path / "store", settled(3, readers=300)) as at:
        at.crawl()
        ids = {row["answer_id"] for row in rows(at.store, "answers").to_dicts()}
    one = sorted(ids)[0]
    with bench(name, tmp_path / "lied", settled(3, readers=300)) as at:
        field = SCORES[name][1]
        at.forum.faults.add(lie(field, FAR[field], only=is_answer(one)))
        done = at.crawl()
        assert {row["answer_id"] for row in rows(at.store, "answers").to_dicts()} == ids - {one}
        assert (done.read, done.stopped) == (3, None)


def test_numbers_of_discourse_that_cannot_be(tmp_path: Path) -> None:
    with bench("discourse", tmp_path / "store", settled(4)) as at:
        at.crawl()
        there = rows(at.store, "answers")
        first = there["answer_id"].sort()[0]
    with bench("discourse", tmp_path / "lied", settled(4)) as at:
        at.forum.faults.add(lie("posts_count", 2**70, only=lambda body: "post_stream" in body))
        at.forum.faults.add(lie("created_at", "0001-01-01T00:00:00.000Z", only=is_answer(first)))
        done = at.crawl()
        assert (done.read, done.failed, done.stopped) == (4, 0, None)
        assert rows(at.store, "answers").height == there.height - 1
        assert done.lost == {"bad_time": 1}
        # An answer that is there and cannot be stored is not one that was deleted.
        at.forum.faults.clear()
        second = rows(at.store, "answers")["answer_id"].sort()[0]
        at.forum.faults.add(lie("actions_summary", [{"id": 2, "count": 2**63}], only=is_answer(second)))
        for days in (40, 100, 300):
            at.pass_time(days * 86_400)
            assert at.recheck().lost == {"bad_score": 1}
        states = rows(at.store, "answers")
        assert set(states["state"]) == {"live"}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_thread_that_no_reader_understands_fails_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shp_miner.crawling import ask as asking

    with bench(name, tmp_path / "store", settled(4)) as at:
        bad = sorted(thread.post_id for thread in at.community.threads())[1]
        real = asking.check_item

        def check(origin: Any, item: Any, now: int) -> None:
            if item.post_id == bad:
                raise OverflowError("int too big to convert")
            real(origin, item, now)

        monkeypatch.setattr(asking, "check_item", check)
        done = at.crawl()
        assert (done.read, done.failed, done.waiting, done.stopped) == (3, 1, 1, None)


def test_a_topic_that_answers_with_another_id_is_given_up(tmp_path: Path) -> None:
    with bench("discourse", tmp_path / "store", settled(4)) as at:
        bad = sorted((thread.post_id for thread in at.community.threads()), key=int)[0]
        at.forum.faults.add(lie("id", 987654, only=lambda body: str(body.get("id")) == bad and "post_stream" in body))
        done = at.crawl()
        assert (done.read, done.failed, done.waiting) == (3, 1, 1)
        assert done.lost == {"other_thread": 1}
        for _ in range(20):
            at.pass_time(86_400)
            done = at.crawl()
        assert (done.waiting, done.given_up) == (0, 1)


def test_a_site_that_lies_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One site whose source fails in a way that nobody thought of, and one that is well."""
    from shp_miner.sources.discourse import Discourse

    with bench("discourse", tmp_path / "store", settled(8, readers=300)) as at:

        def broken(*_: Any, **__: Any) -> Any:
            raise OverflowError("int too big to convert")

        monkeypatch.setattr(Discourse, "listing", broken)
        ran = run_on(at, pipeline(at, source=[source(at), source(at)]))
        crawled = steps(ran)["crawl"]
        assert [code for _, code in crawled] == [5, 5]
        assert "The listing of workbench of forum.example could not be read: OverflowError." in crawled[0][0]
        assert "export" in steps(ran)


# -- files ------------------------------------------------------------------------------------------------------------


def imported(tmp_path: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = run(["import", *arguments, "--store", str(tmp_path / "store"), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("option", [[], ["--thorough"]])
def test_promoted_posts_without_a_subreddit_are_left_out(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted = submission("ad1", promoted=True)
    del promoted["subreddit"]
    records = [*thread("p1"), promoted, submission("ad2", subreddit=None), submission("ad3", subreddit="")]
    posts = write_dump(tmp_path / "RS_2016-05", [record for record in records if "title" in record])
    answers = write_dump(tmp_path / "RC_2016-05", [record for record in records if "title" not in record])
    code, said = imported(tmp_path, "reddit-dump", str(posts), str(answers), *option, capsys=capsys)
    assert (code, said["dropped"]["post"]) == (0, {"no_community": 3})
    assert run(["stats", "--store", str(tmp_path / "store"), "--quiet"]) == 0
    assert run(["export", str(tmp_path / "out"), "--store", str(tmp_path / "store"), "--quiet"]) == 0
    code, said = imported(
        tmp_path / "2", "reddit-dump", str(posts), str(answers), *option, "--community", "asktest", capsys=capsys
    )
    assert (code, said["kept"]["post"], said["dropped"]["post"]) == (0, 1, {"other_community": 3})


LIES: list[tuple[str, Any, str]] = [
    ("score", 2**63, "bad_score"),
    ("score", 2**60, "bad_score"),
    ("created_utc", 10**17, "bad_time"),
    ("id", "x" * 300, "value_too_long"),
    ("author", "x" * 70_000, "value_too_long"),
]


@pytest.mark.parametrize(("field", "value", "reason"), LIES)
def test_a_value_out_of_bounds_costs_its_record(
    field: str, value: Any, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = write_dump(tmp_path / "RC_x", [comment("a1"), comment("a2") | {field: value}, comment("a3")])
    code, said = imported(tmp_path, "reddit-dump", str(answers), capsys=capsys)
    assert (code, said["kept"], said["dropped"]) == (3, {"answer": 2}, {"answer": {reason: 1}})


@pytest.mark.parametrize("field", ["upvote_ratio"])
@pytest.mark.parametrize("value", [7.5, -1, 1e308])
def test_a_ratio_that_cannot_be(field: str, value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posts = write_dump(tmp_path / "RS_x", [submission("p1"), submission("p2") | {field: value}])
    code, said = imported(tmp_path, "reddit-dump", str(posts), capsys=capsys)
    assert (code, said["kept"], said["dropped"]) == (3, {"post": 1}, {"post": {"bad_ratio": 1}})
