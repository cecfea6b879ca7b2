"""Options that choose communities, sites, a version and a rule: each is made here for all commands that take it."""

from __future__ import annotations

from typing import Protocol, Unpack

import click

from shp_miner.cli.grouped import Attributes, Command, option_of
from shp_miner.cli.names import Commas, CommunityName, FormatName, RuleName, flat, formats

#: What the help of a repeatable option ends with.
REPEATABLE = "Repeatable, or with commas"


class _Adds(Protocol):
    """A decorator that adds an option to a command."""

    def __call__(self, command: Command, /) -> Command: ...


def communities_option(verb: str, group: str = "") -> _Adds:
    """Return what adds --community, and its other name --subreddit, to a command that reads a store or an export.

    Names with commas are parted where the stored names are known, because such names may have commas.
    """
    return _option(
        group,
        "--community",
        "--subreddit",
        "communities",
        type=CommunityName(),
        multiple=True,
        help=f"{verb} only this community (NAME or r/NAME, in any letter case). {REPEATABLE}.",
    )


def unread_communities_option(help_text: str, group: str = "") -> _Adds:
    """Return what adds --community and --subreddit to a command that names communities before they are read."""
    return _option(
        group,
        "--community",
        "--subreddit",
        "communities",
        type=Commas(),
        callback=flat,
        multiple=True,
        help=f"{help_text} {REPEATABLE}.",
    )


def sites_option(verb: str, group: str = "") -> _Adds:
    """Return what adds a repeatable --site to a command."""
    return _option(
        group,
        "--site",
        "sites",
        type=Commas(),
        callback=flat,
        multiple=True,
        help=f"{verb} only this site (for example lemmy.world). {REPEATABLE}.",
    )


def as_of_option(help_text: str, group: str = "") -> _Adds:
    """Return what adds --as-of to a command; the store itself reads the value."""
    return _option(group, "--as-of", metavar="VERSION|TIME", help=help_text)


def rule_option(help_text: str, group: str = "") -> _Adds:
    """Return what adds --rule to a command, in any letter case and completed in a shell."""
    return _option(group, "--rule", type=RuleName(), metavar="TEXT", default="shp", show_default=True, help=help_text)


def formats_option(group: str = "") -> _Adds:
    """Return what adds --format to a command that writes one format or several."""
    return _option(
        group,
        "--format",
        "formats",
        type=Commas(FormatName()),
        callback=formats,
        metavar="TEXT",
        multiple=True,
        default=("pairs",),
        show_default=True,
        help=f"Write this format; see `shp-miner docs formats`. {REPEATABLE}: trl,kto.",
    )


def _option(group: str, *declarations: str, **attributes: Unpack[Attributes]) -> _Adds:
    return option_of(group, *declarations, **attributes) if group else click.option(*declarations, **attributes)
