"""Texts that hold an item of an evaluation set, such as a test question: found by runs of words, decided by the item.

A text is looked at for an item if they have a run of words in common (eight by default). It holds the item if enough of
the *item's* words are in that place of the text, in the item's order; words that were put in, left out or changed are
gaps, and do not count. So a long answer that quotes a short question holds it, and a common phrase is not enough.

The share counts runs of two words and more. A paraphrase that keeps no run of the item is not seen.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.clean.grams import Grams, batches, plain_words, word_grams, word_numbers
from shp_miner.rules.hashing import Hashes

Preset = Literal["default", "strict"]

#: The words in a row that a text and an item must have in common, by preset. `strict` sees little but quotations.
WORDS_IN_A_ROW: dict[Preset, int] = {"default": 8, "strict": 13}

#: A text holds an item if it has this share of the item's words.
LEAST_SHARE = 0.6

#: The items that are compared with a text word by word: those with the most and rarest runs in common.
_MOST_ITEMS = 16

#: What a run counts that one item alone has, to choose them.
_WHOLE_WEIGHT = 1_000_000

#: The runs that are counted as the item's, in words: single words are in place by chance.
_COUNTED_RUN = 2

#: Places in an item and places in a text with the same word, taken together: from so many on (a word is repeated a
#: thousand times) words are counted one by one, in parts of so many words.
_MOST_PLACES, _PART = 4_000_000, 4_096

#: Bits of the table that says at once that most runs are in no item, for each run in an item, and at most.
_TABLE_BITS, _MOST_TABLE_BITS = 5, 27

_ADDRESS = r"(?i)(?:https?://|//[a-z0-9-]+\.|\bwww\.)[^\s)>\]]*"

#: A hit: the row of the text, the row of the item, the share of the item's words that the text has, and the word of the
#: text (`screened_words`) at which the item would begin; below 0 if its beginning is not there.
HITS = {"row": pl.Int64, "item": pl.Int64, "share": pl.Float64, "offset": pl.Int64}


class Screen:
    """Items to screen texts for. Items with fewer words than a run cannot be seen: `is_unseen` says which."""

    def __init__(self, words: Grams, preset: Preset, labels: pl.Series | None = None) -> None:
        """Take the hashes of the words of each item (`item_words`); `labels` name the items for people."""
        self.labels = pl.Series(range(len(words.offsets) - 1)).cast(pl.String) if labels is None else labels
        self._words, self._size = words, WORDS_IN_A_ROW[preset]
        runs = word_grams(words, self._size)
        counts = np.diff(runs.offsets)
        self.is_unseen = counts == 0
        item = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(item)) - np.repeat(runs.offsets[:-1], counts)
        # Of a run that an item has several times, the first: "ha ha ha" would be compared with itself everywhere.
        order = np.lexsort((place, item, runs.hashes))
        by_run, by_item = runs.hashes[order], item[order]
        is_first = np.concatenate([[True], (by_run[1:] != by_run[:-1]) | (by_item[1:] != by_item[:-1])])[: len(order)]
        self._runs, self._item, self._place = by_run[is_first], by_item[is_first], place[order][is_first]
        bits = min(max(len(item), 1).bit_length() + _TABLE_BITS, _MOST_TABLE_BITS)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[self._runs >> self._shift] = True

    def hits(self, texts: pl.Series) -> pl.DataFrame:
        """Return the texts that hold an item, each with the item of which it has most, as HITS by row."""
        found: list[tuple[int, int, float, int]] = []
        start = 0
        for batch in batches(texts):
            words = word_numbers(screened_words(batch))
            found += [(start + row, *hit) for row, hit in self._best(words)]
            start += len(batch)
        return pl.DataFrame(found, HITS, orient="row")

    def _best(self, words: Grams) -> list[tuple[int, tuple[int, float, int]]]:
        best: dict[int, tuple[int, float, int]] = {}
        for row, item, offset in self._candidates(words).select("row", "item", "offset").iter_rows():
            share = self._share(words.of(row), item, offset)
            most = best.get(row)
            if share >= LEAST_SHARE and (most is None or (share, -item) > (most[1], -most[0])):
                best[row] = (item, share, offset)
        return sorted(best.items())

    def _candidates(self, words: Grams) -> pl.DataFrame:
        """Return which texts have runs of which items, and where the item would begin in the text (`offset`)."""
        runs = word_grams(words, self._size)
        maybe = np.flatnonzero(self._table[runs.hashes >> self._shift])
        first = np.searchsorted(self._runs, runs.hashes[maybe], "left")
        counts = np.searchsorted(self._runs, runs.hashes[maybe], "right") - first
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        match, run = np.repeat(first, counts) + nth, np.repeat(maybe, counts)
        row = np.searchsorted(runs.offsets, run, "right") - 1
        offset = run - runs.offsets[row] - self._place[match]
        # A run that many items have, such as "which of the following is", says little about which item it is.
        weight = _WHOLE_WEIGHT // np.repeat(counts, counts)
        found = pl.DataFrame({"row": row, "item": self._item[match], "offset": offset, "weight": weight})
        # Quoted in two places, the item is looked at in the one with more of its runs.
        found = found.group_by("row", "item", "offset").agg(pl.col("weight").sum())
        found = found.sort("row", "item", "weight", "offset", descending=[False, False, True, False])
        found = found.group_by("row", "item", maintain_order=True).agg(pl.col("offset").first(), pl.col("weight").sum())
        most = found.sort("row", "weight", "item", descending=[False, True, False])
        return most.group_by("row", maintain_order=True).head(_MOST_ITEMS)

    def _share(self, text: Hashes, item: int, offset: int) -> float:
        """Return the share of an item's words that are in a text, in order, about where the item would begin."""
        wanted = self._words.of(item)
        slack = len(wanted) // 4 + 2
        there = text[max(offset - slack, 0) : offset + len(wanted) + slack]
        if len(there) < LEAST_SHARE * len(wanted):
            return 0.0
        if len(wanted) * len(there) > _MOST_PLACES and _places(wanted, there) > _MOST_PLACES:
            return _words_in_order(wanted, text, offset) / len(wanted)
        blocks = SequenceMatcher(None, wanted.tolist(), there.tolist(), autojunk=False).get_matching_blocks()
        return sum(block.size for block in blocks if block.size >= _COUNTED_RUN) / len(wanted)


