"""Checks of labels on stores whose structure is known."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shp_miner import PRESETS, import_dump
from shp_miner.cli import run as command
from shp_miner.errors import UsageError
from shp_miner.lab.early import early_tables
from shp_miner.lab.real import check_store
from shp_miner.lab.table import Table
from shp_miner.lab.thinning import halves, thinning_tables
from shp_miner.lab.threads import Shares, Threads
from shp_miner.lab.words import words_tables
from shp_miner.rules.presets import BY_VOTES
from shp_miner.store import Store

from .build import T0, answer_row, chunk, post_row
from .test_import_published import json_lines

DAY = 86_400
#: When everything was read for the last time: long after, so that every reading had an age to be later than.
LAST = T0 + 400 * DAY

Row = dict[str, Any]
Answers = Callable[[int, random.Random], list[Row]]


def store_of(path: Path, answers: Answers, threads: int = 60, parts: int = 1) -> Store:
    """A store of threads, with the rows of answers that a function gives for each, appended in so many parts."""
    store, dice = Store(path), random.Random(1)
    numbers = list(range(threads))
    rows = {
        n: [{"post_id": f"p{n}", "observed_at": LAST * 1_000_000, **row} for row in answers(n, dice)] for n in numbers
    }
    for part in range(parts):
        of_part = numbers[part::parts]
        posts = [post_row(post_id=f"p{n}", observed_at=LAST * 1_000_000) for n in of_part]
        store.append(chunk(posts, [answer_row(row.pop("answer_id"), **row) for n in of_part for row in rows[n]]))
    return store


def one(n: int, i: int, score: int, **changes: Any) -> Row:
    """The i-th answer of a thread, a minute after the one before."""
    return {"answer_id": f"p{n}c{i}", "score": score, "created_at": (T0 + 60 * (i + 1)) * 1_000_000, **changes}


def threads_of(store: Store) -> Threads:
    return Threads.read(store.snapshot())


def by(table: Table, *columns: str) -> dict[Any, Row]:
    """The rows of a table by the cells of some columns."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {tuple(row[c] for c in columns) if len(columns) > 1 else row[columns[0]]: row for row in rows}


# -- bootstrap --------------------------------------------------------------------------------------------------------


def test_errors_are_those_of_whole_threads() -> None:
    dice = np.random.default_rng(3)
    hit = (dice.random(400) < 0.7).astype(float)
    expected = np.sqrt(hit.mean() * (1 - hit.mean()) / 400)
    alone, alike = Shares(1), Shares(1)
    alone.add("a", pl.Series(np.arange(400)), hit)
    # Ten pairs of a thread that are all right or all wrong together say no more than one.
    alike.add("a", pl.Series(np.repeat(np.arange(400), 10)), np.repeat(hit, 10))
    for shares in (alone, alike):
        assert shares.share("a") == pytest.approx(hit.mean())
        assert shares.error("a") == pytest.approx(expected, rel=0.1)
    assert (alike.pairs("a"), alike.threads("a")) == (4000, 400)


def test_columns_are_drawn_together() -> None:
    dice = np.random.default_rng(4)
    threads = pl.Series(np.arange(300))
    hit = (dice.random(300) < 0.6).astype(float)
    nearly = hit.copy()
    nearly[:5] = 1 - nearly[:5]
    shares = Shares(0)
    for name, values in (("a", hit), ("same", hit), ("nearly", nearly), ("other", dice.permutation(hit))):
        shares.add(name, threads, values)
    assert shares.error("same", "a") is None
    close, apart = shares.error("nearly", "a"), shares.error("other", "a")
    assert close is not None
    assert apart is not None
    assert close < apart / 3
    assert shares.difference("a", "same") == 0


def test_errors_are_left_out_where_nothing_can_be_told() -> None:
    shares = Shares(0)
    shares.add("empty", pl.Series([], dtype=pl.Int64), np.empty(0))
    shares.add("one thread", pl.Series([1, 1, 1]), np.array([1.0, 0, 1]))
    shares.add("all right", pl.Series([1, 2, 3]), np.ones(3))
    assert [shares.share(name) for name in ("empty", "all right")] == [None, 1]
    assert [shares.error(name) for name in ("empty", "one thread", "all right")] == [None, None, None]
    assert shares.difference("all right", "empty") is None


