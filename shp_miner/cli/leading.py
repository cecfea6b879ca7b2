"""Options that every command has may also be given before its name: `shp-miner --store DIR stats`."""

from __future__ import annotations

from collections.abc import Sequence

import click

_FLAGS = frozenset({"--json", "-q", "--quiet", "-v", "--verbose"})
_WITH_VALUE = "--store"

#: Under this key click's `meta` has the whole command line.
WORDS = "shp_miner.words"


def behind_the_name(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the common options in front moved behind the command's name."""
    front: list[str] = []
    rest = list(arguments)
    while rest and (rest[0] in _FLAGS or rest[0].partition("=")[0] == _WITH_VALUE):
        count = 2 if rest[0] == _WITH_VALUE else 1
        front += rest[:count]
        rest = rest[count:]
    if not rest:  # no command: the help says which there are
        return []
    return rest if rest[0].startswith("-") else [rest[0], *front, *rest[1:]]


class LeadingGroup(click.Group):
    """A group that takes the common options of its commands before their names, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments with the common options moved."""
        ctx.meta.setdefault(WORDS, list(args))
        return super().parse_args(ctx, behind_the_name(args))
