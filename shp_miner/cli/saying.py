"""Prints all output. Text that sites, files and people wrote cannot control the terminal."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from threading import RLock

import click

from shp_miner.cli.terminal import terminal_width, wrapped_sentence

#: Characters that move the cursor, change colours or titles (C0 and C1 controls), turn the direction of writing, break
#: a line, or cannot be encoded.
_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: Goes to the beginning of the terminal's line and deletes it.
_DELETE_LINE = "\r\x1b[2K"


def harmless_text(text: str) -> str:
    r"""Return the text as one line in which characters that control a terminal are written out, as \u001b.

    In JSON that is an escape, so what programs read there is unchanged.
    """
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say_paged(text: str) -> None:
    """Show a text of our own page by page, with its colours where the pager and the terminal show them."""
    pager = (shlex.split(os.environ.get("PAGER", "")) or ["less"])[0]
    if Path(pager).name == "less":  # shows escape sequences as text unless it is told not to
        os.environ["LESS"] = f"-R {os.environ.get('LESS', '')}".strip()
    shows = Path(pager).name in ("less", "cat") or shutil.which(pager) is None
    click.echo_via_pager(text, color=shows and os.environ.get("TERM", "") not in ("", "dumb"))


def say(*lines: str, err: bool = False) -> None:
    """Print each text as one line; a line break inside a text is written out. A bar moves below what is printed.

    On a terminal of stderr, lines are wrapped between words.
    """
    shown = [harmless_text(line) for line in lines]
    if err and sys.stderr.isatty():
        width = terminal_width()
        shown = [part for line in shown for part in ([line] if line[:1] == "{" else wrapped_sentence(line, width))]
    with bar.lock:
        bar.delete()
        click.echo("\n".join(shown), err=err)
        bar.draw_again()


class Bar:
    """The last line of the terminal of stderr, which is replaced while a command works."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._text = self._drawn = ""

    def draw(self, text: str) -> None:
        """Show a text (without a line break) in place of the one before; "" removes the line."""
        with self.lock:
            self._text = text
            if text != self._drawn:
                self.delete()
                self.draw_again()

    def delete(self) -> None:
        """Remove the line from the terminal until it is drawn again."""
        if self._drawn:
            self._drawn = ""
            self._write(_DELETE_LINE)

    def clear(self) -> None:
        """Empty the terminal's line, whatever is in it."""
        with self.lock:
            self._drawn = ""
            self._write(_DELETE_LINE)

    def draw_again(self) -> None:
        """Show the line that was deleted."""
        if self._text and not self._drawn:
            self._drawn = self._text
            self._write(self._text)

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal has gone, which is no reason to end the work
            sys.stderr.write(text)
            sys.stderr.flush()


#: There is one terminal.
bar = Bar()
