"""Near-equal posts and answers: how many are found, and that no two of them are in different splits."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shp_miner.clean.buckets import band_numbers, pairs_in_buckets
from shp_miner.clean.cleaning import Near
from shp_miner.clean.clusters import ITEM, REPEATED, in_written_order, settle
from shp_miner.clean.grams import character_grams, plain_words, word_grams
from shp_miner.clean.near import may_be_near, near_equal, sketches

_SYLLABLES = [first + second for first in "bdklmnst" for second in "aeio"]


def _words(random_: random.Random, count: int) -> list[str]:
    return ["".join(random_.choices(_SYLLABLES, k=random_.choice((1, 2, 2, 3, 3, 4)))) for _ in range(count)]


def _near_pairs(texts: list[str]) -> set[tuple[int, int]]:
    words = plain_words(pl.Series(texts))
    numbers, rows = band_numbers(words)
    first, second = (rows[side] for side in pairs_in_buckets(numbers, rows))
    near = near_equal(words, first, second)
    return set(zip(first[near].tolist(), second[near].tolist(), strict=True))


@pytest.mark.parametrize("letters", [0, 12])
def test_texts_with_a_tenth_of_their_words_replaced_are_found(letters: int) -> None:
    """By words like theirs, or by much longer ones; and no others: 1,600 texts make more than a million pairs."""
    chance = random.Random(7)
    texts = [_words(chance, chance.randint(20, 80)) for _ in range(800)]
    copies = []
    for text in texts:
        copy = list(text)
        for place in chance.sample(range(len(copy)), round(len(copy) / 10)):
            copy[place] = _words(chance, 1)[0] + "".join(chance.choices("aeioubdklmnst", k=letters))
        copies.append(copy)
    found = _near_pairs([" ".join(text) for text in [*texts, *copies]])
    copied = {(number, number + len(texts)) for number in range(len(texts))}
    assert len(found & copied) >= 0.98 * len(texts)
    assert found <= copied


def test_case_marks_and_line_breaks_make_no_difference() -> None:
    assert _near_pairs(["How do I, as a *beginner*, bake bread?", "how do i as a beginner\n\nbake BREAD"]) == {(0, 1)}


@given(st.lists(st.text("ab ", max_size=12), min_size=1, max_size=6), st.integers(1, 6))
def test_runs_are_those_of_each_text_alone(texts: list[str], size: int) -> None:
    grams = character_grams(pl.Series(texts, dtype=pl.String), size)
    known: dict[str, int] = {}
    for row, text in enumerate(texts):
        runs = [text[start : start + size] for start in range(len(text) - size + 1)]
        assert [known.setdefault(run, int(number)) for run, number in zip(runs, grams.of(row), strict=True)] == list(
            grams.of(row)
        )
    assert len(set(known.values())) == len(known)
    of_runs = word_grams(grams, 2)
    assert [len(of_runs.of(row)) for row in range(len(texts))] == [
        max(len(grams.of(row)) - 1, 0) for row in range(len(texts))
    ]


def _share(first: set[str], second: set[str]) -> float:
    return len(first & second) / max(len(first | second), 1)


_FEW_WORDS = st.lists(st.sampled_from([f"{a}{b}" for a in "abcdef" for b in ("", "x", "y")]), max_size=30)


@given(st.lists(st.text("ab ", max_size=40) | _FEW_WORDS.map(" ".join), min_size=2, max_size=6), st.data())
def test_a_sketch_rules_out_no_near_equal_texts(texts: list[str], data: st.DataObject) -> None:
    for text in texts[:2]:  # some with a few words changed
        words = text.split()
        texts.append(" ".join(data.draw(st.sampled_from([word] * 9 + ["quitelonger"])) for word in words))
    words = plain_words(pl.Series(texts))
    alike = words.to_list()
    runs = [{text[at : at + 5] for at in range(len(text) - 4)} for text in alike]
    twos = [{" ".join(pair) for pair in pairwise(text.split())} for text in alike]
    first, second = (np.array(side) for side in zip(*combinations(range(len(words)), 2), strict=True))
    truly = [
        alike[a] == alike[b]
        or _share(runs[a], runs[b]) >= 0.6
        or (min(len(twos[a]), len(twos[b])) >= 12 and _share(twos[a], twos[b]) >= 0.5)
        for a, b in zip(first, second, strict=True)
    ]
    assert near_equal(words, first, second).tolist() == truly
    numbers = sketches(words)
    assert numbers[:, 0].tolist() == list(map(len, runs))
    possible = may_be_near(numbers[first], numbers[second])
    assert not (truly & ~possible).any()


def test_sketches_rule_out_most_texts_of_the_same_few_words() -> None:
    chance = random.Random(3)
    texts = pl.Series([" ".join(chance.choices(_SYLLABLES, k=100)) for _ in range(40)])
    first, second = np.triu_indices(40, 1)
    numbers = sketches(texts)
    assert may_be_near(numbers[first], numbers[second]).sum() == 0


def test_a_large_bucket_is_compared_with_its_earliest_texts_alone() -> None:
    first, _second = pairs_in_buckets(np.zeros(1_000, np.uint64), np.arange(1_000)[::-1].copy())
    assert len(first) < 65 * 1_000
    assert set(first.tolist()) == set(range(999, 999 - 64, -1))


# -- splits ----------------------------------------------------------------------------------------------------------


@st.composite
def _items(draw: st.DrawFn) -> tuple[pl.DataFrame, set[tuple[int, int]]]:
    """Posts and answers in written order, and the rows with near-equal texts: equal ones, and some others."""
    threads = draw(st.integers(1, 8))
    rows = []
    for thread in range(threads):
        at, split = draw(st.integers(0, 5)), draw(st.integers(0, 2))
        key = (thread, draw(st.sampled_from(["site", "other"])), f"p{thread}")
        rows.append((*key, None, at, split, draw(st.integers(0, 9)), draw(st.booleans())))
        for answer in range(draw(st.integers(0, 2))):
            later = at + draw(st.integers(0, 9))
            rows.append((*key, f"a{answer}", later, split, draw(st.integers(0, 9)), True))
    columns = [*ITEM, "created_at", "split", "text", "eligible"]
    frame = pl.DataFrame(rows, columns, orient="row").with_columns(pl.col("answer_id").cast(pl.String), tie=pl.lit(0))
    items = in_written_order(frame)
    texts = list(zip(items["answer_id"].is_not_null(), items["text"], strict=True))
    some = [pair for pair in combinations(sorted(set(texts)), 2) if pair[0][0] == pair[1][0]]
    alike = {pair for pair in some if draw(st.integers(0, 3)) == 0}
    return items, {
        (a, b)
        for a, b in combinations(range(len(texts)), 2)
        if texts[a] == texts[b] or tuple(sorted((texts[a], texts[b]))) in alike
    }


def _settled(items: pl.DataFrame, links: set[tuple[int, int]], near: Near) -> list[tuple[int, bool]]:
    """The split of each row and whether it is in the data."""
    pairs = np.array(sorted(links), np.int64).reshape(-1, 2)
    changed = settle(items, pairs[:, 0], pairs[:, 1], near)
    split = dict(changed.filter(pl.col("split").is_not_null()).select("post_id", "split").iter_rows())
    out = set(changed.filter(pl.col("reason").is_not_null()).select("post_id", "answer_id").iter_rows())
    bad = set(items.filter(~pl.col("eligible"))["post_id"])
    return [
        (split.get(post, own), post not in bad and (post, None) not in out and (post, answer) not in out)
        for post, answer, own in items.select("post_id", "answer_id", "split").iter_rows()
    ]


@settings(max_examples=150)
@given(_items(), st.sampled_from(["together", "one"]), st.data())
def test_no_near_equal_items_are_in_two_splits_and_growth_moves_none(
    drawn: tuple[pl.DataFrame, set[tuple[int, int]]], near: Near, data: st.DataObject
) -> None:
    items, links = drawn
    rows = _settled(items, links, near)
    for a, b in links:
        (first, first_in), (second, second_in) = rows[a], rows[b]
        assert not (first_in and second_in) or (first == second and near == "together")
    # Whatever is written later: the rows before it keep their split, and stay in or out.
    until = data.draw(st.integers(0, items.height))
    earlier = _settled(items[:until], {(a, b) for a, b in links if b < until}, near)
    assert earlier == rows[:until]


def test_one_of_each_keeps_the_earliest() -> None:
    items = pl.DataFrame(
        {
            "thread_hash": [1, 2, 3], "site": ["s"] * 3, "post_id": ["a", "b", "c"],
            "answer_id": pl.Series([None] * 3, dtype=pl.String), "text": [1, 2, 3],
            "split": [0, 0, 0], "eligible": [False, True, True],
        }
    )  # fmt: skip
    found = settle(items, np.array([0, 0, 1]), np.array([1, 2, 2]), "one")
    assert found.select("post_id", "reason").rows() == [("c", REPEATED)]  # the first is not in the data anyway


@pytest.mark.parametrize("text", ["", "é", "短い", "🙂" * 40])
def test_texts_without_enough_words_are_equal_or_nothing(text: str) -> None:
    assert _near_pairs([text, "something else that has words"]) == set()
