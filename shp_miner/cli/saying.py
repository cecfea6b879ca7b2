"""Prints all output. Text that sites, files and people wrote cannot control the terminal."""

from __future__ import annotations

import re

import click

#: Characters that move the cursor, change colours or titles (C0 and C1 controls), turn the direction of writing, break
#: a line, or cannot be encoded.
_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless_text(text: str) -> str:
    r"""Return the text as one line in which characters that control a terminal are written out, as \u001b.

    In JSON that is an escape, so what programs read there is unchanged.
    """
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say_paged(text: str) -> None:
    """Show a text of our own, with its colours, page by page."""
    click.echo_via_pager(text, color=True)


def say(*lines: str, err: bool = False) -> None:
    """Print each text as one line; a line break inside a text is written out."""
    click.echo("\n".join(map(harmless_text, lines)), err=err)
