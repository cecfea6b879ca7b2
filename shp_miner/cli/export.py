"""`shp-miner export`: write a store's preferences, by a rule, as Parquet shards."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.choosing import as_of_option, communities_option, formats_option, rule_option, sites_option
from shp_miner.cli.cleaning import cleaning_options, taken_cleaning
from shp_miner.cli.crawl import revisit_due
from shp_miner.cli.export_beside import (
    Asked,
    Repeatable,
    ask_to_replace,
    export_data,
    fit_data,
    has_confidence,
    judged_slope,
    say_changes,
    say_counts,
    say_example,
    show_estimate,
    tally_data,
)
from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next, say_recommended
from shp_miner.cli.grouped import option_of
from shp_miner.cli.interrupted import all_or_nothing
from shp_miner.cli.options import FilePath, Number, common, example, rule_parameters, work
from shp_miner.cli.output import complete_unfinished, print_reasons, print_table, show_result, steps
from shp_miner.cli.saying import say
from shp_miner.cli.screening import screening_options, taken_sets

if TYPE_CHECKING:
    from shp_miner.export.dataset import Exported
    from shp_miner.rules.presets import Rule

#: Headings of the help.
_WHAT, _FORM = "What to export", "Form of the export"


@click.command(
    "export",
    cls=Repeatable,
    epilog=example(
        "shp-miner export data/eli5 --community explainlikeimfive",
        "shp-miner export data/eli5 --community explainlikeimfive --dry-run",
        "shp-miner export data/small --format trl --layout compact",
        "shp-miner export data/beer --rule votes --format trl,shp --until 2023-01-01",
    ),
)
@click.argument("out", type=FilePath())
@rule_option("The rule that prefers one of two answers; see `shp-miner docs rules`.", _WHAT)
@formats_option(_FORM)
@communities_option("Keep", _WHAT)
@sites_option("Keep", _WHAT)
@option_of(
    _FORM, "--validation", type=Number(), default=0.05, show_default=True, help="Share of threads for validation."
)
@option_of(_FORM, "--test", type=Number(), default=0.05, show_default=True, help="Share of threads for test.")
@as_of_option("Mine an earlier version of the store; `stats` shows the current one.", _WHAT)
@option_of(_WHAT, "--recheck", is_flag=True, help="First visit threads that are due, as `recheck` does.")
@option_of(_FORM, "--dry-run", is_flag=True, help="Show counts and an estimated size; write and register nothing.")
@option_of(
    _FORM,
    "--replace",
    is_flag=True,
    help="Replace an export of another rule, format, community or site in OUT without asking.",
)
@option_of(_FORM, "--refit", is_flag=True, help="Make the fit behind `confidence` anew; else it stays until it drifts.")
@option_of(
    _FORM,
    "--layout",
    type=click.Choice(["joined", "compact"]),
    default="joined",
    show_default=True,
    help="Repeat texts in every pair, or write each once (compact; pairs, shp, trl, trl-text).",
)
@option_of(
    _FORM,
    "--margin",
    is_flag=True,
    help="Add TRL's margin: what rank and age explain (trl, chat-pairs, trl-text).",
)
@option_of(
    _FORM,
    "--audit",
    type=FilePath(),
    help="Make the confidence as steep as the judgments of this audit are (audit.jsonl in the export that was judged).",
)
@option_of(_FORM, "--keep-dropped", type=FilePath(), help="Write dropped posts, answers and pairs to this folder.")
@rule_parameters
@screening_options("Leave out texts that hold an item of this evaluation set")
@cleaning_options
@work
@common
def command(
    out: Path,
    rule: str,
    formats: tuple[str, ...],
    communities: tuple[str, ...],
    sites: tuple[str, ...],
    validation: float,
    test: float,
    as_of: str | None,
    recheck: bool,
    dry_run: bool,
    replace: bool,
    refit: bool,
    layout: str,
    margin: bool,
    audit: Path | None,
    keep_dropped: Path | None,
    workers: int | None,
    memory: int | None,
    engine: str,
    address: str | None,
    store: Path,
    as_json: bool,
    quiet: bool,
    **parameters: bool | float | str | datetime | tuple[str, ...] | tuple[Path, ...] | None,
) -> int:
    """Write a store's preference data to the folder OUT.

    Rules: shp (default), shp-strict, time-matched, votes, older-winner, log-votes, accepted (the asker's choice),
    per-reader (likes per reader), calibrated (pairs that rank and age do not explain), comparisons (all pairs, with
    what attention explains in a column). The options below change single values of the rule. Formats: pairs
    (default), shp, trl, chat-pairs, trl-text, kto, ranking, sft, bandit; several formats get one folder each in
    OUT. An earlier export of the same selection in OUT is replaced; one of another rule, format, community or site
    is replaced after a question, or with --replace. Other files in OUT stay.
    """
    from shp_miner.export.dataset import export_dataset
    from shp_miner.rules.presets import preset

    if audit is not None:
        parameters["confidence_slope"] = judged_slope(audit, parameters["confidence_slope"], quiet=quiet or as_json)
    clean, sets = taken_cleaning(parameters), taken_sets(parameters)
    chosen = preset(rule, **{name: value for name, value in parameters.items() if value is not None})
    what: Asked = {
        "rule": chosen,
        "formats": formats,
        "communities": communities,
        "sites": sites,
        "validation": validation,
        "test": test,
        "layout": layout,
        "margin": margin,
        "clean": clean,
        "decontaminate": sets,
        "as_of": as_of,
        "workers": workers,
        "memory": memory,
        "engine": engine,
        "address": address,
        "refit": refit,
        "keep_dropped": keep_dropped,
    }
    if dry_run:
        return show_estimate(out, store, what, as_json=as_json, quiet=quiet)
    complete_unfinished(store)
    if not replace:
        ask_to_replace(out, store, what, quiet=quiet or as_json)
    if recheck and not revisit_due(store, quiet=quiet):
        say("Some threads could not be rechecked; exporting what the store has.", err=True)
    with all_or_nothing(), steps("Exporting", quiet=quiet) as step:
        result = export_dataset(
            store,
            out,
            **what,
            replace=True,
            advance=step,
        )
    return _show_exported(result, chosen, out, store, formats, as_json=as_json, quiet=quiet)


def _show_exported(
    result: Exported, rule: Rule, out: Path, store: Path, formats: tuple[str, ...], *, as_json: bool, quiet: bool
) -> int:
    """Show what was written, left out and changed; return the exit code."""
    from shp_miner.export.compact import row_count
    from shp_miner.export.registered import is_known
    from shp_miner.store import Store

    registered = is_known(Store(store), out)
    if not registered:
        told = "This export is not registered, because the store is not writable: `forget` does not find it by itself."
        say(f"{told} Give it to each forget request: `shp-miner forget --export {out.absolute()}`.", err=True)
    for sentence in _waiting(store):
        say(sentence, err=True)
    formats_rows = {name: row_count(shards) for name, shards in result.shards.items()}
    data = {
        "out": str(out),
        "store": str(store),
        "registered": registered,
        **export_data(result, rule.name, formats_rows),
        **tally_data(result.tally),
        "changes": {name: changes.to_dict() for name, changes in result.changes.items()},
        "fit": fit_data(result),
    }

    def people() -> None:
        say_counts(f"Rule {rule.name}, store version {result.version}", result.posts, result.pairs)
        print_reasons("Left out", result.tally)
        if rule.confounded:
            say("The labels of this rule are confounded by attention: use them to compare rules, not to train.", "")
        print_table(f"Written to {out}", ("format", "rows"), list(formats_rows.items()))
        say_changes(result)
        say_recommended(result.recommended)
        say_example(out)
        say_next([called("show", out), called("show", out, "--sort", "confidence")][: 1 + has_confidence(formats)])

    show_result(data, people, as_json=as_json, quiet=quiet)
    if result.missing:
        say(result.missing, err=True)
        return 3
    return 0


def _waiting(path: Path) -> list[str]:
    """Return a sentence for each export that forget requests still wait for, after trying them again.

    The new export is complete either way.
    """
    from contextlib import suppress

    from shp_miner.errors import Error
    from shp_miner.export.registered import waiting_copies
    from shp_miner.forgetting.forget import purge
    from shp_miner.store import Store

    store = Store(path)
    if not waiting_copies(store):
        return []
    with suppress(Error, OSError):  # the store is in use or read-only: `status` reports the open request
        purge(store)
    return [
        f"A forget request is not finished yet: it has not reached {copy.path}. {copy.why}"
        for copy in waiting_copies(store)
    ]
