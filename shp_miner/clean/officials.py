"""What moderators and admins wrote in their role, and accounts that the platform marks as bots."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.filter import ItemFilter
from shp_miner.rules.eligibility import by_platform
from shp_miner.rules.presets import Rule


def _moderator(rule: Rule) -> pl.Expr:
    """Whether the author spoke as one of those who run the place; with `drop_staff`, also whether they only are one."""
    is_rank = pl.lit(value=False) if rule.drop_staff else by_platform("roles_are_ranks", None)
    return pl.col("author_role").is_in(["moderator", "admin"]) & ~is_rank


def _bot(_: Rule) -> pl.Expr:
    return pl.col("author_role") == "bot"


MODERATOR = ItemFilter("author_moderator", _moderator)
BOT_ANSWER = ItemFilter("author_bot", _bot)
#: Posts of bots are left out only where roles are ranks (`rules/profiles.py`).
BOT_POST = ItemFilter("author_bot", lambda rule: _bot(rule) & by_platform("roles_are_ranks", None))