# -- early readings ---------------------------------------------------------------------------------------------------


def read_twice(later: Callable[[random.Random, list[int]], list[int]]) -> Answers:
    """Six answers with different scores at an age of a day and a half, and what they have later."""

    def answers(n: int, dice: random.Random) -> list[Row]:
        early = dice.sample(range(2, 40), 6)
        final = later(dice, early)
        return [
            one(n, i, score, observed_at=(T0 + 60 * (i + 1) + at) * 1_000_000)
            for i in range(6)
            for score, at in ((early[i], DAY * 3 // 2), (final[i], 300 * DAY))
        ]

    return answers


def test_an_early_order_that_persists_is_found(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", read_twice(lambda _, early: [3 * score for score in early]))
    rows = by(early_tables(threads_of(store), 0)[0], "read at", "preset")
    assert set(rows) == {("1 d", name) for name in PRESETS}
    assert {rows["1 d", name]["same order later"] for name in BY_VOTES} == {1.0}
    assert {rows["1 d", name]["same order of the votes between"] for name in BY_VOTES} == {1.0}
    votes = rows["1 d", "votes"]
    assert (votes["pairs"], votes["threads"], votes["tied later"]) == (60 * 15, 60, 0)
    assert votes["later reading at"] == "300 d"


def test_an_early_order_that_says_nothing_is_right_half_of_the_time(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", read_twice(lambda dice, early: dice.sample(range(50, 90), 6)), threads=150)
    rows = by(early_tables(threads_of(store), 0)[0], "preset")
    for name in ("shp", "votes", "older-winner"):
        share, error = rows[name]["same order later"], rows[name]["error"]
        assert abs(share - 0.5) < 4 * error
        assert 0.005 < error < 0.05


def test_votes_that_came_before_do_not_count_twice(tmp_path: Path) -> None:
    # The same for everybody is added, and to a few one vote more: the order stays, what came between says nothing.
    def later(dice: random.Random, early: list[int]) -> list[int]:
        return [10 * score + dice.choice([0, 1]) - 9 * score for score in early]

    rows = by(early_tables(threads_of(store_of(tmp_path / "s", read_twice(later), threads=150)), 0)[0], "preset")
    assert rows["votes"]["same order later"] > 0.95
    assert 0.4 < rows["votes"]["same order of the votes between"] < 0.6


def test_labels_are_made_of_the_early_scores_alone(tmp_path: Path) -> None:
    # By its early score only the first two are above the floor, and of them the later one has fewer votes.
    def answers(n: int, _: random.Random) -> list[Row]:
        return [
            one(n, i, score, observed_at=(T0 + 60 * (i + 1) + at) * 1_000_000, accepted=accepted)
            for i, (early, final) in enumerate([(9, 2), (5, 30), (1, 100)])
            for score, at, accepted in ((early, DAY * 3 // 2, False), (final, 300 * DAY, i == 1))
        ]

    rows = by(early_tables(threads_of(store_of(tmp_path / "s", answers)), 0)[0], "preset")
    assert {name: row["pairs"] for name, row in rows.items() if name in ("shp", "votes", "older-winner")} == {
        "shp": 0,
        "votes": 60,
        "older-winner": 60,
    }
    assert rows["votes"]["same order later"] == 0
    assert rows["log-votes"]["same order later"] == 0, "being accepted later is not known early"


def test_one_reading_is_not_enough(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", lambda n, dice: [one(n, i, dice.randint(2, 40)) for i in range(3)])
    table, _ = early_tables(threads_of(store), 0)
    assert table.rows == []
    assert table.note == "Not possible: no answer of the store was read more than once."


# -- split halves -----------------------------------------------------------------------------------------------------


def test_each_vote_goes_to_either_half_by_a_fair_coin_of_its_own() -> None:
    dice = np.random.default_rng(0)
    items = dice.integers(0, 1 << 64, 20_000, dtype=np.uint64)
    votes = dice.poisson(90, 20_000).astype(np.int64)  # more than one word of bits
    first = halves(votes, items, 0)
    assert ((first >= 0) & (first <= votes)).all()
    assert first.mean() == pytest.approx(45, abs=0.2)
    assert first.var() == pytest.approx(45, rel=0.05)
    # Halves of a Poisson number are independent.
    assert abs(np.corrcoef(first, votes - first)[0, 1]) < 0.03
    assert (halves(votes[::2], items[::2], 0) == first[::2]).all(), "whatever other items there are"
    assert abs(np.corrcoef(first - votes / 2, halves(votes, items, 1) - votes / 2)[0, 1]) < 0.03
    assert halves(np.array([0, 64, 65]), items[:3], 0)[0] == 0


def test_a_score_of_billions_is_halved_without_tossing_each_vote() -> None:
    items = np.arange(500, dtype=np.uint64)
    # On either side of where the coins end, halves vary as those of a binomial number do.
    for votes in (1 << 20, (1 << 20) + 1, 10**12):
        first = halves(np.full(500, votes), items, 0)
        spread = votes**0.5 / 2
        assert abs(first.mean() - votes / 2) < 4 * spread / 500**0.5
        assert first.std() == pytest.approx(spread, rel=0.1)
    greatest = halves(np.array([2**63 - 1]), np.array([7], np.uint64), 0)
    assert 0 < greatest[0] < 2**63 - 1


def test_agreement_is_a_coin_for_equals_and_certain_for_large_gaps(tmp_path: Path) -> None:
    def poisson(mean: float, dice: random.Random) -> int:
        return int(np.random.default_rng(dice.getrandbits(32)).poisson(mean))

    equal = store_of(tmp_path / "equal", lambda n, dice: [one(n, i, 1 + poisson(12, dice)) for i in range(6)], 150)
    agree, _ = thinning_tables(threads_of(equal), 0)
    votes = by(agree, "preset")["votes"]
    assert abs(votes["agree"] - 0.5) < 4 * votes["error"]
    ladder = store_of(
        tmp_path / "ladder", lambda n, dice: [one(n, i, 1 + poisson(3 * 2**i, dice)) for i in range(6)], 150
    )
    agree, gaps = thinning_tables(threads_of(ladder), 0)
    assert by(agree, "preset")["votes"]["agree"] > 0.85
    _, *shares = gaps.rows[[row[0] for row in gaps.rows].index("votes")]
    rising = [share for share in shares if isinstance(share, float)]
    assert len(rising) == 5
    assert rising == sorted(rising)
    assert rising[-1] > 0.97


# -- words ------------------------------------------------------------------------------------------------------------

PLAIN = ["you", "may", "want", "to", "ask", "the", "office", "about", "that", "before", "term", "begins", "and", "then"]


def worded(good: Callable[[int], str], bad: Callable[[int], str] = lambda n: "well") -> Answers:
    """Six answers of chance words and one more: `good` for those with the higher scores, `bad` for the others."""

    def answers(n: int, dice: random.Random) -> list[Row]:
        scores = dice.sample(range(2, 60), 6)
        middle = sorted(scores)[3]
        return [
            one(
                n,
                i,
                scores[i],
                body=" ".join([*dice.choices(PLAIN, k=12), good(n) if scores[i] >= middle else bad(n)]),
            )
            for i in range(6)
        ]

    return answers


def trained(store: Store) -> dict[Any, Row]:
    found = threads_of(store)
    plain, variants = words_tables(found, {name: found.pairs(rule) for name, rule in PRESETS.items()}, 0)
    rows, others = by(plain, "trained on"), by(variants, "trained on")
    return {name: row | others[name] for name, row in rows.items()}


def test_a_planted_word_is_learned(tmp_path: Path) -> None:
    rows = trained(store_of(tmp_path / "s", worded(lambda n: "because")))
    # 9 of 15 pairs have the word on one side alone; of the other 6 nothing can be known.
    for name in ("shp", "votes", "older-winner"):
        assert rows[name]["accuracy"] == pytest.approx(9 / 15 + 6 / 15 / 2, abs=0.06), name
        assert rows[name]["equal: accuracy"] > 0.7
    assert rows["shp"]["equal pairs"] == rows["votes"]["equal pairs"] <= rows["shp"]["pairs"] < rows["votes"]["pairs"]
    assert rows["votes"]["clear pairs: accuracy"] > rows["votes"]["accuracy"], "fewer of them are between equals"
    assert rows["(longer text)"]["pairs"] is None
    assert 0.55 < rows["(longer text)"]["accuracy"] < 0.85


@pytest.mark.parametrize(("good", "bad"), [("?", "!"), ("I", "U")], ids=["a mark", "a letter"])
def test_a_mark_or_a_single_letter_is_a_word(tmp_path: Path, good: str, bad: str) -> None:
    rows = trained(store_of(tmp_path / "s", worded(lambda n: good, lambda n: bad)))
    assert rows["votes"]["accuracy"] == pytest.approx(9 / 15 + 6 / 15 / 2, abs=0.06)


def test_nothing_is_learned_of_the_threads_that_test(tmp_path: Path) -> None:
    # Words that no other thread has: whoever trains on the tested threads knows them, nobody else can.
    rows = trained(store_of(tmp_path / "s", worded(lambda n: f"good{n}", lambda n: f"bad{n}")))
    assert abs(rows["votes"]["accuracy"] - 0.5) < 0.1


def test_length_is_used_where_it_may_be(tmp_path: Path) -> None:
    # The better an answer the longer it is, by words that say nothing.
    def answers(n: int, dice: random.Random) -> list[Row]:
        scores = dice.sample(range(2, 60), 6)
        return [one(n, i, score, body=" ".join(dice.choices(PLAIN, k=5 + 3 * score))) for i, score in enumerate(scores)]

    votes = trained(store_of(tmp_path / "s", answers))["votes"]
    assert votes["with length: accuracy"] > 0.95
    assert votes["with length: accuracy"] > votes["accuracy"] + 0.05


def test_texts_that_do_not_differ_teach_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", lambda n, dice: [one(n, i, 2 + i, body="(no text)") for i in range(4)])
    found = threads_of(store)
    tables = words_tables(found, {"votes": found.pairs(PRESETS["votes"])}, 0)
    assert {table.note for table in tables} == {"Not possible: the store's answers have no texts that differ."}


def test_what_moves_the_level_is_measured_against_the_check_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.word_levels import Levels, main

    store = store_of(tmp_path / "s", worded(lambda n: "because"))
    monkeypatch.setattr(sys, "argv", ["word_levels", str(store.path)])
    assert main() == 0
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    levels = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    for name, row in trained(store).items():
        if name in rows[0]:
            assert levels["nothing"][name] == f"{row['accuracy']:.3f}"
            assert levels["test: winner has twice the score"][name] == f"{row['clear pairs: accuracy']:.3f}"
    newer, older = (levels[f"test: winner is {which}"]["test pairs"] for which in ("not older", "older"))
    assert int(newer) + int(older) == int(levels["nothing"]["test pairs"])
    made = Levels(threads_of(store))
    for name, folds in made.chosen.items():
        thread = made.training[name].thread.to_numpy()
        for rows_of, few, part in zip(folds, made.capped(2)[name], made.of_threads(2)[name], strict=True):
            assert set(thread[few]) == set(thread[rows_of])
            assert np.unique(thread[few], return_counts=True)[1].max() == 2
            assert not set(thread[part]) & set(thread[np.setdiff1d(rows_of, part)])
            assert 0 < len(part) < len(rows_of)


# -- the whole --------------------------------------------------------------------------------------------------------


def test_every_preset_stands_in_every_table_and_bytes_follow_from_the_seed(tmp_path: Path) -> None:
    answers = worded(lambda n: "because")
    stores = [store_of(tmp_path / f"s{parts}", answers, parts=parts) for parts in (1, 3)]
    shares: list[float] = []
    tables = check_store(stores[0], tmp_path / "a", advance=shares.append)
    assert sum(shares) == pytest.approx(1)
    for table in tables:
        assert set(PRESETS) <= {row[0] for row in table.rows} or table.note.startswith("Not possible")
    assert len(tables) == 9
    check_store(stores[1].path, tmp_path / "b")
    check_store(stores[0], tmp_path / "c", seed=1)
    files = [{name: (tmp_path / out / f"checks.{name}").read_bytes() for name in ("md", "json")} for out in "abc"]
    assert files[0] == files[1], "whatever the order of the store's files"
    assert files[0] != files[2]
    data = json.loads(files[0]["json"])
    assert [table["title"] for table in data["tables"]] == [table.title for table in tables]
    assert b"writer-" not in files[0]["md"] + files[0]["json"]


def test_the_command_says_why_a_table_is_empty_and_where_the_page_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store_of(Path("s"), lambda n, dice: [one(n, i, dice.randint(2, 40)) for i in range(2)], threads=5)
    assert command(["lab", "out", "--store", "s"]) == 0
    shown = capsys.readouterr().out
    assert "Not possible: no answer of the store was read more than once." in shown
    assert "read at" not in shown, "the columns of a table without rows"
    assert "out/checks.md" in shown


def test_what_cannot_be_checked_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["lab", "out", "--store", "nowhere"]) == 5
    answers = {"a_id": ["a", "b"], "text": ["Yes.", "No."], "score": [9, 3]}
    row = {"q_id": "q", "title": "Why?", "selftext": "", "subreddit": "eli5", "answers": answers}
    json_lines([row], Path("eli5.jsonl"))
    assert command(["import", "eli5.jsonl", "--store", "untimed", "-q"]) == 0
    assert command(["lab", "out", "--store", "untimed"]) == 5
    assert "no answer whose time of writing is known" in " ".join(capsys.readouterr().err.split())
    store_of(Path("s"), lambda n, dice: [], threads=1)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert command(["lab", "out", "--store", "s"]) == 2
    assert "shp-miner[lab]" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_large_store_is_sampled_by_thread(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", lambda n, dice: [one(n, i, dice.randint(2, 40)) for i in range(3)], threads=200)
    whole, part = threads_of(store), Threads.read(store.snapshot(), rows_max=200)
    assert (whole.parts, part.parts) == (1, 4)
    assert 20 < part.posts.height < 80
    assert part.answers.height == 3 * part.posts.height


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "s", lambda n, dice: [one(n, 0, 3)])
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError) as error:
        check_store(store, tmp_path / "out")
    assert "shp-miner[lab]" in error.value.hint


def test_like_snapshots_become_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.like_snapshots import main

    def reading(at: int, number: int, likes: int, topic: int = 7) -> Row:
        created = f"2024-01-0{number}T00:00:00Z"
        return {"observed_at": at, "id": 100 * topic + number, "topic_id": topic, "post_number": number} | {
            "created_at": created,
            "likes": likes,
            "reads": 3,
        }

    start = 1_704_500_000
    rows = [reading(start + 9, 2, 4), reading(start, 1, 1), reading(start, 2, 3), reading(start, 3, 0)]
    rows += [reading(start + 20, 2, 5), reading(start, 2, 1, topic=8), reading(start, 1, 2, topic=9)]
    (tmp_path / "in.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sys, "argv", ["like_snapshots", "in.ndjson", "out.jsonl.zst"])
    assert main() == 0
    done = import_dump("threads", ["out.jsonl.zst"], tmp_path / "store")
    assert done.tally.complete
    snapshot = Store(tmp_path / "store").snapshot()
    seen = snapshot.scan("answers").select("answer_id", "score", pl.col("observed_at").dt.epoch("s")).collect()
    assert sorted(seen.iter_rows()) == [
        ("702", 3, start),
        ("702", 4, start + 9),
        ("702", 5, start + 20),
        ("703", 0, start),
    ]
    assert set(snapshot.scan("posts").collect()["post_id"]) == {"7", "9"}


@pytest.mark.slow
def test_a_real_community(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "reddit-dumps"
    import_dump("reddit-dump", [folder / f"{kind}_GradSchool.zst" for kind in ("RS", "RC")], tmp_path / "store")
    made, _, _, _, _, agree, gaps, words, _ = check_store(tmp_path / "store", tmp_path / "out")
    assert by(made, "preset")["shp"]["pairs"] == 22_195
    assert by(agree, "preset")["older-winner"]["agree"] > by(agree, "preset")["shp"]["agree"]
    assert gaps.rows
    accuracy = {name: row["accuracy"] for name, row in by(words, "trained on").items()}
    assert accuracy["shp"] > accuracy["votes"] > accuracy["older-winner"] > 0.5
