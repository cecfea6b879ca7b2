"""Near-equal posts and answers: which split each thread follows, and what is left out so that nothing is in two splits.

Items are taken in the order in which they were written, and each is decided by earlier ones alone. So what is written
later changes nothing for them:

- A post follows the split of the earliest post that it is near-equal to. If the posts it is near-equal to are in
  different splits, its thread is left out.
- An answer that is near-equal to an earlier one of another split is left out. An answer never moves its thread.

Where one of each is kept, a post or answer is also left out if an eligible one that it is near-equal to stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.clean.cleaning import Near
from shp_miner.clean.grams import Rows
from shp_miner.rules.eligibility import REASON

#: Reasons for which posts or answers are left out.
TWO_SPLITS = "near_two_splits"
OTHER_SPLIT = "near_other_split"
REPEATED = "near_earlier"

#: The reason of an answer whose post is left out; and the name of the reasons of SETTLED beside those of the rule.
POST_DROPPED, _NEAR = "post_dropped", "near_reason"

#: Columns that say which item it is; a post has no answer_id.
ITEM = ("thread_hash", "site", "post_id", "answer_id")

#: The outcome: what differs from what the items' hashes and the rule say.
SETTLED = {
    "thread_hash": pl.Int64, "site": pl.String, "post_id": pl.String, "answer_id": pl.String, "split": pl.UInt8,
    "reason": pl.String,
}  # fmt: skip

_Thread = tuple[int, str, str]
_Text = tuple[bool, int]  # whether it is an answer's, and the number of the text


def in_written_order(items: pl.DataFrame) -> pl.DataFrame:
    """Return items in the order in which they are decided: by time, and of one time by what names them."""
    return items.sort("created_at", "tie", *ITEM)


def settle(items: pl.DataFrame, first: Rows, second: Rows, near: Near) -> pl.DataFrame:
    """Return the items that follow another split or are left out, as SETTLED.

    items: ITEM, `text` (equal for equal texts), `split` (the number that the thread's hash gives) and `eligible` (by
    the rule), in written order. first and second: rows whose texts are near-equal, both of posts or both of answers;
    one row of each text is enough.
    """
    rows = items.select(*ITEM, "split", "eligible").rows()
    texts = list(zip(items["answer_id"].is_not_null().to_list(), items["text"].to_list(), strict=True))
    near_to = {text: {text} for text in texts}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        near_to[texts[a]].add(texts[b])
        near_to[texts[b]].add(texts[a])
    decided = _Decided(near_to, keep_one=near == "one")
    threads: dict[_Thread, int | None] = {}  # the splits of threads with near-equal posts; None: it is left out
    found = []
    # Posts come first, though some are younger than some answers: an answer moves no thread.
    for row in sorted(range(len(rows)), key=lambda row: texts[row][0]):
        *key, own, eligible = rows[row]
        thread: _Thread = (key[0], key[1], key[2])
        split: int | None
        if texts[row][0]:
            if (split := threads.get(thread, own)) is None:
                continue
            reason, new = decided.answer(row, texts[row], split), None
        else:
            split, reason = decided.post(row, texts[row], own, eligible=eligible)
            threads[thread] = None if reason else split
            new = split if split != own else None
        if reason or new is not None:
            found.append((*key, new, reason))
    return pl.DataFrame(found, SETTLED, orient="row")


@dataclass
class _Leaders:
    """The items with one text that later ones follow: the first row, its split, all splits, whether an item stays."""

    first: int
    split: int
    splits: set[int]
    stays: bool = False


class _Decided:
    """What was decided of the items so far, by their texts."""

    def __init__(self, near_to: Mapping[_Text, set[_Text]], *, keep_one: bool) -> None:
        self._near_to = near_to
        self._keep_one = keep_one
        self._leaders: dict[_Text, _Leaders] = {}

    def post(self, row: int, text: _Text, own: int, *, eligible: bool) -> tuple[int | None, str | None]:
        """Return the split of a post, and a reason if it is left out."""
        leaders = self._leaders_of(text)
        if len(set().union(*(of.splits for of in leaders))) > 1:
            return None, TWO_SPLITS
        split = min(leaders, key=lambda of: of.first).split if leaders else own
        is_repeated = self._keep_one and eligible and any(of.stays for of in leaders)
        # Who is left out or not eligible leads all the same, or scores would move threads.
        self._leads(row, text, split, stays=eligible and not is_repeated)
        return split, REPEATED if is_repeated else None

    def answer(self, row: int, text: _Text, split: int) -> str | None:
        """Return the reason for which an answer of a thread of `split` is left out, None if it stays."""
        leaders = self._leaders_of(text)
        if any(of.splits != {split} for of in leaders):
            return OTHER_SPLIT
        if leaders and self._keep_one:
            return REPEATED
        self._leads(row, text, split, stays=True)
        return None

    def _leaders_of(self, text: _Text) -> list[_Leaders]:
        return [self._leaders[near] for near in self._near_to[text] if near in self._leaders]

    def _leads(self, row: int, text: _Text, split: int, *, stays: bool) -> None:
        leaders = self._leaders.setdefault(text, _Leaders(row, split, set()))
        leaders.splits.add(split)
        leaders.stays |= stays


def without_near(
    posts: pl.DataFrame, answers: pl.DataFrame, settled: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return judged posts and answers with the reasons of SETTLED where they had none."""
    out = settled.filter(pl.col(REASON).is_not_null()).rename({REASON: _NEAR}).drop("split")
    of_post = out.filter(pl.col("answer_id").is_null()).drop("answer_id")
    of_answer = out.filter(pl.col("answer_id").is_not_null())
    posts = posts.join(of_post, on=ITEM[:3], how="left", maintain_order="left")
    lost = of_post.with_columns(pl.lit(POST_DROPPED).alias(_NEAR))
    answers = answers.join(lost, on=ITEM[:3], how="left", maintain_order="left").with_columns(
        pl.coalesce(REASON, _NEAR).alias(REASON)
    )
    answers = answers.drop(_NEAR).join(of_answer, on=ITEM, how="left", maintain_order="left")
    reason = pl.coalesce(REASON, _NEAR).alias(REASON)
    return posts.with_columns(reason).drop(_NEAR), answers.with_columns(reason).drop(_NEAR)


def own_splits(posts: pl.DataFrame, number: npt.NDArray[np.int8], settled: pl.DataFrame | None) -> pl.Series:
    """Return the number of each post's split: that of SETTLED, else the given one."""
    if settled is None:
        return pl.Series(number)
    moved = settled.filter(pl.col("split").is_not_null()).select(*ITEM[:3], "split")
    found = posts.select(ITEM[:3]).join(moved, on=ITEM[:3], how="left", maintain_order="left")["split"]
    return found.cast(pl.Int8).fill_null(pl.Series(number))
