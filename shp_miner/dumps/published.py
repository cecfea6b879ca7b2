"""Published data sets of forum threads, in the layouts of their authors: which one columns have, and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from shp_miner.dumps import published_pairs, published_untimed
from shp_miner.dumps.parquet import Record
from shp_miner.errors import BadInput


class Layout(NamedTuple):
    """A layout: what to call its rows, columns that only it has, columns that it needs, and the platform of its items.

    `threads(again, rows, site)` yields threads of the threads layout from `rows`; `again` reads the same rows before
    that, and nothing that it finds is counted. `site` is the site of all rows, None for the one that they name.
    """

    what: str
    marks: frozenset[str]
    needed: tuple[str, ...]
    platform: str
    threads: Callable[[Callable[[], Iterable[Record]], Iterable[Record], str | None], Iterator[Record]]


LAYOUTS = {
    "shp": Layout(
        "rows of SHP",
        frozenset({"post_id", "domain", "history"}),
        published_pairs.NEEDED,
        "threads",
        published_pairs.threads,
    ),
    "h4": Layout(
        "Stack Exchange preferences (H4)",
        frozenset({"qid", "question", "answers"}),
        ("qid", "question", "answers"),
        "stack-exchange-preferences",
        published_untimed.h4_threads,
    ),
    "eli5": Layout(
        "ELI5 threads",
        frozenset({"q_id", "title", "answers"}),
        ("q_id", "title", "subreddit", "answers"),
        "eli5",
        published_untimed.eli5_threads,
    ),
}


def layout_of(names: Collection[str]) -> str:
    """Return the name in LAYOUTS of the layout that columns have, else ""."""
    return next((name for name, layout in LAYOUTS.items() if layout.marks <= set(names)), "")


def check_columns(path: Path, layout: str, names: Collection[str]) -> None:
    """Raise BadInput if a column that the rows of a layout need is not there."""
    needed = LAYOUTS[layout].needed
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadInput(
            f"{path} has {LAYOUTS[layout].what} without the column {missing[0]}.", f"Keep all of: {', '.join(needed)}."
        )
