"""Abbreviations that forums put into titles, written out as SHP's authors did ("CMV" is "Change my view that").

Source: the SHP card ("Subreddit-specific abbreviations were expanded"); it names CMV, the others are added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from shp_miner.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

#: The forms of exported texts; `text.modes` makes them.
TextMode = Literal["markdown", "plain", "shp"]

#: The table. Lines of a file, "AITA = Am I the asshole", add to it or replace what it has.
ABBREVIATIONS: dict[str, str] = {
    "AITA": "Am I the asshole",
    "CMV": "Change my view that",
    "DAE": "Does anybody else",
    "ELI5": "Explain like I'm five",
    "IWTL": "I want to learn",
    "LPT": "Life pro tip",
    "TIFU": "Today I fucked up",
    "TIL": "Today I learned",
    "WIBTA": "Would I be the asshole",
    "YSK": "You should know",
}

_LINE = re.compile(r"(\w(?:[\w/+-]{0,18}\w)?)\s*=\s*(\S.{0,199})")


def abbreviations(lines: Iterable[str] = ()) -> dict[str, str]:
    """Return the table with the lines "SHORT = meaning" of a file added. Raises BadInput for any other line.

    A meaning that has an abbreviation in it is refused, because it would be written out again.
    """
    table = dict(ABBREVIATIONS)
    for line in lines:
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise BadInput(
                f"A line of abbreviations is not SHORT = meaning: {line.strip()[:80]!r}.",
                "Write one a line, such as AITA = Am I the asshole.",
            )
        table[found[1]] = found[2]
    for short, meaning in table.items():
        inside = next((other for other in table if re.search(rf"\b{re.escape(other)}\b", meaning)), None)
        if inside is not None:
            raise BadInput(
                f"The meaning of the abbreviation {short} has {inside} in it, which is an abbreviation itself.",
                "Write its meaning out.",
            )
    return table


def written_out(titles: pl.Series, table: Mapping[str, str]) -> pl.Series:
    """Return titles (String) with each abbreviation replaced by its meaning where it is a word, in the same case."""
    for short in sorted(table, key=lambda short: (-len(short), short)):
        titles = titles.str.replace_all(rf"\b{re.escape(short)}\b", table[short].replace("$", "$$"))
    return titles
