from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shp_miner.dumps.threads import read
from shp_miner.errors import UsageError
from shp_miner.forum import SimulatedThread, World, accuracy, simulate
from shp_miner.forum.dump import known_quality, write_threads
from shp_miner.forum.simulate import wilson
from shp_miner.model import PAIR
from shp_miner.tally import Tally

DEFAULT = World()
SMALL = replace(DEFAULT, threads=40)

# Pair rules written out as directly as can be: scores and times of winner and loser.
Rule = Callable[[int, int, int, int], bool]
RULES: dict[str, Rule] = {
    "shp": lambda score_w, score_l, t_w, t_l: score_w > score_l and t_w >= t_l,
    "votes": lambda score_w, score_l, t_w, t_l: score_w > score_l,
    "older-winner": lambda score_w, score_l, t_w, t_l: score_w > score_l and t_w < t_l,
}
FLOOR = 1


def pairs(threads: list[SimulatedThread], rule: Rule) -> pa.Table:
    rows: dict[str, list[str]] = {"post_id": [], "winner_id": [], "loser_id": []}
    for thread in threads:
        eligible = [item for item in thread.at().answers if item.score >= FLOOR]
        for won in eligible:
            for lost in eligible:
                if rule(won.score, lost.score, won.answer.created_s, lost.answer.created_s):
                    rows["post_id"].append(thread.post_id)
                    rows["winner_id"].append(won.answer.answer_id)
                    rows["loser_id"].append(lost.answer.answer_id)
    return pa.table(rows)


def accuracies(world: World, seed: int, *names: str) -> dict[str, float]:
    threads = simulate(world, seed)
    known = known_quality(threads)
    return {name: accuracy(pairs(threads, RULES[name]), known) for name in names or RULES}


