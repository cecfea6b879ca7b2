"""`shp-miner explain`: what a rule, a format, a reason, an exit code or a word means."""

from __future__ import annotations

from dataclasses import asdict

import click
from click.shell_completion import CompletionItem

from shp_miner.cli.options import example, json_option, verbose_option
from shp_miner.cli.output import show_result
from shp_miner.cli.saying import say


class _Term(click.ParamType[str]):
    name = "term"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from shp_miner.errors import Error
        from shp_miner.manual.terms import terms

        try:
            known = [(name, kind) for kind, names in terms().items() for name in names]
        except (Error, OSError):
            return []
        return [CompletionItem(name, help=kind) for name, kind in known if name.startswith(incomplete)]


@click.command(
    "explain",
    context_settings={"ignore_unknown_options": True},  # an option can be explained, too
    epilog=example(
        "shp-miner explain winner_older",
        "shp-miner explain calibrated",
        "shp-miner explain 75",
        "shp-miner explain import_frames",
    ),
)
@click.argument("term", nargs=-1, type=_Term(), metavar="[TERM]")
@json_option
@verbose_option
def command(term: tuple[str, ...], as_json: bool) -> None:
    """Explain TERM in a few sentences.

    TERM is a rule, a parameter of a rule, a format, a reason for which something is left out, an exit code, a source, a
    public name of Python or a word of the glossary. Without TERM, list all terms. `shp-miner docs` has the pages that
    say more.
    """
    from shp_miner.manual.terms import explain, terms

    if not term:
        known = terms()
        show_result(
            dict(known),
            lambda: say(*(f"{kind}: {', '.join(names)}" for kind, names in known.items())),
            as_json=as_json,
            quiet=False,
        )
        return
    found = explain(" ".join(term))

    def people() -> None:
        for told in found:
            say(f"{told.term} ({told.kind}): {' '.join(told.sentences)}", f"More: shp-miner docs {told.page}")

    show_result(
        {"term": " ".join(term), "meanings": [asdict(told) for told in found]}, people, as_json=as_json, quiet=False
    )
