"""Models of words that learn from pairs, and rivals of the presets: on simulated threads whose truth is known."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shp_miner.lab.cva import fit_quality, voting_contexts
from shp_miner.lab.linear import Examples, Learner, thread_weights, word_matrix
from shp_miner.lab.rivals import ANY, second_tower, spline, worldpm_pairs
from shp_miner.lab.splits import random_split, time_split
from shp_miner.lab.threads import Threads

from .test_lab_real import Row, one, store_of

# -- the model of words -----------------------------------------------------------------------------------------------


def _matrix(columns: np.ndarray) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(columns.astype(np.float64))


def _examples(seed: int, pairs: int = 400, **more: Any) -> tuple[Any, Examples]:
    dice = np.random.default_rng(seed)
    matrix = _matrix(dice.normal(size=(60, 3)))
    sides = dice.integers(0, 60, (2, pairs))
    return matrix, Examples(sides[0], sides[1], dice.integers(0, 20, pairs), **more)


def test_the_minimum_is_that_of_the_loss_written_out() -> None:
    dice = np.random.default_rng(0)
    more = {
        "target": dice.random(400),
        "weight": dice.random(400) + 0.1,
        "offset": dice.normal(size=400),
        "beside": dice.normal(size=(400, 2)),
    }
    matrix, examples = _examples(1, **more)
    found = Learner(matrix, steps_max=1000).fit(examples, 0.01)
    x = matrix.toarray()

    def loss(weights: np.ndarray) -> float:
        total = 0.0
        for i in range(400):
            odds = (x[examples.winner[i]] - x[examples.loser[i]]) @ weights[:3]
            odds += more["offset"][i] + more["beside"][i] @ weights[3:]
            p = 1 / (1 + np.exp(-odds))
            target = more["target"][i]
            total -= more["weight"][i] * (target * np.log(p) + (1 - target) * np.log(1 - p))
        penalty = 0.01 * weights[:3] @ weights[:3] + 1e-4 * weights[3:] @ weights[3:]
        return float(total / more["weight"].sum() + penalty / 2)

    least = loss(found)
    for _ in range(30):
        assert loss(found + dice.normal(size=5) * 0.02) > least


def test_a_pair_turned_round_teaches_the_same() -> None:
    target, offset = np.random.default_rng(2).random((2, 400))
    matrix, examples = _examples(3, target=target, offset=offset)
    turned = Examples(examples.loser, examples.winner, examples.thread, 1 - target, None, -offset)
    learner = Learner(matrix, steps_max=500)
    assert learner.fit(examples, 0.01) == pytest.approx(learner.fit(turned, 0.01), abs=1e-3)


def test_a_thread_of_n_pairs_weighs_the_root_of_n() -> None:
    thread = np.array([1] * 9 + [2] * 4 + [3])
    weight = thread_weights(thread)
    assert [float(weight[thread == n].sum()) for n in (1, 2, 3)] == pytest.approx([3, 2, 1])


def _attended(seed: int, threads: int = 400) -> tuple[Any, Examples, Any, np.ndarray]:
    """Threads of six answers: odds of a pair by a word of quality, and by rank; early answers have a word of their own.

    The matrix has the columns quality and early; also what the second tower sees, and the attention of each answer.
    """
    dice = np.random.default_rng(seed)
    count = threads * 6
    rank = np.tile(np.arange(6), threads)
    delay = np.sort(dice.exponential(3, (threads, 6)), axis=1).ravel()
    quality = dice.random(count) < 0.5
    early = (rank < 3) ^ (dice.random(count) < 0.1)
    attention = -1.5 * np.log1p(rank) - 0.3 * delay
    first, second = (np.array(side) for side in zip(*[(a, b) for a in range(6) for b in range(a)], strict=True))
    base = np.arange(threads)[:, None] * 6
    a, b = (base + first).ravel(), (base + second).ravel()
    odds = quality[a] * 1.0 - quality[b] * 1.0 + attention[a] - attention[b]
    wins = dice.random(len(a)) < 1 / (1 + np.exp(-odds))
    winner, loser = np.where(wins, a, b), np.where(wins, b, a)
    size = np.full(count, np.log(6))
    tower = second_tower(np.log1p(rank), np.log(delay + 0.01), size)
    return _matrix(np.stack([quality, early], axis=1)), Examples(winner, loser, winner // 6), tower, attention


def test_the_second_tower_takes_attention_out_of_the_words() -> None:
    matrix, pairs, tower, _ = _attended(4)
    learner = Learner(matrix, steps_max=500)
    plain = learner.fit(pairs, 1e-6)
    beside = tower[pairs.winner] - tower[pairs.loser]
    both = learner.fit(Examples(pairs.winner, pairs.loser, pairs.thread, beside=beside), 1e-6)
    assert plain[1] > 1, "a word of early answers looks good"
    assert abs(both[1]) < 0.25
    assert both[0] == pytest.approx(1, abs=0.15)
    assert plain[0] < both[0], "and quality is underrated"


def test_an_offset_of_the_true_attention_does_the_same() -> None:
    matrix, pairs, _, attention = _attended(5)
    offset = attention[pairs.winner] - attention[pairs.loser]
    found = Learner(matrix, steps_max=500).fit(Examples(pairs.winner, pairs.loser, pairs.thread, offset=offset), 1e-6)
    assert found == pytest.approx([1, 0], abs=0.2)


def test_splines_are_straight_beyond_the_outer_knots() -> None:
    x = np.linspace(0, 1, 1001)
    columns = spline(x)
    assert columns.shape == (1001, 4)
    bends = np.abs(np.diff(columns, n=2, axis=0)).max(axis=1)
    assert bends[:45].max() < 1e-9
    assert bends[960:].max() < 1e-9
    assert bends[200:800].max() > 1e-7
    assert spline(np.zeros(5)).shape == (5, 1)


def test_words_of_one_text_alone_are_left_out() -> None:
    assert word_matrix(pl.Series(["a b", "a c"])).shape[1] == 1


# -- rivals -----------------------------------------------------------------------------------------------------------


def test_worldpm_takes_random_pairs_of_unequal_net_votes(tmp_path: Path) -> None:
    def answers(n: int, dice: random.Random) -> list[Row]:
        return [one(n, i, dice.choice([-1, 0, 3, 3, 8])) for i in range(7)]

    threads = Threads.read(store_of(tmp_path / "s", answers, threads=80).snapshot())
    every = threads.pairs(ANY)
    pairs = worldpm_pairs(every, 0)
    assert (pairs["winner_score"] > pairs["loser_score"]).all()
    for _, found in pairs.group_by("thread_hash"):
        ids = [*found["winner_id"], *found["loser_id"]]
        assert len(ids) == len(set(ids)), "each answer is in one pair at most"
    # No two answers that were left over differ: otherwise they would be a pair.
    left = every.join(pairs.select("post_id", answer="winner_id"), on="post_id")
    assert left.height > 0
    taken = set(pairs["winner_id"]) | set(pairs["loser_id"])
    assert not [1 for w, k in every.select("winner_id", "loser_id").rows() if w not in taken and k not in taken]
    assert worldpm_pairs(every, 1).height != 0
    assert not worldpm_pairs(every, 1).equals(pairs), "another seed, other pairs"
    assert (
        worldpm_pairs(every.sample(fraction=1.0, shuffle=True, seed=1), 0)
        .sort("pair_hash")
        .equals(pairs.sort("pair_hash"))
    )


def _voted(seed: int, threads: int = 250) -> tuple[pl.DataFrame, dict[str, float]]:
    """Readings of answers whose votes follow quality, the rank shown, and the votes so far; and the qualities."""
    dice = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows, truth = [], {}
    for n in range(threads):
        quality = dice.normal(size=4)
        up, down = np.zeros(4, int), np.zeros(4, int)
        for i in range(4):
            truth[f"{n}-{i}"] = quality[i]
        for step in range(1, 12):
            place = np.argsort(np.argsort(-(up - down) + np.arange(4) / 100)) + 1
            for i in range(4):
                odds = quality[i] + 2.0 / (1 + place[i]) + 3.0 * ((up[i] + 1) / (up[i] + down[i] + 2) - 0.5) - 0.5
                votes = dice.poisson(4)
                ups = dice.binomial(votes, 1 / (1 + np.exp(-odds)))
                rows.append((n, "s", str(n), f"{n}-{i}", start, start + timedelta(days=step), ups, votes - ups, i))
            for i in range(4):
                *_, ups, downs, _ = rows[-4 + i]
                up[i], down[i] = up[i] + ups, down[i] + downs
    columns = ["thread_hash", "site", "post_id", "answer_id", "created_at", "observed_at", "u", "d", "i"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    key = ["thread_hash", "answer_id"]
    frame = frame.sort("observed_at").with_columns(
        upvotes=pl.col("u").cum_sum().over(key),
        downvotes=pl.col("d").cum_sum().over(key),
        created_at=pl.col("created_at") + pl.duration(seconds=pl.col("i")),
    )
    return frame.sample(fraction=1.0, shuffle=True, seed=0), truth


def test_cva_finds_what_position_and_earlier_votes_do() -> None:
    readings, truth = _voted(6)
    contexts = voting_contexts(readings)
    assert contexts["ups"].sum() + contexts["downs"].sum() == readings["u"].sum() + readings["d"].sum()
    quality, (position, share) = fit_quality(contexts)
    assert position == pytest.approx(2, abs=0.4)
    assert share == pytest.approx(3, abs=0.5)
    share_of_ups = readings.group_by("answer_id").agg(share=pl.col("u").sum() / (pl.col("u") + pl.col("d")).sum())
    both = quality.join(share_of_ups, on="answer_id")
    known = np.array([truth[answer] for answer in both["answer_id"]])
    ours, plain = (float(np.corrcoef(known, both[name].to_numpy())[0, 1]) for name in ("quality", "share"))
    assert ours > 0.9
    assert ours > plain + 0.02, "taking position and herding off is better than the share of up-votes"


def test_cva_sees_the_rank_that_an_answer_was_shown_at() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def row(answer: str, born: int, day: int, up: int, down: int) -> tuple[Any, ...]:
        return (1, "s", "p", answer, start + timedelta(days=born), start + timedelta(days=day), up, down)

    columns = ["thread_hash", "site", "post_id", "answer_id", "created_at", "observed_at", "upvotes", "downvotes"]
    rows = [
        row("a", 0, 1, 1, 0), row("a", 0, 3, 2, 1), row("b", 0, 1, 4, 1), row("b", 0, 3, 4, 1), row("c", 2, 3, 1, 0),
    ]  # fmt: skip
    contexts = voting_contexts(pl.DataFrame(rows, schema=columns, orient="row")).sort("answer_id", "share")
    assert contexts.select("answer_id", "ups", "downs", "rank").rows() == [
        ("a", 1, 0, 1),  # the first, at the beginning: `b` was written at the same moment
        ("a", 1, 1, 2),  # below b, which had 4 - 1
        ("b", 4, 1, 1),
        ("c", 1, 0, 3),  # below b (3) and a (1)
    ]
    assert contexts["share"].to_list() == pytest.approx([1 / 2, 2 / 3, 1 / 2, 1 / 2])


# -- splits -----------------------------------------------------------------------------------------------------------


def test_no_thread_is_learned_from_that_tests_or_chooses() -> None:
    hashes = np.random.default_rng(7).integers(-(1 << 62), 1 << 62, 500)
    created = np.sort(np.random.default_rng(8).integers(0, 10**6, 500))
    for split in (random_split(hashes, 0), time_split(created)):
        tests = [turn.test for turn in split.rounds]
        assert len(tests) == len(set(tests))
        for turn in split.rounds:
            assert turn.test not in turn.train
            for part, held in turn.inner:
                assert part < turn.train
                assert held in turn.train - part
    assert {len(turn.inner) for turn in random_split(hashes, 0).rounds} == {4}


def test_a_time_split_learns_from_earlier_threads() -> None:
    created = np.random.default_rng(9).integers(0, 300, 400)
    split = time_split(created)
    (turn,) = split.rounds
    learned, tested = (split.among(np.arange(400), folds) for folds in (turn.train, {turn.test}))
    assert created[learned].max() < created[tested].min()
    assert (learned | tested).all()
    assert 0.2 < tested.mean() < 0.4
    ((part, held),) = turn.inner
    assert created[split.among(np.arange(400), part)].max() < created[split.among(np.arange(400), {held})].min()