@pytest.fixture(scope="module")
def threads() -> list[SimulatedThread]:
    return simulate(DEFAULT, 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_world_separates_the_rules(seed: int) -> None:
    found = accuracies(DEFAULT, seed)
    print(found)
    assert 0.78 <= found["shp"] <= 0.95
    assert 0.60 <= found["votes"] <= 0.80
    assert found["older-winner"] < found["votes"] - 0.05
    assert found["votes"] < found["shp"] - 0.15


def test_with_equal_exposure_age_says_nothing() -> None:
    # Everything is read, nobody follows others, and all answers are there before nearly all readers.
    fair = replace(DEFAULT, position_bias=0, herding=0, answered_by_first=0.03, writing_time_s=60)
    found = accuracies(fair, 0)
    assert found["votes"] > found["shp"] - 0.02
    assert found["older-winner"] > found["shp"] - 0.03


def test_less_bias_makes_votes_truer() -> None:
    # Not beyond 1: there the score floor leaves out more and more of what nobody saw.
    votes = [
        accuracies(replace(DEFAULT, position_bias=bias, herding=0), 0, "votes")["votes"] for bias in (1.0, 0.5, 0.0)
    ]
    assert votes == sorted(votes)


def test_better_late_answers_make_older_winners_worse() -> None:
    worlds = [replace(DEFAULT, late_quality=late) for late in (0.5, 0.0, -0.5)]
    older = [accuracies(world, 0, "older-winner")["older-winner"] for world in worlds]
    assert older == sorted(older)


def test_display_orders_share_their_threads_and_differ_in_who_profits() -> None:
    share_of_the_oldest: dict[str, float] = {}
    world = replace(DEFAULT, threads=200)
    base = simulate(world, 0)
    for order in ("best", "top", "new", "old", "random"):
        shown = simulate(replace(world, display_order=order), 0)  # type: ignore[arg-type]
        assert [t.title for t in shown] == [t.title for t in base]
        assert known_quality(shown) == known_quality(base)
        seen = [t.at().answers for t in shown if len(t.answers) > 4]
        share_of_the_oldest[order] = float(np.mean([items[0].up / sum(item.up for item in items) for items in seen]))
    ranked = sorted(share_of_the_oldest, key=share_of_the_oldest.__getitem__)
    assert ranked[0] == "new"
    assert ranked[-1] == "old"


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_threads(simulate(SMALL, seed), tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_no_rates_are_absurd(threads: list[SimulatedThread]) -> None:
    sizes = [len(thread.answers) for thread in threads]
    assert len(threads) == DEFAULT.threads
    assert 6 < np.mean(sizes) < 12
    assert max(sizes) > 4 * np.mean(sizes)  # a heavy tail
    assert 200 < np.mean([thread.readers for thread in threads]) < 400
    up = sum(item.up for thread in threads for item in thread.at().answers)
    down = sum(item.down for thread in threads for item in thread.at().answers)
    assert 0.01 < down / (up + down) < 0.15
    quality = np.array(list(known_quality(threads).values()))
    assert abs(quality.mean()) < 0.1
    assert abs(quality.std() - 1) < 0.1


def test_threads_hold_together(threads: list[SimulatedThread]) -> None:
    ids = [thread.post_id for thread in threads] + [a.answer_id for thread in threads for a in thread.answers]
    assert len(set(ids)) == len(ids)
    assert [t.created_s for t in threads] == sorted(t.created_s for t in threads)
    for thread in threads:
        times = [answer.created_s for answer in thread.answers]
        assert times == sorted(times)
        assert all(when >= thread.created_s for when in times)
        assert all(np.diff(thread.vote_s) >= 0)
        authors = [thread.author, *(answer.author for answer in thread.answers)]
        assert len(set(authors)) == len(authors)
        assert all(re.fullmatch(r"reader-\d+", author) for author in authors)
        for when, on in zip(thread.vote_s.tolist(), thread.vote_on.tolist(), strict=True):
            assert when >= (thread.created_s if on < 0 else times[on])


def test_votes_happen_in_time(threads: list[SimulatedThread]) -> None:
    thread = max(threads, key=lambda candidate: len(candidate.answers))
    end = DEFAULT.observed_at
    earlier = [thread.at(end - timedelta(days=days)) for days in range(80, -1, -1)]
    assert [len(seen.answers) for seen in earlier] == sorted(len(seen.answers) for seen in earlier)
    assert [seen.up for seen in earlier] == sorted(seen.up for seen in earlier)
    assert not earlier[0].answers
    assert earlier[-1] == thread.at()
    assert sum(item.up + item.down for item in thread.at().answers) + thread.at().up + thread.at().down == len(
        thread.vote
    )


def test_a_thread_does_not_change_when_readers_look_elsewhere() -> None:
    # Display and voting have a random stream of their own.
    a, b = simulate(SMALL, 3), simulate(replace(SMALL, herding=0, position_bias=0.2), 3)
    assert [(t.title, t.created_s, t.answers) for t in a] == [(t.title, t.created_s, t.answers) for t in b]


def test_texts_are_distinct_readable_and_do_not_tell_by_length(threads: list[SimulatedThread]) -> None:
    titles = [thread.title for thread in threads]
    assert len(set(titles)) == len(titles)
    assert len({thread.community for thread in threads}) >= 3
    texts = [answer.text for thread in threads for answer in thread.answers]
    for thread in threads:
        assert len({answer.text for answer in thread.answers}) == len(thread.answers)
    for text in [*titles, *(thread.body for thread in threads), *texts]:
        assert text == text.strip()
        assert not re.search(r"[{}]|  |\n\n\n", text)
        assert 10 < len(text) < 2000
    quality = [answer.quality for thread in threads for answer in thread.answers]
    assert abs(np.corrcoef(quality, [len(text) for text in texts])[0, 1]) < 0.05
    markdown = Counter(mark for text in texts for mark in ("**", "\n1. ", "> ", "`") if mark in text)
    assert min(markdown.values()) > 20
    assert len(markdown) == 4


def test_the_forum_imports_with_no_loss(threads: list[SimulatedThread], tmp_path: Path) -> None:
    path = tmp_path / "forum.jsonl"
    write_threads(threads, path)
    tally = Tally()
    chunks = list(read([path], tally, now=DEFAULT.observed_at))
    assert tally.complete
    assert not tally.dropped
    assert not tally.notes
    assert tally.read["post"] == len(threads)
    rows = pa.concat_tables(chunk.answers for chunk in chunks).to_pylist()
    known = known_quality(threads)
    assert {(row["post_id"], row["answer_id"]) for row in rows} == set(known)
    scores = {item.answer.answer_id: item.score for thread in threads for item in thread.at().answers}
    assert {row["answer_id"]: row["score"] for row in rows} == scores
    assert {row["observed_at"] for row in rows} == {DEFAULT.observed_at}
    assert all((row["observed_at"] - row["created_at"]).days >= 1 for row in rows) or DEFAULT.settle_days < 2
    assert b"quality" not in path.read_bytes()


def test_a_dump_of_an_earlier_moment_holds_what_there_was(threads: list[SimulatedThread], tmp_path: Path) -> None:
    path, half = tmp_path / "forum.jsonl", DEFAULT.starts_at + timedelta(days=30)
    write_threads(threads, path, at=half)
    tally = Tally()
    list(read([path], tally, now=half))
    assert tally.complete
    assert 0.3 * len(threads) < tally.read["post"] < 0.7 * len(threads)


def test_accuracy() -> None:
    table = pa.table({"post_id": ["1", "1", "2"], "winner_id": ["a", "b", "a"], "loser_id": ["b", "a", "b"]})
    known = {("1", "a"): 1.0, ("1", "b"): 0.0, ("2", "a"): 0.5, ("2", "b"): -0.5}
    assert accuracy(table, known) == pytest.approx(2 / 3)
    assert np.isnan(accuracy(PAIR.empty_table(), known))
    with pytest.raises(KeyError):
        accuracy(table, {})


def test_wilson() -> None:
    assert wilson(0, 0) == 0
    assert wilson(1, 0) < wilson(10, 0) < wilson(100, 0) < 1
    assert wilson(0, 5) == pytest.approx(0, abs=1e-12)
    # Reddit's published ranking gives 0.3784 for one up-vote alone at 80 %: 1 / (1 + z^2).
    assert wilson(1, 0) == pytest.approx(1 / (1 + 1.2815515655446004**2))


@pytest.mark.parametrize(
    "wrong", [{"mean_readers": 0}, {"late_quality": 1}, {"display_order": "hot"}, {"up_rate": 1}, {"threads": -1}]
)
def test_a_world_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        replace(DEFAULT, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"threads": 0}, {"mean_readers": 0.5}, {"answers_per_reader": 0}, {"down_share": 0}]
)
def test_worlds_at_the_edge(change: dict[str, float]) -> None:
    threads = simulate(replace(SMALL, **change), 0)  # type: ignore[arg-type]
    assert len(threads) == change.get("threads", 40)
    assert all(thread.at() for thread in threads)
