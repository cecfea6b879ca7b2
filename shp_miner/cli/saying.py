"""The only way for text to a person's terminal. What sites, files and people wrote cannot act there."""

from __future__ import annotations

import re

import click

#: Characters that move the cursor, change colours or titles (C0 and C1 controls), turn the direction of writing, break
#: a line, or cannot be encoded.
_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    r"""The text as one line in which every character that acts on a terminal is written out, as \u001b.

    In JSON that is an escape, so what programs read there is unchanged.
    """
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(*lines: str, err: bool = False) -> None:
    """Print each text as a line of its own; a line break inside one is written out."""
    click.echo("\n".join(map(harmless, lines)), err=err)
