"""What Ctrl-C left behind: a command that it ends says so, and never that work stays of which there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shp_miner.cli.saying import bar
from shp_miner.errors import Error, Incomplete, is_interrupt

#: Commands that only read.
_READ = frozenset({"check", "compare", "completion", "docs", "explain", "help", "show", "stats", "status"})


def is_reader(arguments: list[str]) -> bool:
    """Return whether a command line names a command that only reads."""
    return next((word for word in arguments if not word.startswith("-")), "") in _READ


def nothing_written() -> Error:
    """Return the error of a command that Ctrl-C ended before it wrote anything."""
    return Incomplete("Interrupted: nothing was written.", "Run the same command again.")


def tidy_line() -> None:
    """Remove what the terminal wrote of Ctrl-C, so that the message begins in a line of its own."""
    if sys.stderr.isatty():
        bar.clear()


@contextmanager
def all_or_nothing(has_written: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Let Ctrl-C in the block end the command with `nothing_written`, unless the function says otherwise."""
    try:
        yield
    except BaseException as error:
        if is_interrupt(error) and not has_written():
            raise nothing_written() from error
        raise


def commits(store: Path) -> int:
    """Return how many times rows were committed to a store; 0 where there is none."""
    logs = (log for log in store.glob("*/_delta_log/*.json") if log.stem.isdecimal())
    return sum(int(log.stem) > 0 for log in logs)  # version 0 is the empty table


@contextmanager
def unless_committed(store: Path) -> Iterator[None]:
    """Let Ctrl-C in the block end the command with `nothing_written` if nothing was committed to the store."""
    before = commits(store)
    with all_or_nothing(lambda: commits(store) != before):
        yield
