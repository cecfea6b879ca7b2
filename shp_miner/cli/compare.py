"""`shp-miner compare`: show what each rule would give of a store, without writing an export."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.choosing import as_of_option, communities_option, sites_option
from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next
from shp_miner.cli.layout import wrapped
from shp_miner.cli.options import common, example
from shp_miner.cli.output import print_table, show_result, steps
from shp_miner.cli.saying import say

_WARNINGS = {
    "confounded": "confounded: its labels follow attention; use it to compare, not to train.",
    "few pairs": "few pairs: under {few:,}; shares and means are mostly chance.",
}


@click.command("compare", epilog=example("shp-miner compare", "shp-miner compare --community explainlikeimfive"))
@communities_option("Count")
@sites_option("Count")
@as_of_option("Compare on an earlier version of the store; `stats` shows the current one.")
@common
def command(
    communities: tuple[str, ...],
    sites: tuple[str, ...],
    as_of: str | None,
    store: Path,
    as_json: bool,
    quiet: bool,
) -> int:
    """Show what each rule gives of a store: pairs, posts, lengths and confidence.

    Nothing is exported and no text is read. Pairs and posts are those of an export with the rule; an export also leaves
    out pairs of which one text is empty without its markup. "longer wins" is the share of pairs whose preferred answer
    has more visible characters: 50 % would mean that length decides nothing. Exit code 3 means that the store lacks one
    of the communities.
    """
    import msgspec

    from shp_miner.show.compare import FEW_PAIRS, compare
    from shp_miner.store import Store

    opened = Store(store)
    snapshot = opened.snapshot(as_of)
    with steps("Comparing", quiet=quiet) as step:
        found = compare(opened, snapshot, communities=communities, sites=sites, advance=step)

    def people() -> None:
        rows = [
            (
                gives.rule,
                gives.pairs,
                gives.posts,
                None if gives.longer_wins is None else f"{gives.longer_wins:.0%}",
                None if gives.mean_confidence is None else f"{gives.mean_confidence:.2f}",
                ", ".join(gives.warnings),
            )
            for gives in found.rules
        ]
        columns = ("rule", "pairs", "posts", "longer wins", "confidence", "warnings")
        print_table(f"{store}, version {found.version}", columns, rows)
        given = {warning for gives in found.rules for warning in gives.warnings}
        for warning, sentence in _WARNINGS.items():
            if warning in given:
                say(*wrapped(sentence.format(few=FEW_PAIRS)))
        chosen = [word for name in communities for word in ("--community", name)]
        chosen += [word for name in sites for word in ("--site", name)]
        if not any(gives.pairs for gives in found.rules):
            say("No rule makes a pair of this; the next command says why.")
            chosen.append("--dry-run")
        say_next([called("export", "data/pairs", "--rule", "shp", *chosen, store=store)], after_table=not given)

    data = {"store": str(store), **msgspec.to_builtins(found)}
    show_result(data, people, as_json=as_json, quiet=quiet)
    if found.missing:
        say(found.missing, err=True)
        return 3
    return 0
