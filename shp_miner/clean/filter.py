"""What a filter and an edit are: the common form of everything in this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from shp_miner.clean.cleaning import Cleaning
from shp_miner.rules.presets import Rule

#: What a filter judges: posts, answers, pairs of answers, or pairs once the rule's sample of each post is drawn.
Kind = Literal["post", "answer", "pair", "sample"]


@dataclass(frozen=True)
class Filter:
    """Says which rows of a frame of texts are left out, and why.

    switches: the fields of Cleaning that turn it on, where any is set. kinds: what it judges. reasons: gives the reason
    of each row that is left out and null for the others (String), as many as the frame has rows, in its order.

    Frames of posts have the columns of POST and `text` (title and body); those of answers the columns of ANSWER, `text`
    and `question` (the post's text); those of pairs `question`, and of both sides `winner_` and `loser_` with
    `answer_id`, `author`, `author_id` and `text`, the row numbers `winner` and `loser`, THREAD, `community` and
    `pair_hash`. Texts are clean Markdown.
    """

    switches: tuple[str, ...]
    kinds: tuple[Kind, ...]
    reasons: Callable[[pl.DataFrame, Cleaning], pl.Series]

    def is_on(self, cleaning: Cleaning) -> bool:
        """Return whether any of its parameters is set."""
        return is_on(self.switches, cleaning)


@dataclass(frozen=True)
class ItemFilter:
    """Says which posts or answers are left out for what a platform tells of them, before any text is read.

    `holds` is the condition by a rule's parameters on rows of POST or ANSWER (answers also have `author_post` and
    `author_id_post`); one that is null does not hold. `judge_posts` and `judge_answers` apply it.
    """

    reason: str
    holds: Callable[[Rule], pl.Expr]

    def of(self, rule: Rule) -> tuple[str, pl.Expr]:
        """Return the reason and the condition that a rule makes of it."""
        return self.reason, self.holds(rule)


@dataclass(frozen=True)
class Edit:
    """Changes texts: titles and bodies of posts, and answers. `note` is the reason under which changes are counted."""

    switches: tuple[str, ...]
    note: str
    texts: Callable[[pl.Series, Cleaning], pl.Series]
    kinds: tuple[str, ...] = ("title", "post", "answer")

    def is_on(self, cleaning: Cleaning) -> bool:
        """Return whether any of its parameters is set."""
        return is_on(self.switches, cleaning)


def is_on(switches: tuple[str, ...], cleaning: Cleaning) -> bool:
    """Return whether any of these fields differs from what a profile that cleans nothing has."""
    return any(getattr(cleaning, name) != getattr(_OFF, name) for name in switches)


_OFF = Cleaning()


def first_of(*conditions: tuple[str, pl.Expr]) -> pl.Expr:
    """Return for each row the name of the first condition that holds, else null; one that is null does not hold."""
    return pl.coalesce(*(pl.when(holds).then(pl.lit(name)) for name, holds in conditions), pl.lit(None, pl.String))
