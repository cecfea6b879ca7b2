"""The parts of training that are arithmetic: the descent, the columns of a text, sums, weights and intervals."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.rules.hashing import mix_bits
from shp_miner.training import words
from shp_miner.training.controls import _next_thread
from shp_miner.training.descent import minimize
from shp_miner.training.linear import Pairs, Recipe, fit, fit_chosen, log_loss, pair_weights
from shp_miner.training.measures import Bootstrap, hits, usable_bits
from shp_miner.training.words import VIEWS, Hashing, Rows, joined_rows, sums, to_rows

from .property import examples

SMALL = Hashing(words=256, shared=64)


# -- the descent ------------------------------------------------------------------------------------------------------


def test_the_minimum_of_a_quadratic_is_its_closed_form() -> None:
    random = np.random.default_rng(1)
    root = random.normal(size=(30, 30))
    matrix, vector = root @ root.T + 0.1 * np.eye(30), random.normal(size=30)
    found = minimize(
        lambda x: (float(x @ matrix @ x / 2 - vector @ x), matrix @ x - vector),
        np.zeros(30),
        steps_max=500,
        tolerance=1e-8,
    )
    assert found.converged
    np.testing.assert_allclose(found.point, np.linalg.solve(matrix, vector), atol=1e-5)


def test_rosenbrocks_valley_ends_at_one_and_one() -> None:
    def valley(x: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = x
        gradient = np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])
        return float((1 - a) ** 2 + 100 * (b - a * a) ** 2), gradient

    found = minimize(valley, np.array([-1.2, 1.0]), steps_max=200, tolerance=1e-8)
    np.testing.assert_allclose(found.point, [1, 1], atol=1e-6)


def test_a_descent_that_may_take_no_step_stays_where_it_is() -> None:
    start = np.array([2.0])
    found = minimize(lambda x: (float(x @ x), 2 * x), start, steps_max=0, tolerance=1e-8)
    assert (found.point.tolist(), found.value, found.converged) == ([2.0], 4.0, False)


#: The row of an answer, made once.
KNOWN_COLUMNS = [53285, 75854, 90483, 123852, 150148, 183512, 200096, 219859, 231626, 240095, 272462, 327680, 327681]
KNOWN_VALUES = [0.2774, 0.5547, 0.2774, 0.2774, 0.2774, 0.2774, 0.2774, 0.2774, 0.2774, 0.2774, 0.5, 1.2825, 0.3466]

# -- columns ----------------------------------------------------------------------------------------------------------


def dense(rows: Rows, hashing: Hashing) -> np.ndarray:
    table = np.zeros((len(rows), hashing.columns))
    for row in range(len(rows)):
        for place in range(rows.starts[row], rows.starts[row + 1]):
            table[row, rows.columns[place]] += rows.values[place]
    return table


def slow_row(question: str, answer: str, hashing: Hashing) -> np.ndarray:
    """The columns of an answer as docs/training.md describes them, without a library."""
    import re

    def tokens(text: str) -> list[int]:
        found = re.findall(r"\w+|[^\w\s]|\n+", text.lower())
        return [xxhash.xxh3_64_intdigest(word.encode()) for word in found]

    def pair(one: int, other: int) -> int:
        mixed = int(mix_bits(np.array([one], np.uint64))[0])
        return int(mix_bits(np.array([(mixed + other) % 2**64], np.uint64))[0])

    words = tokens(answer)
    asked = set(tokens(question))
    counts = Counter(h % hashing.words for h in [*words, *(pair(a, b) for a, b in pairwise(words))])
    shared = Counter(h % hashing.shared for h in words if h in asked)
    row = np.zeros(hashing.columns)
    for offset, found, weight in ((0, counts, 1.0), (hashing.words, shared, hashing.shared_weight)):
        length = np.sqrt(sum(times**2 for times in found.values()))
        for column, times in found.items():
            row[offset + column] = weight * times / length
    row[-2], row[-1] = np.log1p(len(answer)) / 2, np.log1p(len(shared)) / 2
    return row


@examples(40)
@given(st.lists(st.tuples(st.text("ab !\n\u00e9", max_size=12), st.text("ab !\n\u00e9", max_size=12)), max_size=6))
def test_a_row_is_that_of_the_slow_reference(texts: list[tuple[str, str]]) -> None:
    questions, answers = (pl.Series([pair[side] for pair in texts], dtype=pl.String) for side in (0, 1))
    rows = to_rows(questions, answers, SMALL)
    assert len(rows) == len(texts)
    for made, (question, answer) in zip(dense(rows, SMALL), texts, strict=True):
        np.testing.assert_allclose(made, slow_row(question, answer, SMALL), atol=1e-6)


def test_the_columns_of_a_text_never_change() -> None:
    """Saved models need this: who changes it raises VERSION."""
    rows = to_rows(pl.Series(["Why so?"]), pl.Series(["So: yes.\n\nSo"]), Hashing())
    assert rows.columns.tolist() == KNOWN_COLUMNS
    np.testing.assert_allclose(rows.values, KNOWN_VALUES, atol=1e-4)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    questions, answers = pl.Series(["a b", "c", "a b"]), pl.Series(["b a", "", "c"])
    together = dense(to_rows(questions, answers, SMALL), SMALL)
    parts = joined_rows([to_rows(questions[i : i + 1], answers[i : i + 1], SMALL) for i in range(3)])
    np.testing.assert_array_equal(together, dense(parts, SMALL))


def test_a_row_times_weights_is_the_sum_of_its_products(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = to_rows(pl.Series(["a", "b", "c"]), pl.Series(["a b c", "", "b a"]), SMALL)
    weights = np.random.default_rng(0).normal(size=SMALL.columns)
    whole = rows.times(weights)
    np.testing.assert_allclose(whole, dense(rows, SMALL) @ weights, atol=1e-6)
    monkeypatch.setattr(words, "_BLOCK", 3)
    np.testing.assert_array_equal(rows.times(weights), whole)
    assert to_rows(pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String), SMALL).times(weights).tolist() == []
    assert sums(np.zeros(0), np.zeros(3, np.int64)).tolist() == [0, 0]


# -- the model --------------------------------------------------------------------------------------------------------


def made_pairs(count: int = 200) -> Pairs:
    """Pairs whose winner has the word `yes`; the first 60 are of one thread."""
    random = np.random.default_rng(3)
    answers = [" ".join(random.choice(list("abcdef"), 5)) for _ in range(2 * count)]
    answers[:count] = [f"yes {text}" for text in answers[:count]]
    rows = to_rows(pl.Series(["?"] * 2 * count), pl.Series(answers), SMALL)
    return Pairs(rows, np.arange(count), np.arange(count, 2 * count), np.maximum(np.arange(count) - 59, 0))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["sqrt", "none", "one"])
def test_the_fitted_weights_are_where_the_loss_has_no_slope(view: str, kind: str) -> None:
    pairs, penalty = made_pairs(), 1e-2
    recipe = Recipe(SMALL, kind, 0)
    fitted = fit(pairs, recipe, view, penalty).weights
    used = np.flatnonzero(fitted)
    share = pair_weights(pairs.thread, kind)

    def loss(weights: np.ndarray) -> float:
        return float(share @ log_loss(pairs.margins(weights)) + penalty / 2 * weights @ weights)

    for column in used[:20]:
        step = np.zeros(SMALL.columns)
        step[column] = 1e-4
        assert abs(loss(fitted + step) - loss(fitted - step)) / 2e-4 < 5e-4
    assert not fitted[~SMALL.seen(view)].any()
    assert len(used) > 0


def test_a_thread_weighs_the_root_of_its_pairs_all_of_them_or_one() -> None:
    thread = np.array([0, 0, 0, 0, 1])
    for kind, of_first in (("sqrt", 2 / 3), ("none", 4 / 5), ("one", 1 / 2)):
        weights = pair_weights(thread, kind)
        assert weights.sum() == pytest.approx(1)
        assert weights[:4].sum() == pytest.approx(of_first)


def test_a_weak_penalty_is_chosen_for_clear_labels_and_a_strong_one_for_chance() -> None:
    pairs, recipe = made_pairs(), Recipe(SMALL, "sqrt", 0)
    steps: list[int] = []
    clear = fit_chosen(pairs, recipe, VIEWS[0], steps.append)
    coin = np.random.default_rng(0).random(len(pairs)) < 0.5
    noise = fit_chosen(pairs.turned(coin), recipe, VIEWS[0], lambda _: None)
    assert clear.penalty < noise.penalty
    assert sum(steps) == 4


def test_turned_pairs_have_the_opposite_margins() -> None:
    pairs = made_pairs(10)
    weights = np.random.default_rng(0).normal(size=SMALL.columns)
    turned = np.arange(10) < 4
    margins = pairs.margins(weights)
    np.testing.assert_allclose(pairs.turned(turned).margins(weights), np.where(turned, -margins, margins))


# -- measures ---------------------------------------------------------------------------------------------------------


def test_intervals_of_one_value_per_thread_are_those_of_the_plain_bootstrap() -> None:
    values = np.random.default_rng(0).random(400) < 0.7
    estimate = Bootstrap(np.arange(400), 5).mean(values.astype(float))
    spread = 1.96 * np.sqrt(0.7 * 0.3 / 400)
    assert estimate.value == pytest.approx(values.mean(), abs=1e-4)
    assert estimate.low == pytest.approx(values.mean() - spread, abs=0.012)
    assert estimate.high == pytest.approx(values.mean() + spread, abs=0.012)


def test_pairs_of_one_thread_count_as_one_draw() -> None:
    values = np.repeat([1.0, 0.0, 1.0, 0.0], 100)
    together = Bootstrap(np.repeat(np.arange(4), 100), 0).mean(values)
    apart = Bootstrap(np.arange(400), 0).mean(values)
    assert together.low is not None
    assert apart.low is not None
    assert together.low < 0.2
    assert apart.low > 0.4


def test_one_thread_has_no_interval() -> None:
    estimate = Bootstrap(np.zeros(5, np.int64), 0).mean(np.ones(5))
    assert (estimate.value, estimate.low, estimate.high) == (1.0, None, None)


def test_bits_are_none_without_a_margin_and_one_for_certainty() -> None:
    np.testing.assert_allclose(usable_bits(np.array([0.0, 100.0])), [0, 1], atol=1e-9)
    assert usable_bits(np.array([-3.0]))[0] < 0
    assert hits(np.array([2.0, 0.0, -1.0])).tolist() == [1, 0.5, 0]


@examples(40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 5))
def test_every_thread_gets_another_question_of_its_community(communities: list[int], seed: int) -> None:
    thread, community = np.arange(len(communities)), np.array(communities)
    source = _next_thread(thread, community, seed)
    sizes = Counter(communities)
    for number, of in zip(thread, community, strict=True):
        assert community[source[number]] == of
        assert (source[number] != number) == (sizes[of] > 1)
    assert sorted(source) == list(thread)
