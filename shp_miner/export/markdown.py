"""Markdown from texts of strangers: names and quotes show as written, and can end neither a cell nor a quote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Every character that can mean something within a line of Markdown or HTML.
_MARKS = re.compile(r"([\\`*_{}\[\]<>|~&!$])")

#: What means something at the beginning of a line only.
_LINE_MARKS = re.compile(r"^(\s*)(?:([#+=-])|(\d+)([.)]))")

#: Addresses that a renderer makes links of.
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)(?=[:.])")

#: Bars of a picture: at most this many blocks.
_BLOCKS = 24


def plain(text: str) -> str:
    """Return Markdown of one line that shows `text`; characters that cannot be printed become blanks."""
    line = "".join(character if character.isprintable() else " " for character in text)
    line = _LINK.sub("\\1\u200b", _MARKS.sub(r"\\\1", line))
    return _LINE_MARKS.sub(_escaped_start, line)


def _escaped_start(found: re.Match[str]) -> str:
    blank, mark, number, end = found.groups()
    return f"{blank}\\{mark}" if mark else f"{blank}{number}\\{end}"


def code(name: str) -> str:
    """Return a name as code; as plain text where it has characters that code cannot show in a table."""
    return plain(name) if not name.isprintable() or {"`", "|"} & set(name) else f"`{name}`"


def quoted(text: str, longest: int = 600) -> str:
    """Return a block quote that shows the beginning of `text`, at most `longest` characters, cut at a word."""
    if len(text) > longest:
        text = text[:longest].rsplit(None, 1)[0] + " …"
    lines = [plain(line.strip()) for line in text.splitlines()]
    # Two blanks at the end keep the line break; blank lines stay part of the quote.
    return "\n".join(f"> {line}  " if line.strip() else ">" for line in lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table of cells that are Markdown already; the columns in `numbers` are right-aligned."""
    rule = ["---:" if column in numbers else "---" for column in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(rule) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def bar(share: float) -> str:
    """Return a bar of blocks for a share from 0 to 1; what is not 0 has one block at least."""
    return "█" * max(round(share * _BLOCKS), share > 0)


def percent(part: int, whole: int) -> str:
    """Return a share as people read it: 63 %, 0.4 %, 0 %."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 10 or not share else f"{max(share, 0.1):.1f} %"
