"""Texts of people on a terminal: wrapped to its width, cut with a word on how much is left, and harmless."""

from __future__ import annotations

import shutil
import sys

from shp_miner.cli.saying import harmless_text, say
from shp_miner.cli.terminal import wrapped_sentence

#: Lines of a text that are shown before it is cut.
LINES = 6

#: The width without a terminal, and the widest that is easy to read.
_WIDTH, _MOST = 100, 120


def width() -> int:
    """Return the columns to write in: the terminal's, but no more than are easy to read."""
    return max(20, min(shutil.get_terminal_size((_WIDTH, 24)).columns, _MOST))


def wrapped(text: str, *, indent: str = "", lines: int | None = LINES, cut: str = "") -> list[str]:
    """Return the text as lines of the terminal's width; after `lines` of them, `cut` or how many characters are left.

    Empty lines are left out, so that more of a text fits.
    """
    from rich.console import Console
    from rich.text import Text

    console, room = Console(width=width()), width() - len(indent) - 1
    found: list[str] = []
    shown = 0
    paragraphs = [paragraph for paragraph in text.splitlines() if paragraph.strip()]
    for paragraph in paragraphs:
        for line in Text(harmless_text(paragraph.strip())).wrap(console, room, tab_size=4):
            if lines is not None and len(found) == lines:
                left = sum(len(whole.strip()) for whole in paragraphs) - shown
                return [*found, indent + (cut or f"[{left:,} more characters; --full shows them]")]
            found.append(f"{indent}{line.plain.rstrip()}")
            shown += len(line.plain)
    return found


def joined(phrases: list[str], *, indent: str = "") -> list[str]:
    """Return short phrases as lines of the terminal's width, with commas between them; no phrase is broken."""
    found = [""]
    for phrase in map(harmless_text, filter(None, phrases)):
        longer = f"{found[-1]}, {phrase}" if found[-1] else phrase
        if found[-1] and len(indent) + len(longer) >= width():
            found[-1] += ","
            found.append(phrase)
        else:
            found[-1] = longer
    return [f"{indent}{line}" for line in found if line]


def say_prose(text: str) -> None:
    """Print a sentence: on a terminal wrapped at its words behind the same indent, elsewhere as one line."""
    if not sys.stdout.isatty():
        say(text)
        return
    say_lines(wrapped_sentence(harmless_text(text), width() - 1))


def say_lines(lines: list[str]) -> None:
    """Print lines; nothing if there are none."""
    if lines:
        say(*lines)
