"""What few platforms tell, in simulated worlds: which answer the asker accepted, and when."""

from __future__ import annotations

import msgspec
import numpy as np

from shp_miner import PRESETS, make_pairs
from shp_miner.lab.rows import answer_ids, reddit_tables, telling
from shp_miner.lab.simulate import NOT_ACCEPTED, simulate
from shp_miner.lab.worlds import WORLDS

BASE = WORLDS["base"]


def test_askers_take_the_best_of_what_is_there() -> None:
    sure = msgspec.structs.replace(BASE, accept_noise=0.0, accepts=0.999, accept_after_s=7200.0)
    threads = simulate(sure, 0, 100)
    chosen = np.flatnonzero(threads.accepted_s != NOT_ACCEPTED)
    assert 80 < len(chosen) <= 100
    assert len(set(threads.thread[chosen].tolist())) == len(chosen), "one a thread"
    for answer in chosen.tolist():
        there = (threads.thread == threads.thread[answer]) & (threads.delay_s <= threads.accepted_s[answer])
        assert there[answer]
        assert threads.quality[answer] == threads.quality[there].max(), "nothing but quality is liked in this world"


def test_the_pairs_of_the_rule_are_those_of_the_choice() -> None:
    small = msgspec.structs.replace(BASE, mean_readers=200.0)
    threads = simulate(small, 0, 80)
    posts, answers = reddit_tables(threads, small)
    ids = answer_ids(threads)
    expected = set()
    for winner in np.flatnonzero(threads.accepted_s != NOT_ACCEPTED).tolist():
        same = (threads.thread == threads.thread[winner]) & (threads.delay_s <= threads.accepted_s[winner])
        same &= threads.delay_s < 29 * 86_400  # of what is younger, the score was read too early
        expected |= {(str(ids[winner]), str(ids[loser])) for loser in np.flatnonzero(same) if loser != winner}
    assert np.bincount(threads.thread).max() <= 50
    made = make_pairs(posts, telling(threads, answers, "accepted"), PRESETS["accepted"])
    assert set(zip(made["winner_id"].to_pylist(), made["loser_id"].to_pylist(), strict=True)) == expected
    assert len(expected) > 50
    assert not make_pairs(posts, answers, PRESETS["accepted"]).num_rows, "Reddit has no such thing"


def test_readers_are_those_who_looked() -> None:
    threads = simulate(BASE, 1, 60)
    posts, answers = reddit_tables(threads, BASE)
    told = telling(threads, answers, "per-reader")
    looks = dict(zip(map(str, answer_ids(threads)), threads.looks.tolist(), strict=True))
    assert [looks[name] + 1 for name in told["answer_id"].to_pylist()] == told["reads"].to_pylist()
    made = make_pairs(posts, told, PRESETS["per-reader"])
    quality = dict(zip(map(str, answer_ids(threads)), threads.quality, strict=True))
    right = [quality[row["winner_id"]] > quality[row["loser_id"]] for row in made.to_pylist()]
    assert len(right) > 1000
    assert np.mean(right) > 0.9
    assert not make_pairs(posts, answers, PRESETS["per-reader"]).num_rows
