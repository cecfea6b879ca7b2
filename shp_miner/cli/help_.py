"""`shp-miner help`: the help of a command, as other programs have it."""

from __future__ import annotations

import click

from shp_miner.cli.options import example
from shp_miner.cli.saying import say


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the commands that begin with what is typed."""
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    return [name for name in group.list_commands(ctx) if name.startswith(incomplete)]


@click.command("help", epilog=example("shp-miner help export", "shp-miner help import reddit-dump"))
@click.argument("names", nargs=-1, metavar="[COMMAND]...", shell_complete=_names)
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of COMMAND, the same as `shp-miner COMMAND --help`; without it, the list of commands."""
    assert ctx.parent is not None
    shown = ctx.parent
    for name in names:
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no commands of its own, such as {name!r}.", shown)
        known, inner, _ = group.resolve_command(shown, [name])
        assert inner is not None
        shown = click.Context(inner, info_name=known, parent=shown, **inner.context_settings)
    say(*shown.get_help().split("\n"))
