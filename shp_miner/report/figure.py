"""A figure: a table of numbers, and what it shows in words. Pictures, pages and JSON are all made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

Cell: TypeAlias = str | int | float | bool | None

#: The column that a comparison puts before the others.
SERIES = "export"

#: The column that says whether most scores of a period were read too early.
EARLY = "read too early"


class Part(Struct):
    """The numbers of a figure for one export or store: columns, rows, and a finding of one sentence or more."""

    name: str
    finding: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


class Figure(Struct):
    """A figure of a report, of one export or store or of two that are compared.

    `finding` has a text for each of them. In a comparison, `series` has their names, and the first column of `rows`
    says of which one a row is.
    """

    name: str
    finding: list[str]
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    series: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows by the names of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def alone(part: Part) -> Figure:
    """Return the figure of one export or store."""
    return Figure(part.name, [part.finding], part.columns, part.rows)


def compared(parts: Sequence[tuple[str, Part]]) -> Figure:
    """Return the figure of two, each with its name; their columns are the same."""
    columns = (SERIES, *parts[0][1].columns)
    rows = [(name, *row) for name, part in parts for row in part.rows]
    finding = [f"{name}: {part.finding}" for name, part in parts]
    return Figure(parts[0][1].name, finding, columns, rows, tuple(name for name, _ in parts))
