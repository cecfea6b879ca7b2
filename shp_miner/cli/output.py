"""Output of results: tables for people, one JSON object for machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shp_miner.cli.progress import progress
from shp_miner.cli.saying import harmless_text, say
from shp_miner.forgetting.complete import complete_pending
from shp_miner.tally import Tally

__all__ = ["complete_unfinished", "print_reasons", "print_table", "progress", "show_result"]

#: A column this wide is not made narrower (cells on the screen).
_LONG_WORD = 16


def complete_unfinished(store: Path) -> None:
    """Complete the unfinished work of an earlier run in a store; if that fails, say so and go on."""
    error = complete_pending(store)
    if error is not None:
        say(f"The unfinished work of an earlier run was not completed: {error.message} {error.hint}".strip(), err=True)


def show_result(data: Mapping[str, object], people: Callable[[], None], *, as_json: bool, quiet: bool) -> None:
    """Print a result once: as JSON, or as `people` prints it, or not at all.

    A reader that stops reading (`| head -1`) does not change the exit code.
    """
    try:
        if as_json:
            say(*_as_json(data).split("\n"))
        elif not quiet:
            people()
    except (BrokenPipeError, SystemExit):  # the latter is what rich makes of the former
        pass


def _as_json(data: Mapping[str, object]) -> str:
    import json

    import msgspec

    try:
        return msgspec.json.format(msgspec.json.encode(data, enc_hook=str), indent=2).decode()
    except UnicodeEncodeError:  # a file is called by bytes that are not UTF-8; what is printed escapes them
        return json.dumps(msgspec.to_builtins(data, enc_hook=str), indent=2, ensure_ascii=False)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with numbers aligned right. Without a terminal, it is plain text and never cut."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    cells = [[_cell(value) for value in row] for row in rows]
    needed = [max(map(cell_len, texts)) for texts in zip(columns, *cells, strict=True)]
    roomy = sum(needed) + 3 * len(columns) <= console.width
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1 if roomy else 0))
    least = []
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float | None) for row in rows)
        words = " ".join([column, *(row[index] for row in cells)]).split()
        # Where there is little room, a column becomes as narrow as its words, but for long ones, and no narrower.
        least.append(min(max(map(cell_len, words)), _LONG_WORD) if needed[index] > _LONG_WORD else needed[index])
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold", min_width=least[-1])
    for row in cells:
        shown.add_row(*row)
    console.print(harmless_text(title), style="bold", markup=False, soft_wrap=True)
    console.width = max(console.width, sum(least) + len(columns) + 1)  # a terminal wraps what is wider; nothing is cut
    console.print(shown)


def _cell(value: object) -> str:
    from rich.markup import escape

    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(harmless_text(str(value)))


def print_reasons(title: str, tally: Tally) -> None:
    """Print what was dropped or changed, by reason."""
    rows = [(kind, reason.replace("_", " "), count) for (kind, reason), count in sorted(tally.dropped.items())]
    rows += [
        (kind, f"{reason.replace('_', ' ')} (kept)", count) for (kind, reason), count in sorted(tally.notes.items())
    ]
    if rows:
        print_table(title, ("what", "reason", "count"), rows)
