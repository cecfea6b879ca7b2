"""Results as people see them in Python: a line for `repr`, and a short table for notebooks.

Values come from stores and forums, so everything in a table is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

#: Rows of a table in a notebook; the rest is one row with their number.
ROWS_SHOWN = 20


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table: a caption, column names (may be empty), and at most ROWS_SHOWN rows."""
    rows = list(rows)
    head = "<thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in columns) + "</tr></thead>" if columns else ""
    body = "".join(_row(row) for row in rows[:ROWS_SHOWN])
    if len(rows) > ROWS_SHOWN:
        body += _row([f"{len(rows) - ROWS_SHOWN:,} more"])
    return f"<table><caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"


def _row(cells: Sequence[object]) -> str:
    return "<tr>" + "".join(_cell(cell) for cell in cells) + "</tr>"


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="text-align: right">{value:,}</td>'
    return f"<td>{escape('' if value is None else value.isoformat() if isinstance(value, date) else str(value))}</td>"
