"""How many near-equal texts and planted test items are found, how many others by mistake, and how fast.

    uv run python -m benchmarks.leaks --store DIR

Reads the answers of a store. Near-equal texts: a copy of each with a tenth of its words replaced by words of other
answers, drawn as often as they occur, or each distinct word as likely as any other. Test items: 20, 40 and 80 words
from answers of half of the threads, put into answers of the other half with a tenth of the words replaced. Alarms are
answers of that half, as they are, that are said to hold an item: quotations in both halves are among them, and
`--show` prints them. Times are CPU seconds of one core.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import polars as pl

from shp_miner.clean.buckets import band_numbers, pairs_in_buckets, text_numbers
from shp_miner.clean.grams import plain_words
from shp_miner.clean.near import near_equal
from shp_miner.clean.overlap import WORDS_IN_A_ROW, Preset, Screen, item_words, screened_words
from shp_miner.store import Store
from shp_miner.store.snapshot import EVERYTHING
from shp_miner.text.clean import clean_bodies

#: Random pairs of different texts that are compared exactly, and copies and items of each kind.
RANDOM_PAIRS, COPIES, ITEMS = 1_000_000, 5_000, 2_000

#: The share of words that is replaced.
REPLACED = 0.1


def answers_of(store: Path) -> pl.DataFrame:
    """Return the live answers of 100 characters and more: `thread_hash` and clean `text`, in a fixed order."""
    snapshot = Store(store).snapshot()
    answers, _ = snapshot.answers(EVERYTHING)
    answers = snapshot.bodies("answers", EVERYTHING, answers.filter(pl.col("state") == "live"))
    answers = answers.with_columns(text=clean_bodies(answers["body"], answers["body_format"]))
    return answers.filter(pl.col("text").str.len_chars() >= 100).sort("thread_hash", "answer_id")


class Change:
    """Replaces a tenth of the words of a text by words of other texts, as often as they occur there or `evenly`."""

    def __init__(self, texts: pl.Series, seed: int, *, evenly: bool = False) -> None:
        """Take the words of these texts."""
        self._random = random.Random(seed)
        self._words = [word for text in texts.sample(min(5_000, len(texts)), seed=seed) for word in text.split()]
        if evenly:
            self._words = sorted(set(self._words))

    def __call__(self, words: list[str]) -> list[str]:
        """Return a changed copy."""
        changed = list(words)
        for place in self._random.sample(range(len(words)), max(round(len(words) * REPLACED), 1)):
            changed[place] = self._random.choice(self._words)
        return changed


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def near(texts: pl.Series) -> None:
    """Print what is found of changed copies, wrong matches of random pairs, and the speed."""
    megabytes = texts.str.len_bytes().sum() / 1e6
    signing_s = timed(lambda: [text_numbers(words := plain_words(texts)), band_numbers(words)])
    words = plain_words(texts)
    print(f"near-equal: {len(texts):,} answers, {megabytes:.1f} MB")
    for evenly in (False, True):
        _copies(words, evenly=evenly)
    chance = np.random.default_rng(1)
    few = words.sample(min(2_000, len(words)), seed=2)
    a, b = chance.integers(0, len(few), (2, RANDOM_PAIRS))
    a, b = a[a != b], b[a != b]
    wrong: np.ndarray = np.empty(0)

    def compare() -> None:
        nonlocal wrong
        wrong = near_equal(few, a, b)

    comparing_s = timed(compare)
    print(f"  random pairs said to be near-equal: {int(wrong.sum())} of {len(a):,}")
    print(f"  {megabytes / signing_s:.1f} MB/s to numbers, {len(a) / comparing_s:,.0f} comparisons/s")


def _copies(words: pl.Series, *, evenly: bool) -> None:
    sample = words.sample(min(COPIES, len(words)), seed=1)
    change = Change(words, 1, evenly=evenly)
    both = pl.concat([sample, pl.Series([" ".join(change(text.split())) for text in sample])])
    count = len(sample)
    place = np.arange(count)
    near_by = int(near_equal(both, place, place + count).sum())
    numbers, rows = band_numbers(both)
    first, second = (rows[side] for side in pairs_in_buckets(numbers, rows))
    found = near_equal(both, first, second)
    copies = len({int(a) for a, b, yes in zip(first, second, found, strict=True) if yes and b == a + count})
    drawn = "each distinct word alike" if evenly else "as often as they occur"
    print(f"  copies with {REPLACED:.0%} of the words replaced, {drawn}: {copies / count:.2%} of {count:,} found")
    print(f"    near-equal at all: {near_by / count:.2%}; of those, found: {copies / near_by:.2%}")


def overlap(answers: pl.DataFrame, *, show: bool) -> None:
    """Print what is found of planted items, the alarms, and the speed, by preset and length of the items."""
    is_source = answers["thread_hash"].to_numpy() % 2 == 0
    source, clean = screened_words(answers["text"].filter(is_source)), answers["text"].filter(~is_source)
    lists = [text.split() for text in source]
    print(f"test items in {len(clean):,} answers, {clean.str.len_bytes().sum() / 1e6:.1f} MB")
    for length in (20, 40, 80):
        chance, change = random.Random(length), Change(source, length)
        items = []
        for text in chance.sample([text for text in lists if len(text) >= length], ITEMS):
            start = chance.randrange(len(text) - length + 1)
            items.append(text[start : start + length])
        texts = pl.Series([" ".join(item) for item in items])
        planted = []
        for item, host in zip(items, clean.sample(ITEMS, seed=length, with_replacement=True), strict=True):
            words = host.split(" ")
            place = chance.randrange(len(words) + 1)
            planted.append(" ".join([*words[:place], *change(item), *words[place:]]))
        for preset in WORDS_IN_A_ROW:
            _screened(f"{length} words, {preset}", preset, texts, pl.Series(planted), clean, show=show)


def _screened(name: str, preset: Preset, items: pl.Series, planted: pl.Series, clean: pl.Series, *, show: bool) -> None:
    screen = Screen(item_words(items), preset)
    hits = screen.hits(planted)
    found = int((hits["row"] == hits["item"]).sum()) / len(items)
    alarms = pl.DataFrame()

    def look() -> None:
        nonlocal alarms
        alarms = screen.hits(clean)

    speed = clean.str.len_bytes().sum() / 1e6 / timed(look)
    share = alarms.height / len(clean)
    print(f"  {name}: {found:.2%} found, {alarms.height} alarms ({share:.3%}), {speed:.1f} MB/s")
    for row, item, covered, _ in alarms.iter_rows() if show else ():
        print(f"    {covered:.0%} of: {items[item]}\n    in: {clean[row]!r}")


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True, help="A store with answers.")
@click.option("--show", is_flag=True, help="Print the alarms.")
def main(store: Path, show: bool) -> None:
    """Print recall, mistakes and speed of both."""
    answers = answers_of(store)
    near(answers["text"])
    overlap(answers, show=show)


if __name__ == "__main__":
    main()
