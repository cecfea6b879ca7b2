"""Texts that hold items of an evaluation set: how many are found, and which are not said to hold one."""

from __future__ import annotations

import random
import time

import numpy as np
import polars as pl
import pytest

from shp_miner.clean import grams
from shp_miner.clean.overlap import HITS, Screen, item_words

_SYLLABLES = [first + second for first in "bdklmnst" for second in "aeio"]
_COMMON = ["at", "the", "end", "of", "the", "day", "it", "is", "what"]


def _words(chance: random.Random, count: int) -> list[str]:
    return ["".join(chance.choices(_SYLLABLES, k=chance.choice((1, 2, 2, 3)))) for _ in range(count)]


def _screen(items: list[str], *, strict: bool = False) -> Screen:
    return Screen(item_words(pl.Series(items)), "strict" if strict else "default")


@pytest.mark.parametrize(("length", "least"), [(20, 0.9), (40, 0.98)])
def test_items_with_a_tenth_of_their_words_changed_are_found(length: int, least: float) -> None:
    """Each in its text, and in no other; all texts have a phrase that also ends some items."""
    chance = random.Random(length)
    items = [_words(chance, length - 8) + (_COMMON if number % 5 == 0 else _words(chance, 8)) for number in range(200)]
    clean = [" ".join([*_words(chance, 60), *_COMMON, *_words(chance, 60)]) for _ in range(200)]
    texts = []
    for item, host in zip(items, clean, strict=True):
        changed = list(item)
        for place in chance.sample(range(length), length // 10):
            changed[place] = _words(chance, 1)[0]
        words = host.split()
        texts.append(" ".join([*words[:30], *changed, *words[30:]]))
    screen = _screen([" ".join(item) for item in items])
    hits = screen.hits(pl.Series(texts))
    assert (hits["row"] == hits["item"]).all()
    assert hits.height >= least * len(items)
    assert screen.hits(pl.Series(clean)).is_empty()


ITEM = "A train leaves the city at nine and travels sixty miles an hour for three hours before it stops"
_QUOTED = ITEM.lower().replace(" ", "  \n")


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (f"> {_QUOTED}\n\nThat is 180 miles.", 1),
        (ITEM.replace("nine and", "nine sharp, fully loaded, and"), 1),  # words put in do not count
        (ITEM.replace("for three hours before it stops", ""), 13 / 19),  # what is left out does
        ("It leaves the city at nine and travels sixty miles, as all do.", None),  # eight in a row are too few
        ("Nine trains stop in the city every three hours and travel on before it is sixty", None),
    ],
)
def test_the_share_is_that_of_the_item(text: str, share: float | None) -> None:
    hits = _screen([ITEM]).hits(pl.Series(["Nothing.", text]))
    assert hits.schema == HITS
    assert hits.drop("offset").rows() == ([] if share is None else [(1, 0, pytest.approx(share))])


def test_strict_needs_more_words_in_a_row() -> None:
    changed = ITEM.replace("travels", "goes").replace("before", "until")
    assert _screen([ITEM]).hits(pl.Series([changed])).height == 1
    assert _screen([ITEM], strict=True).hits(pl.Series([changed])).is_empty()
    assert _screen([ITEM], strict=True).hits(pl.Series([f"He said: {ITEM}!"])).height == 1


def test_addresses_are_no_words() -> None:
    address = "https://example.org/a/long/path/with-many-words/in-it/that/others/have/as/well.html"
    assert _screen([f"See {address} for this and for all of that"]).hits(pl.Series([f"Look at {address}"])).is_empty()


def test_the_item_with_most_words_in_a_text_is_named() -> None:
    items = [ITEM.replace("miles an hour for three hours before it stops", "or more"), ITEM]
    assert _screen(items).hits(pl.Series([ITEM]))["item"].to_list() == [1]


@pytest.mark.parametrize("different", [4, 1_000_000])
def test_items_of_ten_thousand_words_are_found_also_of_few_different_ones(different: int) -> None:
    """Among as many short ones; no word by word comparison takes the square of the length."""
    chance = random.Random(different)
    item = [f"w{chance.randrange(different)}" for _ in range(10_000)]
    changed = [word if chance.random() > 0.1 else "changed" for word in item]
    screen = _screen([" ".join(item), *["yes", "none of the above", ""] * 3_000])
    began = time.process_time()
    hits = screen.hits(pl.Series(["a b c " + " ".join(changed), "w1 yes", " ".join(item[:9])]))
    assert hits["row"].to_list() == [0]
    assert hits["share"][0] == pytest.approx(0.9, abs=0.05)
    assert time.process_time() - began < 10


def test_short_items_are_not_seen() -> None:
    screen = _screen(["", "What is two and two?", ITEM])
    assert screen.is_unseen.tolist() == [True, True, False]
    assert screen.hits(pl.Series(["What is two and two?", ""])).is_empty()


def test_hits_do_not_depend_on_how_much_is_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    items = [" ".join(_words(chance, 15)) for _ in range(20)]
    texts = pl.Series([" ".join([*_words(chance, 10), chance.choice(items)]) for _ in range(50)] + ["", " "])
    whole = _screen(items).hits(texts)
    monkeypatch.setattr(grams, "_CHARS_EACH", 100)
    assert _screen(items).hits(texts).equals(whole)
    assert whole.height == 50


def test_words_have_the_same_numbers_wherever_they_are() -> None:
    texts = pl.Series(["a bc a", "", "é 短い a", "cb"])
    numbers = grams.word_numbers(texts)
    words = " ".join(texts).split()
    by_word = dict(zip(words, numbers.hashes.tolist(), strict=True))
    assert [by_word[word] for word in words] == numbers.hashes.tolist()
    assert len(set(by_word.values())) == len(by_word)
    assert np.diff(numbers.offsets).tolist() == [3, 0, 3, 1]
