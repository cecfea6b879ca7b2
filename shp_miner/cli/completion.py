"""`shp-miner completion`: print the script that completes commands, options and names in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from shp_miner.cli.options import example
from shp_miner.cli.saying import say

SHELLS = ("bash", "zsh", "fish")

#: The variable by which the shell asks this program, as click calls it.
_ASKS = "_SHP_MINER_COMPLETE"


@click.command(
    "completion",
    epilog=example(
        "shp-miner completion bash > ~/.local/share/bash-completion/completions/shp-miner",
        "shp-miner completion zsh > ~/.zfunc/_shp-miner",
        "shp-miner completion fish > ~/.config/fish/completions/shp-miner.fish",
    ),
)
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS, case_sensitive=False))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in SHELL (bash, zsh or fish).

    Options, rules, formats, sources, kinds, pages, communities of the store and pipeline files are completed. Write the
    script to the file in the example, and open a new shell. bash needs the package bash-completion. In zsh, ~/.zfunc
    must be in fpath before compinit runs.
    """
    found = get_completion_class(shell)
    assert found is not None
    say(*found(ctx.find_root().command, {}, "shp-miner", _ASKS).source().rstrip("\n").split("\n"))
