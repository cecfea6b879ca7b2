"""The terminal of stderr: whether it is one, how wide it is, and sentences that are wrapped to it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from unicodedata import combining, east_asian_width

#: The width of a terminal that does not tell it, and the least to which a sentence is wrapped.
_USUAL_WIDTH, _LEAST_WIDTH = 80, 20

#: What stays on one line: a command in backquotes or at the end of a line, a name in quotes, and any other word.
_WHOLE = re.compile(
    r"""[(]?`[^`]+`[^\s`]*|(?<=: )(?:uv run )?shp-miner .*$|[(]?(?P<mark>['"])[^'"]+(?P=mark)[.,:;)]*(?=\s|$)|\S+"""
)


def is_terminal() -> bool:
    """Return whether stderr is a terminal on which a line can be replaced."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def terminal_width() -> int:
    """Return the width of the terminal of stderr in cells."""
    with suppress(OSError, ValueError):
        return int(os.environ.get("COLUMNS", "")) or _USUAL_WIDTH
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_WIDTH
    return _USUAL_WIDTH


def cells(text: str) -> int:
    """Return the cells of a terminal that a text takes."""
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def wrapped_sentence(text: str, width: int) -> list[str]:
    """Return a line as lines of at most `width` cells behind its indent, broken between words.

    No path, command or quoted name is broken: one that is too long has a line of its own, which the terminal wraps.
    """
    if cells(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip())]
    lines = [""]
    for word in (found[0] for found in _WHOLE.finditer(text)):
        longer = f"{lines[-1]} {word}" if lines[-1] else indent + word
        if lines[-1] and cells(longer) > max(width, _LEAST_WIDTH):
            lines.append(indent + word)
        else:
            lines[-1] = longer
    return lines
