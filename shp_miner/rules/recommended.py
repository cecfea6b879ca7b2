"""The rule to recommend: `shp` where it makes enough pairs, else the one made for what the platform tells.

The evidence is in docs/rules.md ("Which rule when").
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from msgspec import Struct

from shp_miner.rules.eligibility import COUNTS, THREAD
from shp_miner.rules.presets import Rule
from shp_miner.rules.reasons import CLEANED

#: The rule that is the default, and so many of its pairs are enough: from there on no other rule has taught more.
DEFAULT = "shp"
ENOUGH_PAIRS = 10_000

#: Readers count if this share of the comparable pairs has them for both answers.
_MOSTLY_READ = 0.5


class Comparable(Struct, frozen=True):
    """How many pairs of answers take part, whatever their scores; and of how many the readers of both are counted."""

    pairs: int = 0
    read: int = 0

    def __add__(self, other: Comparable) -> Comparable:
        return Comparable(self.pairs + other.pairs, self.read + other.read)


class Recommendation(Struct, frozen=True):
    """The recommended rule, and two sentences that say why; none if it is the default."""

    rule: str
    why: str = ""


def count_comparable(answers: pl.DataFrame, rule: Rule) -> Comparable:
    """Return the comparable pairs of judged answers (`judge_answers`): of at most as many a post as the rule takes."""
    threads = answers.filter(COUNTS).group_by(THREAD).agg(pairs=pl.len(), read=pl.col("reads").count())
    sizes = threads.select(pl.col("pairs", "read").cast(pl.Int64).clip(upper_bound=rule.max_answers_per_post))
    pairs, read = sizes.select((pl.all() * (pl.all() - 1) // 2).sum()).row(0)
    return Comparable(pairs, read)


def before_cleaning(pairs: int, dropped: Mapping[tuple[str, str], int]) -> int:
    """Return how many pairs a rule made, given those of an export and what was dropped, by kind and reason."""
    return pairs + sum(count for (kind, reason), count in dropped.items() if kind == "pair" and reason in CLEANED)


def recommend_rule(pairs: int, among: Comparable) -> Recommendation:
    """Return the rule to use where the default makes so many `pairs` among the comparable ones."""
    if pairs >= min(ENOUGH_PAIRS, among.pairs):
        return Recommendation(DEFAULT)
    kept = f"{DEFAULT} keeps {pairs:,} of {among.pairs:,} comparable pairs here."
    if among.read >= _MOSTLY_READ * among.pairs:
        return Recommendation("per-reader", f"{kept} The rule `per-reader` is made for forums that count readers.")
    return Recommendation(
        "comparisons",
        f"{kept} The rule `comparisons` is made for few votes: it keeps most pairs, with attention in a column.",
    )


def recommended_for(rule: Rule, pairs: int, among: Comparable) -> Recommendation | None:
    """Return what `recommend_rule` says of the pairs of a rule; None of a rule that is not the default."""
    return recommend_rule(pairs, among) if rule.name == DEFAULT else None
