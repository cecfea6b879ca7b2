"""Environment variables: one for each option, one for the store of every command, a warning for unknown ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import click

#: How all variables of this program begin.
PREFIX = "SHP_MINER_"

#: The variable that names the store for every command.
STORE = f"{PREFIX}STORE"

#: The variable that names the folder of this machine's own files about stores on object stores (`store/local.py`).
STATE = f"{PREFIX}STATE"

#: Variables that only this project's tests read.
_OF_TESTS = (f"{PREFIX}TEST_", f"{PREFIX}FUZZ_")


class StoreOption(click.Option):
    """`--store`: the command's own variable comes before the one for every command."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value from the environment, None if neither variable has one."""
        return super().resolve_envvar_value(ctx) or os.environ.get(STORE) or None


def name_variables(command: click.Command, prefix: str) -> None:
    """Give each option of a command, and of the commands inside it, the variables that are spelt as the option is.

    `prefix` is that of the command: with SHP_MINER_EXPORT, --min-score-age is SHP_MINER_EXPORT_MIN_SCORE_AGE. click by
    itself takes the name of Python's parameter, which nobody sees; it goes on to read that, too.
    """
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value:
            spelt = [name.removeprefix("--") for name in option.opts if name.startswith("--")]
            option.envvar = [f"{prefix}_{_word(name)}" for name in spelt]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            name_variables(inner, f"{prefix}_{_word(name)}")


def variables_of(option: click.Option, ctx: click.Context) -> list[str]:
    """Return the variables that an option's value may come from, the one to write first."""
    if not option.expose_value or ctx.auto_envvar_prefix is None:
        return []
    spelt = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or [])
    of_all = [STORE] if isinstance(option, StoreOption) else []
    return list(dict.fromkeys([*spelt, f"{ctx.auto_envvar_prefix}_{_word(str(option.name))}", *of_all]))


def unknown_variables(ctx: click.Context, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each SHP_MINER_ variable that nothing reads, with the nearest name that is read.

    `ctx` is the context of the whole program. Commands are imported only to check variables that bear their names, and
    all of them only for an unknown one.
    """
    ours = sorted(name for name in environment if name.startswith(PREFIX) and not name.startswith(_OF_TESTS))
    group = ctx.command
    if not ours or not isinstance(group, click.Group):
        return []
    known = {STORE, STATE, *_credentials()}
    strange = [name for name in ours if name not in known]
    for command in group.list_commands(ctx):
        of_command = f"{PREFIX}{_word(command)}_"
        if any(name.startswith(of_command) for name in strange):
            known.update(name for names in _named_variables(group, ctx, command) for name in names)
    strange = [name for name in strange if name not in known]
    if not strange:
        return []
    every = (names for command in group.list_commands(ctx) for names in _named_variables(group, ctx, command))
    suggested = {STORE, STATE, *_credentials(), *(names[0] for names in every)}
    return [_sentence(name, sorted(suggested)) for name in strange]


def _sentence(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.8)
    what = f"Did you mean {near[0]}?" if near else "`shp-miner docs cli` lists the variables of each command."
    return f"Warning: no command reads the environment variable {name}. {what}"


def _credentials() -> Iterator[str]:
    from shp_miner.sources.table import ROWS

    return (credential.variable for row in ROWS.values() for credential in row.credentials)


def _named_variables(group: click.Group, parent: click.Context, name: str) -> Iterator[list[str]]:
    """Yield the variables of each option of a command, and of the commands inside it."""
    command = group.get_command(parent, name)
    if command is None:
        return
    with click.Context(command, parent, info_name=name, resilient_parsing=True) as ctx:
        for parameter in command.params:
            if isinstance(parameter, click.Option) and (names := variables_of(parameter, ctx)):
                yield names
        if isinstance(command, click.Group):
            for inner in command.list_commands(ctx):
                yield from _named_variables(command, ctx, inner)


def _word(name: str) -> str:
    return name.upper().replace("-", "_")
