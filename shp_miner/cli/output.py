"""Output of results: tables for people, one JSON object for machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shp_miner.cli.failing import note_printed
from shp_miner.cli.progress import export_shown, progress
from shp_miner.cli.saying import harmless_text, say
from shp_miner.forgetting.complete import complete_pending
from shp_miner.tally import Tally, counted

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Marked",
    "complete_unfinished",
    "print_marked",
    "print_reasons",
    "print_table",
    "progress",
    "show_result",
    "steps",
]

#: A column this wide is not made narrower (cells on the screen); before a word of at most the second width is broken,
#: other columns leave.
_LONG_WORD, _LONGER_WORD = 16, 32


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
            note_printed()
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


class Marked(str):
    """A text for people with a meaning: "good", "wrong" or "waiting". The text says it too; colour only repeats it."""

    meaning: str

    def __new__(cls, text: str, meaning: str) -> Marked:
        """Return the text with its meaning."""
        marked = super().__new__(cls, text)
        marked.meaning = meaning
        return marked


_STYLES = {"good": "green", "wrong": "bold red", "waiting": "yellow"}


def print_marked(*sentences: Marked) -> None:
    """Print sentences, each on its own line, in the colours of their meanings where stdout is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    for sentence in sentences:
        style = _STYLES[sentence.meaning]
        console.print(harmless_text(sentence), style=style, markup=False, soft_wrap=not console.is_terminal)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, leave: Sequence[str] = ()
) -> None:
    """Print a table with numbers aligned right. Without a terminal, it is plain text and never cut.

    On a narrow terminal, columns leave in the order of `leave`, those without any value first; a line under the table
    says how many. `Marked` cells get their colour.
    """
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    shown = [_Column(name, [row[index] for row in rows]) for index, name in enumerate(columns)]
    ranks = {name: rank for rank, name in enumerate(leave)}
    leaving = sorted((column for column in shown if column.name in ranks), key=lambda c: (not c.empty, ranks[c.name]))
    gone = 0
    while leaving and sum(column.wanted for column in shown) + len(shown) + 1 > console.width:
        shown.remove(leaving.pop(0))
        gone += 1
    console.print(harmless_text(title), style="bold", markup=False, soft_wrap=True)
    least = sum(column.least for column in shown) + len(shown) + 1
    console.width = max(console.width, least)  # a terminal wraps what is wider; nothing is cut
    console.print(_table(shown, console.width))
    if gone:
        say(f"{counted(gone, 'more column')} in a wider window or with --json", "")


class _Column:
    """A column of a table: its texts, and its widths in cells: needed, wanted and at least."""

    def __init__(self, name: str, values: Sequence[object]) -> None:
        from rich.cells import cell_len

        self.name = name
        self.texts = [_cell(value) for value in values]
        self.styles = [_STYLES.get(getattr(value, "meaning", ""), "") for value in values]
        self.numeric = bool(values) and all(isinstance(value, int | float | None) for value in values)
        self.empty = all(value in (None, 0, "", "-") for value in values)
        self.needed = max(map(cell_len, [name, *self.texts]))
        # Where there is little room, a column becomes as narrow as its words, but for long ones, and no narrower.
        word = max(map(cell_len, " ".join([name, *self.texts]).split()))
        self.least = min(word, _LONG_WORD) if self.needed > _LONG_WORD else self.needed
        self.wanted = max(min(self.needed, _LONG_WORD), min(word, _LONGER_WORD))


def _table(columns: Sequence[_Column], width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    roomy = sum(column.needed for column in columns) + 3 * len(columns) <= width
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1 if roomy else 0))
    for column, cells in zip(columns, _widths(columns, width - len(columns) - 1), strict=True):
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(column.name, justify=justify, overflow="fold", width=cells)
    for row in zip(*(zip(column.texts, column.styles, strict=True) for column in columns), strict=True):
        table.add_row(*(Text(text, style) for text, style in row))
    return table


def _widths(columns: Sequence[_Column], cells: int) -> list[int]:
    """Return the columns' widths, at most `cells` in all: what is left goes to the narrowest that lack something.

    The library's own widths may add up to more than there is, and then it cuts texts.
    """
    widths = [column.least for column in columns]
    for _ in range(cells - sum(widths)):
        lacking = [index for index, column in enumerate(columns) if widths[index] < column.needed]
        if lacking:
            widths[min(lacking, key=widths.__getitem__)] += 1
    return widths


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return harmless_text(str(value))


def print_reasons(title: str, tally: Tally) -> None:
    """Print what was dropped or changed, by reason."""
    rows = [(kind, reason.replace("_", " "), count) for (kind, reason), count in sorted(tally.dropped.items())]
    rows += [
        (kind, f"{reason.replace('_', ' ')} (kept)", count) for (kind, reason), count in sorted(tally.notes.items())
    ]
    if rows:
        print_table(title, ("what", "reason", "count"), rows)


@contextmanager
def steps(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show progress; yields the function to call with the steps that are done and all steps."""
    with progress(label, quiet=quiet, unit="steps") as meter:
        yield export_shown(meter)
