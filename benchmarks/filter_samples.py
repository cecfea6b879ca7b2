"""Texts that each filter of `--clean` drops and keeps, whole, to be read one by one.

    uv run --group dev --extra lab python -m benchmarks.filter_samples STORE [--only drop_links ...] [--count 20]

All live answers of the store are judged, whether the rule takes them or not; pairs are those of the rule `shp`. What is
read is drawn by a hash of the filter and the ids, so that the same store gives the same samples. Kept ones are drawn
where a mistake is likely: near the bound, or with the words that the filter looks for. docs/cleaning.md has what was
found.

Caps and matched lengths choose by hashes of ids and not by texts, so there is nothing to read.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shp_miner import clean_profile
from shp_miner.clean.buckets import band_numbers, pairs_in_buckets
from shp_miner.clean.chain import edited, reasons_of
from shp_miner.clean.grams import plain_words
from shp_miner.clean.near import LEAST_ANSWER_CHARS, near_equal
from shp_miner.clean.personal import mask_personal
from shp_miner.clean.stripped import has_link, letters, without_links, without_quotes
from shp_miner.lab.threads import KEY, Threads
from shp_miner.rules.presets import preset
from shp_miner.store import Store
from shp_miner.store.snapshot import EVERYTHING
from shp_miner.tally import Tally
from shp_miner.text.clean import clean_bodies, clean_titles

_TEXT = pl.col("text")
_UNQUOTED = without_quotes(_TEXT)
_OWN = letters(without_links(_UNQUOTED))
_WORDS = _TEXT.str.count_matches(r"\S+")


class Sampled(NamedTuple):
    """A filter of answers by its parameter: the value, and where kept answers are drawn."""

    value: Any
    near: pl.Expr


#: Filters that look at an answer alone.
ANSWERS = {
    "drop_bots": Sampled(True, _TEXT.str.contains(r"(?i)\bbot\b|automat|\^\^|beep")),
    "drop_quotes": Sampled(True, (_UNQUOTED != _TEXT) & (letters(_UNQUOTED) < 60)),
    "drop_links": Sampled(True, has_link(_UNQUOTED) & (_OWN < 60)),
    "drop_near_empty": Sampled(True, _OWN < 25),
    "drop_leaning": Sampled(
        True,
        _TEXT.str.contains(r"(?i)^.{0,40}\b(?:said|mentioned|agree|others?|above)\b") & (_TEXT.str.len_chars() < 300),
    ),
    "same_language": Sampled(True, letters(_TEXT).is_between(40, 90)),
    "languages": Sampled(["en"], letters(_TEXT).is_between(40, 90)),
    "min_words": Sampled(5, _WORDS < 8),
    "max_words": Sampled(1000, _WORDS > 800),
}
#: Edits of texts: what is drawn of those that they leave alone.
EDITS = {
    "cut_quotes": pl.col("text").str.contains(r"(?m)^.{0,4}>|\[quote"),
    "cut_thanks": pl.col("text").str.contains(r"(?i)\b(?:edit|update|eta)\b.{0,300}$"),
    "personal": pl.col("text").str.contains(r"@\w|\(at\)|\d[\d ().-]{6,}\d|(?:[0-9a-fA-F]{1,4}:){3}"),
}
#: Filters of two texts: the least similarity of kept ones.
PAIRS = {"max_similarity": 0.4, "near_duplicates": 0.4}
SIMILAR = 0.8


def main() -> None:
    """Print the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--only", nargs="*", default=[*ANSWERS, *EDITS, *PAIRS], help="these filters; default: all")
    parser.add_argument("--count", type=int, default=20, help="texts to print of each kind")
    asked = parser.parse_args()
    posts, answers = texts_of(asked.store)
    for name in asked.only:
        if name in ANSWERS:
            sampled = ANSWERS[name]
            reasons = reasons_of(answers, "answer", clean_profile(**{name: sampled.value}))
            show(name, answers, reasons.is_not_null(), sampled.near, asked.count, reasons=reasons)
        elif name in EDITS:
            items = answers if name == "cut_quotes" else pl.concat([posts, answers], how="diagonal")
            after = EDITED[name](items["text"])
            show(name, items, after != items["text"], EDITS[name], asked.count, after=after)
        else:
            pairs = PAIRED[name](asked.store, posts, answers)
            show(name, pairs, pairs["dropped"], pl.col("similarity") >= PAIRS[name], asked.count)


