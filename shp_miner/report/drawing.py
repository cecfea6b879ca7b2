"""What all pictures of a report share: sizes, colours, and short helpers."""

from __future__ import annotations

from typing import Any

from shp_miner.report.figure import Cell

#: The width of every picture, in its own units: about that of a phone, so that its letters can be read there.
WIDTH, LETTERS = 400, 12

#: Colours of the page's style sheet.
TEXT = "currentColor"
FIRST, SECOND, THIRD, NEUTRAL = "var(--first)", "var(--second)", "var(--third)", "var(--neutral)"

#: Characters of a label beside an axis.
_LABEL = 22

Records = list[dict[str, Cell]]


def number_in(cell: Cell) -> int:
    """Return the number in a cell, 0 for an empty one."""
    return int(cell or 0)


def sized(alt: Any, chart: Any, height: int = 240) -> Any:
    """Return a chart at the width of all pictures."""
    return chart.properties(width=WIDTH, height=height, autosize=alt.AutoSizeParams(type="fit", contains="padding"))


def label(cell: Cell, most: int = _LABEL) -> str:
    """Return a name that fits beside an axis: in one line, cut where it is long."""
    text = "".join(character if character.isprintable() else " " for character in str(cell))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def upright_labels(alt: Any) -> Any:
    """Return the axis of bins: slanted labels, no grid."""
    return alt.Axis(labelAngle=-40, grid=False)
