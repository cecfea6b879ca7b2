"""The command line. Each command is one thin file; this one finds it, and turns errors into words and exit codes."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from io import StringIO, TextIOWrapper

import click

from shp_miner.cli.saying import say
from shp_miner.errors import Error, in_words, nearest

#: Command, its module in this package, and one line of help (so that the list needs no import).
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Try it all on a simulated forum: no network, no keys."),
    "crawl": ("crawl", "Read new threads of a living forum into a store."),
    "recheck": ("recheck", "Visit threads again: scores change, and people delete."),
    "import": ("import_", "Read dump files that you hold into a store."),
    "export": ("export", "Turn a store into preference data."),
    "init": ("init", "Write a pipeline file, by asking three questions."),
    "run": ("run_", "Do everything a pipeline file asks for; for cron."),
    "schedule": ("schedule", "Run a pipeline again and again, by cron or systemd."),
    "forget": ("forget", "Take somebody's content out of a store and its exports."),
    "vacuum": ("vacuum", "Delete the files of old versions of a store."),
    "status": ("status", "Show how a store is doing, and what is overdue; for monitoring."),
    "stats": ("stats", "Show what a store holds."),
    "lab": ("lab", "Measure what every rule is worth."),
    "forum": ("forum", "Serve a simulated forum on this machine, to try the crawlers on."),
    "doctor": ("doctor", "Check versions, paths, disk and credentials."),
}


#: New objects before Python looks for rings of them that nobody holds. Modules are objects by the hundred thousand, all
#: of them held: by default a tenth of a start is spent on looking.
_OBJECTS_BEFORE_LOOKING = 50_000


class _Commands(click.Group):
    """Imports a command when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"shp_miner.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(
                f"{error.message} {nearest(args[0], COMMANDS) if args else ''}".strip(), ctx
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "SHP_MINER",
        "max_content_width": 110,
    },
    epilog="Example:  shp-miner import reddit-dump RS_2024-01.zst RC_2024-01.zst --community explainlikeimfive",
)
@click.version_option(package_name="shp-miner", prog_name="shp-miner")
def cli() -> None:
    """Mine preference data for reward models from forum threads.

    source, store, rule, export: a dump goes into a store, a rule turns votes and post age into preferences, and an
    export writes them for your trainer. Every option can also stand in an environment variable, such as
    SHP_MINER_EXPORT_STORE for `export --store`.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(_OBJECTS_BEFORE_LOOKING)
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding cannot hold is written out, as on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk, or a reader who went away: Python would try again, and end with 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code is returned."""
    verbose = any(argument in ("-v", "--verbose") for argument in arguments)
    try:
        result = cli.main(list(arguments), prog_name="shp-miner", standalone_mode=False)
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        say(*shown.getvalue().rstrip().split("\n"), err=True)
        return error.exit_code
    except SystemExit:
        # What click and rich make of a reader of our output who went away; there is nobody left to tell.
        return 0
    except BaseException as error:  # the last place where a person can be told
        words = in_words(KeyboardInterrupt() if isinstance(error, click.Abort) else error)
        if words is None:
            raise
        return _say(words, verbose)
    return int(result or 0)


def _say(error: Error, verbose: bool) -> int:
    if verbose:
        say(*traceback.format_exc().rstrip().split("\n"), err=True)
    if not error.told:
        say(f"Error: {error.message}", err=True)
        if error.hint:
            say(error.hint, err=True)
    return error.exit_code
