"""Tables of results, as Markdown for people and as JSON for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.errors import from_os_error
from shp_miner.store.replacing import replace_file

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """A table with a title and a note on how to read it (may be empty); each row has a cell for each column.

    Floats are shown with three decimals and None or NaN as "-"; where that does not fit, a cell is a string.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        """Refuse rows of another length than the columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells for {len(self.columns)} columns: {row}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: title, note, and each row as column -> value (NaN becomes null)."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "note": self.note, "rows": rows}

    def shown(self) -> list[list[str]]:
        """The cells as people read them."""
        return [[shown(cell) for cell in row] for row in self.rows]


def shown(cell: Cell) -> str:
    """One cell as people read it."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.3f}" if isinstance(cell, float) else cell


def markdown(table: Table, level: int = 2) -> str:
    """A section: a heading of this level, the table, and the note. Columns of numbers stand right."""
    marks = ["---:" if _numeric(table, index) else "---" for index in range(len(table.columns))]
    head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in (table.columns, *table.shown()))
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))
    return "\n\n".join(part for part in (f"{'#' * level} {table.title}", body, table.note) if part) + "\n"


def write_markdown(path: Path, title: str, parts: Sequence[Table | str]) -> None:
    """A page of tables and paragraphs of text, whole or not at all. Raises Error where the disk refuses."""
    sections = [part.strip() + "\n" if isinstance(part, str) else markdown(part) for part in parts]
    write_whole(path, "\n".join([f"# {title}\n", *sections]).encode())


def write_json(path: Path, data: Any) -> None:
    """Plain data, structs or dataclasses as indented JSON with ordered keys, whole or not at all; NaN becomes null."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(data, order="sorted", enc_hook=str), indent=2) + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and wait until it is on the disk. Raises Error where the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content, durable=True)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") or error from error


def _numeric(table: Table, index: int) -> bool:
    cells = [row[index] for row in table.rows]
    return bool(cells) and all(cell is None or isinstance(cell, int | float) for cell in cells)
