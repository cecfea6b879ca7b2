"""`shp-miner docs`: the pages of the documentation on the terminal."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from shp_miner.cli.options import example, json_option, verbose_option
from shp_miner.cli.output import show_result
from shp_miner.cli.saying import say, say_paged
from shp_miner.errors import UsageError, likely

if TYPE_CHECKING:
    from shp_miner.manual.pages import Section

#: Pages for those who change the program; the list names them last.
_INSIDE = ("architecture", "hostile", "style", "decisions/")


class _Page(click.ParamType[str]):
    name = "page"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from shp_miner.errors import Error
        from shp_miner.manual.pages import pages, sections

        try:
            known = pages()
            page, is_heading, _ = incomplete.partition("#")
            if is_heading and page in known:
                names = [part.address for part in sections(page, known[page])]
            else:
                names = list(known)
        except (Error, OSError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command(
    "docs",
    epilog=example("shp-miner docs", "shp-miner docs rules", "shp-miner docs threads#times", "shp-miner docs csv"),
)
@click.argument("words", nargs=-1, type=_Page(), metavar="[PAGE|PAGE#HEADING|WORD...]")
@json_option
@verbose_option
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Show a page of the documentation, one of its sections, or all sections with a word.

    Without PAGE, list the pages and what each answers. On a terminal a page is rendered and shown in your pager;
    elsewhere it is printed as the Markdown text that it is.
    """
    from shp_miner.manual.pages import nearest_words, pages, search, section

    if not words:
        _list(as_json=as_json)
        return
    asked = " ".join(words)
    found = section(asked)
    hits = [] if found is not None else search(asked)
    if found is None and len(hits) == 1:
        found = hits[0]
    if found is not None:
        data = {**asdict(found), "address": found.address}
        page = found
        show_result(data, lambda: _show(page), as_json=as_json, quiet=False)
        return
    if not hits:
        near = likely(asked, pages()) or nearest_words(asked)
        hint = f"Did you mean `shp-miner docs {near}`?" if near else "Search with other words."
        raise UsageError(f"No page has {asked!r}.", f"{hint} `shp-miner docs` lists the pages.")
    listed = [{"address": hit.address, "heading": hit.heading} for hit in hits]
    show_result({"words": asked, "sections": listed}, lambda: _hits(asked, hits), as_json=as_json, quiet=False)


def _list(*, as_json: bool) -> None:
    from shp_miner.manual.pages import pages, questions, title

    titles = {name: title(path) for name, path in pages().items()}
    asked = questions()
    data = {
        "pages": [{"page": name, "title": text} for name, text in titles.items()],
        "questions": [{"question": question, "pages": names} for question, names in asked],
    }

    def people() -> None:
        width = max(map(len, titles))
        outside = [name for name in titles if not name.startswith(_INSIDE)]
        lines = [f"  {name:{width}}  {titles[name]}" for name in outside]
        inside = [f"  {name:{width}}  {titles[name]}" for name in titles if name not in outside]
        say("Show one: shp-miner docs PAGE. Search: shp-miner docs WORD.", "", "Pages:", *lines, "")
        say("I want to ...", *(f"  {question}: {', '.join(names)}" for question, names in asked), "")
        say("Pages for those who change the program:", *inside)

    show_result(data, people, as_json=as_json, quiet=False)


def _hits(asked: str, hits: list[Section]) -> None:
    width = max(len(hit.address) for hit in hits)
    say(f"Sections with {asked!r}; show one with `shp-miner docs PAGE#HEADING`:")
    say(*(f"  {hit.address:{width}}  {hit.heading}" for hit in hits))


def _show(page: Section) -> None:
    if not sys.stdout.isatty():
        say(*page.text.rstrip("\n").split("\n"))
        return
    from io import StringIO

    from rich.console import Console

    from shp_miner.cli.rendering import rendered
    from shp_miner.manual.pages import with_commands

    width = min(Console().width, 110)
    drawn = Console(file=StringIO(), force_terminal=True, width=width)
    drawn.print(rendered(with_commands(page)))
    assert isinstance(drawn.file, StringIO)
    say_paged(drawn.file.getvalue())
