"""Judges of labels, on stores whose comparisons are known."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import PRESETS
from shp_miner.cli import run as command
from shp_miner.errors import BadInput
from shp_miner.lab.audit import judged_better, read_judgments
from shp_miner.lab.early import early_tables
from shp_miner.lab.judges import accepted_judge, judge_tables, thanks_judge
from shp_miner.lab.real import check_store
from shp_miner.lab.thanks import names_in, says_thanks
from shp_miner.lab.threads import Shares, Threads
from shp_miner.store import Store

from .build import T0
from .test_lab_real import DAY, by, one, store_of

Row = dict[str, Any]


def threads_of(path: Path, answers: Callable[[int, random.Random], list[Row]], count: int = 40) -> Threads:
    return Threads.read(store_of(path, answers, threads=count).snapshot())


def tables_of(threads: Threads, **more: Any) -> dict[str, Any]:
    pairs = {name: threads.pairs(PRESETS[name]) for name in ("shp", "votes", "older-winner")}
    return {table.title: table for table in judge_tables(threads, pairs, 0, **more)}


def test_each_thread_weighs_alike() -> None:
    # One thread of nine right pairs, one of a single wrong one; intervals are of threads, too.
    shares = Shares(0, by_thread=True)
    shares.add("a", pl.Series([1] * 9 + [2]), pl.Series([1.0] * 9 + [0.0]).to_numpy())
    assert (shares.share("a"), shares.pairs("a"), shares.threads("a")) == (0.5, 10, 2)
    assert shares.interval("a") == (0, 1)


def test_threads_that_all_agree_have_an_interval_too() -> None:
    shares = Shares(0, by_thread=True)
    shares.add("right", pl.Series(range(41)), pl.Series([1.0] * 41).to_numpy())
    shares.add("wrong", pl.Series([1, 1]), pl.Series([0.0, 0.0]).to_numpy())
    shares.add("none", pl.Series([], dtype=pl.Int64), pl.Series([], dtype=pl.Float64).to_numpy())
    low, high = shares.interval("right")
    assert low is not None
    assert (low**41, high) == (pytest.approx(0.025), 1)
    assert shares.interval("wrong") == (0, 0.975)
    assert shares.interval("none") == (None, None)
    assert shares.interval("right", "wrong")[0] is None


def test_weights_count_among_the_pairs_of_a_column() -> None:
    shares = Shares(0)
    shares.add("a", pl.Series([1, 2, 3]), pl.Series([1.0, 0, 0]).to_numpy(), pl.Series([2.0, 1, 1]).to_numpy())
    assert shares.share("a") == 0.5


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    dice = random.Random(5)
    covered = 0
    for draw in range(200):
        hits = pl.Series([float(dice.random() < 0.8) for _ in range(120)])
        shares = Shares(draw, replicates=300, by_thread=True)
        shares.add("a", pl.Series(range(120)), hits.to_numpy())
        low, high = shares.interval("a")
        assert low is not None
        assert high is not None
        covered += low <= 0.8 <= high
    assert 0.9 <= covered / 200 <= 0.99


# -- accepted answers -------------------------------------------------------------------------------------------------


def test_the_accepted_answer_is_better_than_each_other_one(tmp_path: Path) -> None:
    # Three answers in time; the second has most votes and is accepted in three threads of four, the third in the rest.
    def answers(n: int, _: random.Random) -> list[Row]:
        chosen = 1 if n % 4 else 2
        return [one(n, i, score, accepted=i == chosen) for i, score in enumerate([3, 9, 6])]

    threads = threads_of(tmp_path / "s", answers)
    assert accepted_judge(threads).better.height == 40 * 2
    rows = by(tables_of(threads)["Judged by accepted answers"], "preset")
    # votes says 2 > 3 > 1. Where the second is accepted: both pairs with it agree. Else one of two does.
    assert rows["votes"]["agree"] == pytest.approx(0.75 + 0.25 / 2)
    assert (rows["votes"]["compared"], rows["votes"]["threads"]) == (80, 40)
    # shp has 2 > 1 and 3 > 1: one of them is judged in every thread, and always right.
    assert (rows["shp"]["agree"], rows["shp"]["compared"]) == (1, 40)
    # older-winner has 2 > 3 alone.
    assert rows["older-winner"]["agree"] == pytest.approx(0.75)
    assert rows["older-winner"]["low"] < 0.75 < rows["older-winner"]["high"]
    assert rows["(later answer)"]["agree"] == pytest.approx(0.75 / 2 + 0.25)
    assert rows["(longer answer)"]["agree"] == 0.5


def test_answers_that_came_after_the_choice_were_not_passed_over(tmp_path: Path) -> None:
    # The second of four was chosen after the third was written and before the fourth; or nobody knows when.
    def answers(n: int, _: random.Random) -> list[Row]:
        chosen = (T0 + 60 * 3 + 30) * 1_000_000 if n % 2 else None
        return [one(n, i, 3 + i, accepted=i == 1, accepted_at=chosen if i == 1 else None) for i in range(4)]

    judge = accepted_judge(threads_of(tmp_path / "s", answers, 10))
    worse = judge.better.group_by("post_id").agg(pl.col("worse_id").str.slice(-2).sort())
    found = {int(post[1:]) % 2: ids for post, ids in worse.rows()}
    assert found == {1: ["c0", "c2"], 0: ["c0", "c2", "c3"]}
    assert "is known for 15 of 30" in judge.note


def test_a_rule_that_looks_at_what_was_accepted_does_not_judge_itself(tmp_path: Path) -> None:
    # Of votes alone log-votes cannot tell 5 from 6; with the acceptance it would, and always agree.
    store = store_of(tmp_path / "s", lambda n, _: [one(n, i, 6 + i, accepted=i == 1) for i in range(2)])
    tables = {table.title: table for table in check_store(store, tmp_path / "out")}
    assert by(tables["Pairs by preset"], "preset")["log-votes"]["pairs"] == 60
    assert by(tables["Judged by accepted answers"], "preset")["log-votes"]["compared"] == 0


def test_where_nothing_was_accepted_the_table_says_so(tmp_path: Path) -> None:
    tables = tables_of(threads_of(tmp_path / "s", lambda n, _: [one(n, 0, 3), one(n, 1, 5)], 3))
    assert tables["Judged by accepted answers"].note.startswith("Not possible: the store has no such comparison.")


# -- thanks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("Thanks, that works!", True),
        ("<p>thank you @ann</p>", True),
        ("Thx.", True),
        ("thanks in advance", False),
        ("> thanks\n\nNo, it does not.", False),
        ("<blockquote><p>thanks</p></blockquote><p>No.</p>", False),
        ('[quote="ann, post:2"]\nthanks\n[/quote]\nNo.', False),
        ("thanksgiving", False),
    ],
)
def test_thanks_are_told_from_quotes(body: str, says: bool) -> None:
    assert says_thanks(body) is says


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("Thanks @ann!", ["ann"]),
        ("Thanks u/Ann and /u/bo-b", ["ann", "bo-b"]),
        ('<aside class="quote" data-username="ann">', ["ann"]),
        ('[quote="ann, post:2, topic:3"]', ["ann"]),
        ("Thanks @annabel", []),
        ("Thanks @bo-bo", []),
        ("Thanks ann", []),
        ('<a class="mention" href="/u/ann">@ann</a>', ["ann"]),
        ("ask me at x@ann.example", []),
    ],
)
def test_a_name_is_known_by_a_mention_or_a_quote(body: str, names: list[str]) -> None:
    assert names_in(body, ["ann", "bo-b"]) == names


def test_thanks_are_for_what_stood_there(tmp_path: Path) -> None:
    # ann, bob and the thanks for ann, then ann again and cid: nobody was thanked for what came after.
    def answers(n: int, _: random.Random) -> list[Row]:
        people = [("ann", 3), ("bob", 9), ("asker", 1), ("ann", 4), ("cid", 7)]
        return [
            one(n, i, score, author=name, body="Thanks, @ann!" if name == "asker" else f"Answer {i}.")
            for i, (name, score) in enumerate(people)
        ]

    threads = threads_of(tmp_path / "s", answers, 5)
    judge = thanks_judge(threads)
    found = judge.better.select(pl.col("better_id", "worse_id").str.slice(-2)).unique().rows()
    assert sorted(found) == [("c0", "c1"), ("c0", "c2")], "c2 is the asker's own, which no pair has"
    assert "5 direct replies of askers say thanks" in judge.note
    rows = by(tables_of(threads)["Judged by askers' thanks"], "preset")
    assert (rows["votes"]["compared"], rows["votes"]["agree"]) == (5, 0)
    assert (rows["(later answer)"]["compared"], rows["(later answer)"]["agree"]) == (5, 0)


def test_thanks_that_name_nobody_are_counted(tmp_path: Path) -> None:
    threads = threads_of(
        tmp_path / "s", lambda n, _: [one(n, 0, 3), one(n, 1, 5), one(n, 2, 1, author="asker", body="Thank you!")], 4
    )
    note = tables_of(threads)["Judged by askers' thanks"].note
    assert note.startswith("Not possible")
    assert "4 direct replies of askers say thanks (in English); 4 of them name nobody" in note


# -- later votes ------------------------------------------------------------------------------------------------------


def test_later_votes_judge_labels_of_early_ones(tmp_path: Path) -> None:
    # Two answers; the one that leads early gains more later in two threads of three.
    def answers(n: int, _: random.Random) -> list[Row]:
        gains = (9, 2) if n % 3 else (2, 9)
        return [
            one(n, i, score, observed_at=(T0 + at) * 1_000_000)
            for i, early in enumerate([8, 4])
            for score, at in ((early, DAY * 3 // 2), (early + gains[i], 300 * DAY))
        ]

    _, judged = early_tables(threads_of(tmp_path / "s", answers, 60), 0)
    rows = by(judged, "read at", "preset")
    assert set(rows) == {("1 d", name) for name in PRESETS}
    assert rows["1 d", "votes"]["agree"] == pytest.approx(2 / 3)
    assert (rows["1 d", "votes"]["compared"], rows["1 d", "shp"]["compared"]) == (60, 0)


# -- people's judgments -----------------------------------------------------------------------------------------------


def write(path: Path, *judgments: Any) -> Path:
    path.write_text("".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in judgments))
    return path


def test_judgments_are_read_and_held_against_the_labels(tmp_path: Path) -> None:
    threads = threads_of(tmp_path / "s", lambda n, _: [one(n, i, score) for i, score in enumerate([3, 9])], 4)

    def pair(n: int) -> str:
        return f"reddit.com/p{n}/p{n}c0-p{n}c1"

    path = write(
        tmp_path / "audit.jsonl",
        {"pair_id": pair(0), "choice": 2, "judge": "x"},
        "",
        {"pair_id": pair(1), "choice": 1},
        {"pair_id": pair(2), "choice": 1, "answer1_id": "p2c1", "answer2_id": "p2c0"},
        {"pair_id": pair(3), "choice": 3},
        {"pair_id": pair(3), "choice": 4},
        {"pair_id": pair(3), "choice": 0},
        {"pair_id": "reddit.com/p9/a-b", "choice": 1},
        {"pair_id": pair(3), "choice": 1, "answer1_id": "p3c1", "answer2_id": "other"},
    )
    judgments = read_judgments(path)
    better, neither, unknown = judged_better(threads, judgments)
    assert sorted(better["better_id"]) == ["p0c1", "p1c0", "p2c1"]
    assert (neither, unknown) == (3, 2)
    row = by(tables_of(threads, judgments=judgments)["Judged by the audit"], "preset")["shp"]
    assert (row["compared"], row["threads"], row["agree"]) == (3, 3, pytest.approx(2 / 3))


def test_an_answer_whose_id_has_a_dash_is_found(tmp_path: Path) -> None:
    threads = threads_of(
        tmp_path / "s", lambda n, _: [{**one(n, i, 3 + i), "answer_id": f"a-{i}-x"} for i in range(2)], 1
    )
    judgments = read_judgments(write(tmp_path / "a.jsonl", {"pair_id": "reddit.com/p0/a-0-x-a-1-x", "choice": 2}))
    assert judged_better(threads, judgments)[0]["better_id"].to_list() == ["a-1-x"]


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "Line 2"), ('{"pair_id": "x", "choice": 5}', "choice 5 is not one of 0 to 4"), ('{"choice": 1}', "Line 2")],
)
def test_a_line_that_is_no_judgment_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "audit.jsonl", {"pair_id": "s/p/a-b", "choice": 1}, line)
    with pytest.raises(BadInput, match=said):
        read_judgments(path)


def test_the_command_takes_judgments_of_a_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store_of(Path("s"), lambda n, _: [one(n, 0, 3), one(n, 1, 9)], threads=3)
    write(Path("audit.jsonl"), {"pair_id": "reddit.com/p1/p1c0-p1c1", "choice": 2})
    assert command(["lab", "out", "--store", "s", "--audit", "audit.jsonl", "--json"]) == 0
    tables = {table["title"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    assert tables["Judged by the audit"]["rows"][0]["agree"] == 1
    assert command(["lab", "other", "--audit", "audit.jsonl"]) == 2
    assert "--audit needs --store" in capsys.readouterr().err
    assert command(["lab", "other", "--store", "s", "--audit", "missing.jsonl"]) == 5
    assert not Path("other").exists()
    assert Store(Path("s")).snapshot().rows("answers") == 6
