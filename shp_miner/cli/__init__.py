"""The command line: finds a command in its own small file, and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import StringIO

import click

from shp_miner.cli import failing
from shp_miner.cli.following import program
from shp_miner.cli.interrupted import is_reader, nothing_written, tidy_line
from shp_miner.cli.lasting import lasting_interrupts
from shp_miner.cli.leading import WORDS, LeadingGroup, behind_the_name
from shp_miner.cli.meant import LISTED, command_hint, without_wild_guesses
from shp_miner.cli.next_step import next_step
from shp_miner.cli.saying import say
from shp_miner.cli.surroundings import open_streams, require_memory
from shp_miner.cli.variables import name_variables
from shp_miner.errors import Error, in_words, is_interrupt

#: Command, its module in this package, and one line of help (so that the list needs no import).
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Try every step on a simulated forum: no network, no keys."),
    "crawl": ("crawl", "Read new and changed threads of a live forum into a store."),
    "recheck": ("recheck", "Visit threads again: scores change, and people delete posts."),
    "import": ("import_", "Read dump files into a store."),
    "compare": ("compare", "Count what each rule makes of a store, without an export."),
    "export": ("export", "Turn a store into preference data."),
    "check": ("check", "Check an export, and show what training tools would keep."),
    "train": ("train", "Train a reward model on an export, and measure it."),
    "score": ("score", "Score answers with a trained model."),
    "show": ("show", "Print pairs of an export or a store, or a thread and its reasons."),
    "report": ("report", "Write a page with pictures of an export."),
    "audit": ("audit", "Judge pairs blind in the browser, and see threads of a store."),
    "push": ("push", "Push an export to the Hugging Face Hub, private by default."),
    "init": ("init", "Ask three questions and write a pipeline file."),
    "run": ("run_", "Do all steps of a pipeline file once; made for cron."),
    "schedule": ("schedule", "Run a pipeline regularly with cron or systemd."),
    "forget": ("forget", "Remove a person's content from a store and its exports."),
    "vacuum": ("vacuum", "Delete files that only old versions of a store need."),
    "status": ("status", "Monitor a store: its runs, failures and overdue work."),
    "stats": ("stats", "Show a store's communities, sizes and version."),
    "lab": ("lab", "Measure how often the labels of each rule are right."),
    "forum": ("forum", "Serve a simulated forum on this machine, to test crawling."),
    "doctor": ("doctor", "Check versions, paths, disk and credentials."),
    "docs": ("docs", "Read the pages of the documentation, or search them."),
    "explain": ("explain", "Explain a rule, a format, a reason, an exit code or a word."),
    "completion": ("completion", "Print the script that completes commands in your shell."),
    "help": ("help_", "Show the help of a command."),
}


#: New objects before Python looks for unreachable cycles. Modules are a hundred thousand reachable objects: by default
#: a tenth of a start is spent on this search.
_OBJECTS_BEFORE_LOOKING = 50_000


class _Commands(LeadingGroup):
    """Imports a command when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"shp_miner.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        name_variables(command, f"SHP_MINER_{cmd_name.upper()}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not args or args[0].startswith("-"):
                raise
            raise click.UsageError(f"{error.message} {command_hint(args[0], COMMANDS)}", ctx) from error

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. Raises TryLater if there is not enough memory for more than its help."""
        if not {"-h", "--help"} & set(ctx.args):
            require_memory()
            self._warn(ctx)
        return super().invoke(ctx)

    def _warn(self, ctx: click.Context) -> None:
        """Warn of variables that nothing reads; `run` does so in its log, whose every line may be JSON."""
        if not any(name.startswith("SHP_MINER_") for name in os.environ) or {"-q", "--quiet", "run"} & set(
            ctx.meta[WORDS]
        ):
            return
        from shp_miner.cli.variables import unknown_variables

        for sentence in unknown_variables(ctx):
            with suppress(OSError):  # nobody reads it
                say(sentence, err=True)

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
@click.version_option(None, "-V", "--version", package_name="shp-miner", prog_name="shp-miner")
def cli() -> None:
    """Mine preference data for reward models from forum threads.

    Read a forum or a dump into a store, then export the store with a rule. The rule turns votes and post age into
    preferences; the export writes them for your trainer. --store, --json, -q and -v may stand before or after the
    command. SHP_MINER_STORE names the store for every command, and each option has a variable of its own, for example
    SHP_MINER_EXPORT_RULE for `export --rule`.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(_OBJECTS_BEFORE_LOOKING)
    open_streams()
    code = run(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk, or a reader who went away: Python would try again, and end with 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Return the exit code after running the command line."""
    verbose = any(argument in ("-v", "--verbose") for argument in arguments)
    as_json = failing.wants_json(arguments)
    failing.begin()
    try:
        with lasting_interrupts(arguments):
            result = cli.main(list(arguments), prog_name="shp-miner", standalone_mode=False)
    except click.ClickException as raised:
        error = without_wild_guesses(raised)
        return _refused(error, as_json=as_json)
    except SystemExit:
        # click and rich exit so when the reader of our output has gone; nobody reads a message.
        return 0
    except BaseException as error:  # the last place that can print a message
        words = in_words(KeyboardInterrupt() if isinstance(error, click.Abort) else error)
        if is_interrupt(error) or isinstance(error, click.Abort):
            tidy_line()
            words = nothing_written() if is_reader(behind_the_name(arguments)) else words
        if words is None:
            raise
        return _say(words, verbose, as_json=as_json)
    return int(result or 0)


def _refused(error: click.ClickException, *, as_json: bool) -> int:
    """Say what click refuses, and what to do next."""
    shown, hint = StringIO(), next_step(error)
    error.show(shown)
    with suppress(OSError):  # nobody reads the message
        say(*shown.getvalue().rstrip().replace("\t", "  ").split("\n"), *filter(None, [hint]), err=True)
    if as_json:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "shp-miner"
        told, _, listed = error.format_message().partition(LISTED)
        if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the whole help
            told, listed = f"{command} lacks a command or argument.", ""
        hint = hint or f"Try '{command} --help'{' for the commands' if listed else ''}."
        failing.say_as_json(told.rstrip(), hint, error.exit_code)
    return error.exit_code


def _say(error: Error, verbose: bool, *, as_json: bool) -> int:
    if verbose:
        say(*traceback.format_exc().rstrip().split("\n"), err=True)
    if not error.told:
        with suppress(OSError):  # nobody reads the message
            say(f"Error: {error.message}", err=True)
            if error.hint:
                say(error.hint.replace("`shp-miner ", f"`{program()} "), err=True)  # so that it can be pasted
    if as_json:
        failing.say_as_json(error.message, error.hint, error.exit_code)
    return error.exit_code
