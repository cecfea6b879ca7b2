"""Environment variables: one for the store of every command, and a warning for those that nothing reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import click

#: How all variables of this program begin.
PREFIX = "SHP_MINER_"

#: The variable that names the store for every command.
STORE = f"{PREFIX}STORE"

#: Variables that only this project's tests read.
_OF_TESTS = (f"{PREFIX}TEST_", f"{PREFIX}FUZZ_")


class StoreOption(click.Option):
    """`--store`: the command's own variable comes before the one for every command."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value from the environment, None if neither variable has one."""
        return super().resolve_envvar_value(ctx) or os.environ.get(STORE) or None


def unknown_variables(ctx: click.Context, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each SHP_MINER_ variable that nothing reads, with the nearest name that is read.

    `ctx` is the context of the whole program. Commands are imported only to check variables that bear their names, and
    all of them only for an unknown one.
    """
    ours = sorted(name for name in environment if name.startswith(PREFIX) and not name.startswith(_OF_TESTS))
    group = ctx.command
    if not ours or not isinstance(group, click.Group):
        return []
    known = {STORE, *_credentials()}
    strange = [name for name in ours if name not in known]
    for command in group.list_commands(ctx):
        of_command = f"{PREFIX}{_word(command)}_"
        if any(name.startswith(of_command) for name in strange):
            known.update(_variables(group, ctx, command))
    strange = [name for name in strange if name not in known]
    if strange:
        known.update(name for command in group.list_commands(ctx) for name in _variables(group, ctx, command))
    return [_sentence(name, sorted(known)) for name in strange]


def _sentence(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.8)
    what = f"Did you mean {near[0]}?" if near else "`shp-miner docs cli` lists the variables of each command."
    return f"Warning: no command reads the environment variable {name}. {what}"


def _credentials() -> Iterator[str]:
    from shp_miner.sources.table import ROWS

    return (credential.variable for row in ROWS.values() for credential in row.credentials)


def _variables(group: click.Group, parent: click.Context, name: str) -> Iterator[str]:
    """Yield the variables of a command, and of the commands inside it."""
    command = group.get_command(parent, name)
    if command is None:
        return
    settings: dict[str, Any] = {"info_name": name, "parent": parent, "resilient_parsing": True}
    with click.Context(command, **settings) as ctx:
        for parameter in command.params:
            if parameter.expose_value and isinstance(parameter, click.Option):
                yield f"{ctx.auto_envvar_prefix}_{_word(str(parameter.name))}"
        if isinstance(command, click.Group):
            for inner in command.list_commands(ctx):
                yield from _variables(command, ctx, inner)


def _word(name: str) -> str:
    return name.upper().replace("-", "_")
