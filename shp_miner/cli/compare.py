"""`shp-miner compare`: count what each rule makes of a store, without writing an export."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.choosing import as_of_option, communities_option, sites_option
from shp_miner.cli.cleaning import cleaning_options, cleaning_words, taken_cleaning
from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next, say_recommended
from shp_miner.cli.grouped import GroupedCommand
from shp_miner.cli.layout import wrapped
from shp_miner.cli.options import common, example, shared_parameters, words_of
from shp_miner.cli.output import print_table, show_result, steps
from shp_miner.cli.saying import say

if TYPE_CHECKING:
    from shp_miner.show.compare import Compared

_WARNINGS = {
    "confounded": "confounded: its labels follow attention; use it to compare, not to train.",
    "few pairs": "few pairs: under {few:,}; shares and means are mostly chance.",
}

#: A heading of the help, and the column that leaves a narrow terminal.
_WHAT = "What to compare"
_LEAVE = ("posts",)


@click.command(
    "compare",
    cls=GroupedCommand,
    epilog=example(
        "shp-miner compare",
        "shp-miner compare --community explainlikeimfive",
        "shp-miner compare --allow-unknown-age",
    ),
)
@communities_option("Count", _WHAT)
@sites_option("Count", _WHAT)
@as_of_option("Compare on an earlier version of the store; `stats` shows the current one.", _WHAT)
@shared_parameters
@cleaning_options
@common
def command(
    communities: tuple[str, ...],
    sites: tuple[str, ...],
    as_of: str | None,
    store: Path,
    as_json: bool,
    quiet: bool,
    **parameters: bool | float | str | datetime | tuple[str, ...] | None,
) -> int:
    """Count what each rule makes of a store: pairs, posts, lengths and confidence.

    Nothing is exported and, without --clean, no text is read. Pairs and posts are those of an export with the rule;
    an export also leaves out pairs of which one text is empty without its markup. "longer wins" is the share of
    pairs whose preferred answer has more visible characters: 50 % would mean that length decides nothing. The
    options below say which posts, answers and scores take part, in every rule; --and and --or add the asker's choice
    to each rule of votes. Exit code 3 means that the store lacks one of the communities.
    """
    import msgspec

    from shp_miner.rules.presets import PRESETS, preset
    from shp_miner.show.compare import compare
    from shp_miner.store import Store

    cleaned = cleaning_words(parameters)
    clean = taken_cleaning(parameters)
    given = {name: value for name, value in parameters.items() if value is not None}
    items = {name: value for name, value in given.items() if name not in ("and_", "or_")}
    rules = [preset(name, **(items if rule.measure == "accepted" else given)) for name, rule in PRESETS.items()]
    opened = Store(store)
    snapshot = opened.snapshot(as_of)
    with steps("Comparing", quiet=quiet) as step:
        found = compare(opened, snapshot, communities=communities, sites=sites, rules=rules, clean=clean, advance=step)

    chosen = [
        *(word for name in communities for word in ("--community", name)),
        *(word for name in sites for word in ("--site", name)),
        *(["--as-of", as_of] if as_of else []),
        *words_of(given),
        *cleaned,
    ]
    told = msgspec.to_builtins(found)
    told["recommended_rule"] = (told.pop("recommended") or {}).get("rule")
    data = {"store": str(store), "parameters": given, "clean": clean.name, **told}
    show_result(data, lambda: _people(found, store, [*words_of(given), *cleaned], chosen), as_json=as_json, quiet=quiet)
    if found.missing:
        say(found.missing, err=True)
        return 3
    return 0


def _people(found: Compared, store: Path, parameters: list[str], chosen: list[str]) -> None:
    from shp_miner.rules.presets import PRESETS
    from shp_miner.show.compare import FEW_PAIRS

    rows = [
        (
            name,  # parameters are those of all rules: the title has them
            gives.pairs,
            gives.posts,
            None if gives.longer_wins is None else f"{gives.longer_wins:.0%}",
            None if gives.mean_confidence is None else f"{gives.mean_confidence:.2f}",
            ", ".join(gives.warnings),
        )
        for name, gives in zip(PRESETS, found.rules, strict=True)
    ]
    columns = ("rule", "pairs", "posts", "longer wins", "confidence", "warnings")
    title = ", ".join([str(store), f"version {found.version}", *filter(None, [shlex.join(parameters)])])
    print_table(title, columns, rows, leave=_LEAVE)
    warnings = {warning for gives in found.rules for warning in gives.warnings}
    for warning, sentence in _WARNINGS.items():
        if warning in warnings:
            say(*wrapped(sentence.format(few=FEW_PAIRS)))
    if not any(gives.pairs for gives in found.rules):
        say("No rule makes a pair of this; the next command says why.")
        chosen = [*chosen, "--dry-run"]
    advised = say_recommended(found.recommended)
    giving = (name for name, gives in zip(PRESETS, found.rules, strict=True) if gives.pairs)
    rule = found.recommended.rule if found.recommended else next(giving, "shp")
    say_next(
        [called("export", "data/pairs", "--rule", rule, *chosen, store=store)], after_table=advised or not warnings
    )