def texts_of(store: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The live posts and answers with clean `text`; answers also with `title` and `question`, the post's text."""
    snapshot = Store(store).snapshot()
    posts, answers = (
        snapshot.bodies(name, EVERYTHING, rows.filter(pl.col("state") == "live"))
        for name, (rows, _) in (("posts", snapshot.posts(EVERYTHING)), ("answers", snapshot.answers(EVERYTHING)))
    )
    titles = clean_titles(posts["title"], posts["body_format"])
    posts = posts.with_columns(titles, body=clean_bodies(posts["body"], posts["body_format"]))
    posts = posts.with_columns(text=pl.concat_str("title", "body", separator="\n\n").str.strip_chars())
    answers = answers.with_columns(text=clean_bodies(answers["body"], answers["body_format"])).filter(_TEXT != "")
    asked = posts.select(*KEY[:3], "title", pl.col("text").alias("question"))
    return posts, answers.join(asked, on=KEY[:3], how="left").with_columns(pl.col("question").fill_null("")).sort(KEY)


EDITED: dict[str, Callable[[pl.Series], pl.Series]] = {
    "cut_quotes": lambda texts: edited(texts, "answer", clean_profile(cut_quotes=True), Tally()),
    "cut_thanks": lambda texts: edited(texts, "answer", clean_profile(cut_thanks=True), Tally()),
    "personal": lambda texts: mask_personal(texts).texts,
}


def similar_pairs(store: Path, _: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """The pairs of the rule with both texts, their similarity, and whether `max_similarity` drops them."""
    pairs = Threads.read(Store(store).snapshot()).pairs(preset("shp", allow_unknown_age=True))
    for side in ("winner", "loser"):
        texts = answers.select(*KEY, "community", pl.col("text").alias(f"{side}_text"))
        texts = texts if side == "winner" else texts.drop("community")
        pairs = pairs.join(texts, left_on=[*KEY[:3], f"{side}_id"], right_on=KEY, how="inner")
    reasons = reasons_of(pairs, "pair", clean_profile(max_similarity=SIMILAR))
    own = [pairs.select(without_quotes(pl.col(f"{side}_text"))).to_series() for side in ("winner", "loser")]
    return pairs.with_columns(
        pl.Series("similarity", [similarity(*both) for both in zip(*map(plain_words, own), strict=True)]),
        text=pl.concat_str("winner_text", pl.lit("\n---- and ----\n"), "loser_text"),
        answer_id=pl.concat_str("winner_id", pl.lit(" "), "loser_id"),
        dropped=reasons.is_not_null(),
    )


def near_pairs(_store: Path, posts: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """The posts, and the answers of 100 characters and more, that are worth comparing, two and two."""
    found = []
    long = answers.filter(_TEXT.str.len_chars() >= LEAST_ANSWER_CHARS)
    for items in (posts.with_columns(answer_id=pl.lit("post")), long):
        words = plain_words(items["text"])
        numbers, rows = band_numbers(words)
        first, second = (rows[side] for side in pairs_in_buckets(numbers, rows))
        both = np.unique(np.stack([first, second]), axis=1)
        first, second = both[:, both[0] != both[1]]
        one, other = items[first], items[second]
        alike = [similarity(words[int(a)], words[int(b)]) for a, b in zip(first, second, strict=True)]
        where = pl.Series(["", " (one thread)"]).gather((one["thread_hash"] == other["thread_hash"]).cast(pl.UInt32))
        found.append(
            one.select(*KEY, "community", "title").with_columns(
                pl.Series("similarity", alike),
                pl.Series("dropped", near_equal(words, first, second)),
                text=one["text"] + "\n---- and ----\n" + other["text"],
                answer_id=one["answer_id"] + " " + other["answer_id"] + where,
            )
        )
    return pl.concat(found)


PAIRED: dict[str, Callable[[Path, pl.DataFrame, pl.DataFrame], pl.DataFrame]] = {
    "max_similarity": similar_pairs,
    "near_duplicates": near_pairs,
}


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of the runs of five characters of two texts of `plain_words`."""
    first, second = ({text[at : at + 5] for at in range(max(len(text) - 4, 1))} for text in (one, other))
    return len(first & second) / len(first | second)


def show(
    name: str,
    items: pl.DataFrame,
    dropped: pl.Series,
    near: pl.Expr,
    count: int,
    *,
    reasons: pl.Series | None = None,
    after: pl.Series | None = None,
) -> None:
    """Print some of the dropped or changed items, and some of the kept ones that are near the bound."""
    rows = items.with_columns(
        gone=dropped,
        near=near.fill_null(value=False),
        reason=pl.lit("") if reasons is None else reasons,
        after=pl.lit("") if after is None else after,
    )
    kept = rows.filter(~pl.col("gone") & pl.col("near"))
    for title, part in (("dropped or changed", rows.filter("gone")), ("kept, near the bound", kept)):
        drawn = sorted(part.iter_rows(named=True), key=lambda row: _draw(name, row))[:count]
        print(f"\n======== {name}: {title}: {len(drawn)} of {part.height:,} (of {rows.height:,})")
        for number, row in enumerate(drawn, 1):
            which = f"{row['community']}, {row['answer_id'] or 'post'} {row['reason'] or ''}"
            print(f"\n---- {number}. {which}: {row.get('title')}")
            changed = title.startswith("dropped") and row["after"]
            print("\n".join(_difference(row["text"].split("\n"), row["after"].split("\n"))) if changed else row["text"])


def _draw(name: str, row: dict[str, Any]) -> bytes:
    key = "\0".join([name, *(str(row[part]) for part in KEY[1:])])
    return hashlib.blake2b(key.encode()).digest()


def _difference(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The whole text, with the lines that an edit changes or cuts behind a minus, and those it writes behind a plus."""
    kept = set(after)
    lines = [line if line in kept else f"-{line}" for line in before]
    return lines + [f"+{line}" for line in after if line not in set(before)]


if __name__ == "__main__":
    main()
