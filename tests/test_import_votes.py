"""What scores were before, out of the votes of a Stack Exchange dump."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import export_dataset, import_dump, preset
from shp_miner.cli import cli
from shp_miner.dumps.stackexchange import read
from shp_miner.dumps.stackexchange_votes import AGES_DAYS, Counted, Votes
from shp_miner.errors import BadInput
from shp_miner.forgetting.forget import forget
from shp_miner.mining.mine import Selection, judge_threads
from shp_miner.model import OPTIONAL, POST, TEXT_COLUMNS
from shp_miner.store import HashRange, Store
from shp_miner.tally import Tally

from .build import tree
from .stackexchange_dump import NOW, POSTS, USERS, answer, element, folder, question, table

WHOLE = HashRange(-(1 << 63), 1 << 63)
DAY_US = 86_400_000_000
FIRST = datetime(2015, 3, 2, tzinfo=UTC)


def vote(post: int, kind: int, days: float) -> str:
    """A vote so many days after the day on which the answers of the dump were written."""
    return element(Id=1, PostId=post, VoteTypeId=kind, CreationDate=(FIRST + timedelta(days)).isoformat()[:19])


#: An up vote on the day of writing, on the first and the third day after it, a down vote on the eighth, and others.
VOTES = [vote(2, 2, 0), vote(2, 2, 1), vote(2, 2, 3), vote(2, 3, 8), vote(2, 1, 2), vote(2, 5, 1), vote(3, 2, 40)]


def dump(path: Path, votes: list[str], posts: bytes = POSTS) -> Path:
    members = {"Posts.xml": posts, "Users.xml": USERS, "Votes.xml": table("votes", *votes)}
    return folder(path / "beer.stackexchange.com", members)


def rows_of(path: Path, **options: Any) -> tuple[dict[str, list[dict[str, Any]]], Tally]:
    """Every observation of each post ("p1") and answer ("2"), as they come."""
    tally = Tally()
    rows: dict[str, list[dict[str, Any]]] = {}
    for chunk in read([path], tally, now=NOW, **options):
        for row in chunk.posts.to_pylist():
            rows.setdefault(f"p{row['post_id']}", []).append(row)
        for row in chunk.answers.to_pylist():
            rows.setdefault(row["answer_id"], []).append(row)
    return rows, tally


def test_scores_are_those_of_the_midnight_that_ends_the_day(tmp_path: Path) -> None:
    rows, tally = rows_of(dump(tmp_path, VOTES), vote_history=True)
    final, *earlier = rows["2"]
    days = [(row["observed_at"] - FIRST) / timedelta(days=1) for row in earlier]
    # The dump's newest date is an access on 2016-07-08: all ages lie before it.
    assert days == [age + 1 for age in AGES_DAYS]
    assert [row["score"] for row in earlier] == [2, 2, 3, 3, 2, 2, 2, 2]
    assert [row["accepted"] for row in earlier] == [False, *[True] * 7]
    assert [row["accepted_at"] for row in earlier] == [None, *[FIRST + timedelta(days=2)] * 7]
    assert [row["downvotes"] for row in earlier] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [row["score"] for row in rows["3"][1:]] == [0, 0, 0, 0, 0, 0, 1, 1]
    assert (final["score"], final["body"]) == (3, "<p>answer 2</p>")
    assert tally.read["earlier score of answer"] == 16
    # Neither answer has as many votes as the dump's score says, nor have the questions any.
    assert tally.notes == {("answer", "votes_differ_from_score"): 2, ("post", "votes_differ_from_score"): 2}


def test_votes_stand_apart_where_they_add_up_to_the_score(tmp_path: Path) -> None:
    posts = table(
        "posts",
        question(1, Score=-1, ViewCount=120, AcceptedAnswerId=2),
        answer(2, 1, Score=2),
        answer(3, 1, Score=9),
        question(4, Score=0),
    )
    rows, tally = rows_of(dump(tmp_path, [*VOTES, vote(1, 3, 1)], posts))
    found = {name: [row[column] for column in ("score", "upvotes", "downvotes")] for name, (row,) in rows.items()}
    assert found == {"p1": [-1, 0, 1], "2": [2, 3, 1], "3": [9, None, None], "p4": [0, 0, 0]}
    assert [rows[name][0]["views"] for name in ("p1", "p4")] == [120, None]
    assert [rows[name][0]["accepted_at"] for name in "23"] == [FIRST + timedelta(days=2), None]
    assert tally.notes == {("answer", "votes_differ_from_score"): 1}
    unsaid, _ = rows_of(folder(tmp_path / "meta.beer", {"Posts.xml": posts}), site="beer.meta")
    assert {unsaid[name][0][column] for name in ("p1", "2") for column in ("upvotes", "downvotes")} == {None}


def test_only_what_lies_before_the_reading_of_the_dump(tmp_path: Path) -> None:
    read_at = FIRST + timedelta(days=8)  # the very moment of the reading at an age of 7 days
    rows, _ = rows_of(dump(tmp_path, VOTES), vote_history=True, observed_at=read_at)
    assert [row["observed_at"] for row in rows["2"]] == [read_at, *(FIRST + timedelta(d) for d in (2, 3, 4))]


def test_earlier_rows_hold_no_text_and_the_author_for_requests_to_be_forgotten(tmp_path: Path) -> None:
    rows, _ = rows_of(dump(tmp_path, VOTES), vote_history=True)
    for item, (final, *earlier) in rows.items():
        for row in earlier:
            texts = {name: "" for name in TEXT_COLUMNS if name in row}
            assert row == final | texts | {
                name: row[name]
                for name in ("body_chars", "observed_at", "score", "content_hash", "accepted", *OPTIONAL)
                if name in row
            }, item
            assert row["body_chars"] == 0


def test_the_final_rows_and_the_export_are_the_same(tmp_path: Path) -> None:
    posts = table("posts", question(1), *(answer(n, 1, Score=n, OwnerUserId=n) for n in range(2, 9)))
    path = dump(tmp_path, VOTES, posts)
    plain, history = rows_of(path)[0], rows_of(path, vote_history=True)[0]
    assert {item: [rows[0]] for item, rows in history.items()} == plain
    for name, options in (("plain", {}), ("history", {"vote_history": True})):
        import_dump("stackexchange-dump", [path], tmp_path / name / "store", now=NOW, **options)
        export_dataset(tmp_path / name / "store", tmp_path / name / "out", rule="votes")
    assert tree(tmp_path / "plain" / "out") == tree(tmp_path / "history" / "out")
    snapshot = Store(tmp_path / "history" / "store").snapshot()
    newest, contradicting = snapshot.posts(WHOLE)
    assert (newest.height, contradicting, snapshot.rows("posts")) == (1, 0, 1 + len(AGES_DAYS))
    assert snapshot.bodies("posts", WHOLE, newest)["body"].to_list() == ["<p>question 1</p>"]
    assert set(newest.columns) == set(POST.names) - {"body"}


def test_whoever_is_forgotten_leaves_the_earlier_rows_too(tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = dump(tmp_path, VOTES)
    import_dump("stackexchange-dump", [path], store, now=NOW, vote_history=True)
    done = forget(store, authors=["https://beer.stackexchange.com/users/11"])
    import_dump("stackexchange-dump", [path], store, now=NOW, vote_history=True)
    rows = Store(store).snapshot().scan("answers").filter(pl.col("answer_id") == "2").collect()
    assert done.tables["answers"].rows == 1 + len(AGES_DAYS)
    assert rows.height >= 1 + len(AGES_DAYS)
    for name in ("author", "author_id", "author_url", "url"):
        assert rows[name].null_count() == rows.height, name


@pytest.mark.parametrize("days", [2, 3, 7, 14, 30])
def test_every_answer_has_a_score_at_ages_from_two_days_on(tmp_path: Path, days: int) -> None:
    hours = [answer(n, 1, CreationDate=f"2015-03-02T{n:02}:30:00", OwnerUserId=100 + n) for n in range(2, 24)]
    path = dump(tmp_path, [], table("posts", question(1), *hours))
    import_dump("stackexchange-dump", [path], tmp_path / "store", now=NOW, vote_history=True)
    snapshot = Store(tmp_path / "store").snapshot()
    rule = preset("votes", observe_at_s=days * 86_400.0, min_answer_score=0)
    judged = judge_threads(snapshot, WHOLE, Selection(rule=rule)).answers
    assert judged.height == 22
    assert judged["reason"].null_count() == 22


def test_votes_that_cannot_be_used_are_lost(tmp_path: Path) -> None:
    bad = [vote(2, 2, 0), element(Id=1, PostId="x", VoteTypeId=2, CreationDate="2015-03-02T00:00:00")]
    bad += [element(Id=1, PostId=2, VoteTypeId=2, CreationDate="soon"), element(Id=1, PostId=2)]
    _, tally = rows_of(dump(tmp_path, bad), vote_history=True)
    lost = {reason: count for (kind, reason), count in tally.dropped.items() if kind == "line"}
    assert lost == {"bad_id": 1, "bad_time": 1, "missing_field": 1, "other_post_type": 1}
    assert rows_of(dump(tmp_path / "again", bad))[1].dropped == tally.dropped, "they are counted without a history, too"


def test_a_dump_without_votes_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "beer.stackexchange.com", {"Posts.xml": POSTS})
    with pytest.raises(BadInput, match=r"no Votes\.xml of beer"):
        read([path], Tally(), now=NOW, vote_history=True)


def test_the_option_of_the_command(tmp_path: Path) -> None:
    from click.testing import CliRunner

    path = dump(tmp_path, VOTES)
    done = CliRunner().invoke(cli, ["import", "stackexchange-dump", str(path), "--store", "store", "--vote-history"])
    assert done.exit_code == 0, done.output
    assert Store("store").snapshot().rows("answers") == 2 * (1 + len(AGES_DAYS))


@pytest.mark.parametrize("run", [7, 1 << 20])
def test_votes_in_memory_and_in_files_give_what_counting_gives(run: int) -> None:
    dice = random.Random(run)
    cast = [(dice.randint(1, 9), dice.choice("1235"), dice.randint(0, 400)) for _ in range(500)]
    votes = Votes(run)
    for post, kind, day in cast:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
        votes.learn({"PostId": str(post), "VoteTypeId": kind, "CreationDate": when.isoformat()[:19]})
    votes.settle()
    worth = {"2": 1, "3": -1}
    for post in range(1, 11):
        found = list(votes.readings(post, 20 * DAY_US + 5, 150 * DAY_US))
        assert [reading.observed_us for reading in found] == [
            (20 + age + 1) * DAY_US for age in (1, 2, 3, 7, 14, 30, 90)
        ]
        for reading in found:
            before = [kind for voted, kind, day in cast if voted == post and day * DAY_US < reading.observed_us]
            assert reading.score == sum(worth.get(kind, 0) for kind in before)
            assert (reading.upvotes, reading.downvotes) == (before.count("2"), before.count("3"))
            assert (reading.accepted_us is not None) == ("1" in before)
    wanted = [*range(10, 0, -1), -3, 1 << 60]
    for post, counted in zip(wanted, votes.counted(wanted), strict=True):
        kinds = [kind for voted, kind, _ in cast if voted == post]
        days = [day for voted, kind, day in cast if voted == post and kind == "1"]
        accepted_us = max(days) * DAY_US if days else None
        assert counted == Counted(kinds.count("2"), kinds.count("3"), accepted_us), post


def test_a_real_site(shared_data: Path) -> None:
    rows, tally = rows_of(shared_data / "stackexchange" / "beer.stackexchange.com.7z", vote_history=True)
    assert tally.read["earlier score of answer"] == 18_027
    assert not tally.notes, "all votes of an item together are the score that the dump gives it"
    assert sum(len(found) for found in rows.values()) == 1029 + 2277 + 18_027 + 8_124