def _places(first: Hashes, second: Hashes) -> int:
    """How many pairs of places, one in each, have the same word."""
    second = np.sort(second)
    return int((np.searchsorted(second, first, "right") - np.searchsorted(second, first, "left")).sum())


def _words_in_order(wanted: Hashes, text: Hashes, offset: int) -> int:
    """Return how many words of an item a text has in their order, single ones too: in parts, each by all of its bits.

    The longest common subsequence of each part with the text about its place (Hyyro 2004, "Bit-parallel LCS-length
    computation revisited").
    """
    slack, found = min(len(wanted) // 4 + 2, _PART), 0
    for start in range(0, len(wanted), _PART):
        part = wanted[start : start + _PART].tolist()
        places: dict[int, int] = {}
        for place, word in enumerate(part):
            places[word] = places.get(word, 0) | 1 << place
        whole = left = (1 << len(part)) - 1
        for word in text[max(offset + start - slack, 0) : max(offset + start + len(part) + slack, 0)].tolist():
            here = left & places.get(word, 0)
            left = (left + here | left - here) & whole
        found += len(part) - left.bit_count()
    return found


def screened_words(texts: pl.Series) -> pl.Series:
    """Return texts as `plain_words` without addresses: those of one site have many parts in common."""
    return plain_words(texts.str.replace_all(_ADDRESS, " "))


def item_words(items: pl.Series) -> Grams:
    """Return the hashes of the words of each item, from its text."""
    parts = [word_numbers(screened_words(batch)) for batch in batches(items)]
    hashes: npt.NDArray[np.uint64] = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)])
    counts = np.concatenate([np.empty(0, np.int64), *(np.diff(part.offsets) for part in parts)])
    return Grams(hashes, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]))
