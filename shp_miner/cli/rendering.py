"""Pages of the documentation for a terminal: no cell is cut, and no address hides behind a link."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table


class _Table(TableElement):
    """A table whose long words, such as commands, go on in the next line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for part in super().__rich_console__(console, options):
            for column in part.columns if isinstance(part, Table) else []:
                column.overflow = "fold"
            yield part  # type: ignore[misc]


class _Page(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _Table}


def rendered(text: str) -> Markdown:
    """Return a page for a rich console. Not every pager and terminal knows links that hide their address."""
    return _Page(text, hyperlinks=False)
