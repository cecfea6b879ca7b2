"""Questions on the terminal: no bar covers them, and Ctrl-C ends the command there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from shp_miner.cli.saying import bar, say
from shp_miner.engine.interrupts import interrupt_waiting_reads
from shp_miner.errors import Incomplete


def confirmed(question: str) -> bool:
    """Return whether the answer to a question is yes. Raises Incomplete if there is none."""
    with _asking():
        return click.confirm(question, err=True)


def answered(question: str, default: str | None = None, choices: click.Choice[str] | None = None) -> str:
    """Return the answer to a question, without space around it. Raises Incomplete if there is none."""
    with _asking():
        return str(click.prompt(question, default=default, type=choices or str)).strip()


@contextmanager
def _asking() -> Iterator[None]:
    with bar.lock:
        bar.delete()
        interrupt_waiting_reads()
        try:
            yield
        except click.Abort:
            say("", err=True)  # the cursor is behind the question
            raise Incomplete(
                "The question was not answered: nothing was done.", "Run the same command again."
            ) from None
