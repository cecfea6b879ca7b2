"""`shp-miner explain`: what a word means, or which filters made an export smaller than its store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from shp_miner.cli.options import example, json_option, verbose_option
from shp_miner.cli.output import print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.paths import expanded, is_remote

#: The most values of a list that are named.
_LISTED = 3


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
        "shp-miner explain data/eli5",
    ),
)
@click.argument("term", nargs=-1, type=_Term(), metavar="[TERM]")
@json_option
@verbose_option
def command(term: tuple[str, ...], as_json: bool) -> None:
    """Explain TERM in a few sentences, or the filters of an export.

    TERM is a rule, a parameter of a rule or of cleaning, a format, a reason for which something is left out, an exit
    code, a source, a public name of Python or a word of the glossary. Without TERM, list all terms. `shp-miner docs`
    has the pages that say more. If TERM is the folder of an export, each filter is named with its parameters and
    counts.
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
    if _is_export(term):
        _show_filters(term[0], as_json=as_json)
        return
    found = explain(" ".join(term))

    def people() -> None:
        for told in found:
            say(f"{told.term} ({told.kind}): {' '.join(told.sentences)}", f"More: shp-miner docs {told.page}")

    show_result(
        {"term": " ".join(term), "meanings": [asdict(told) for told in found]}, people, as_json=as_json, quiet=False
    )


def _is_export(term: tuple[str, ...]) -> bool:
    """Whether a term is a folder with a manifest; a word that is no folder costs no import."""
    if len(term) != 1 or not (is_remote(term[0]) or Path(term[0]).is_dir()):
        return False
    from shp_miner.export.owned import is_export

    return is_remote(term[0]) or is_export(expanded(term[0]))


def _show_filters(path: str, *, as_json: bool) -> None:
    """Show the filters of an export."""
    import msgspec

    from shp_miner.show.filters import export_filters

    found = export_filters(expanded(path))

    def people() -> None:
        rows = [
            (told.of, told.reason.replace("_", " "), _values(told.parameters), *_counts(told.counts))
            for told in found.filters
        ]
        title = f"{path}, {found.pairs:,} pairs by the rule {found.rule}, cleaned by {found.clean}: left out or changed"
        columns = ("filter of", "reason", "parameters", "posts", "answers", "pairs")
        print_table(title, columns, rows)

    show_result(msgspec.to_builtins(found), people, as_json=as_json, quiet=False)


def _values(parameters: dict[str, Any]) -> str:
    """Parameters with their values; a long list is counted."""
    shown = {
        key: f"{len(value)} values" if isinstance(value, list | tuple) and len(value) > _LISTED else value
        for key, value in parameters.items()
        if value is not None  # the platform's own, or no bound
    }
    return ", ".join(
        f"{key} {', '.join(value) if isinstance(value, list | tuple) else value}" for key, value in shown.items()
    )


def _counts(counts: dict[str, int]) -> list[int | str]:
    """The counts of posts (with their titles), answers and pairs, "" for none."""
    kinds = (("post", "paired post", "title"), ("answer", "paired answer"), ("pair",))
    return [sum(counts.get(kind, 0) for kind in own) or "" for own in kinds]
