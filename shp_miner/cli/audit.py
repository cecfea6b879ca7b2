"""`shp-miner audit`: judge pairs blind in the browser, and see how far people agree with the labels."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from shp_miner.cli.choosing import rule_option
from shp_miner.cli.options import FilePath, Whole, common, example
from shp_miner.cli.output import print_table, progress, show_result
from shp_miner.cli.saying import say
from shp_miner.cli.stopping import until_stopped
from shp_miner.errors import BadInput, UsageError

if TYPE_CHECKING:
    from shp_miner.store import Store
    from shp_miner.web.results import Results


@click.command("audit", epilog=example("shp-miner audit data/eli5 -n 50", "shp-miner audit data/eli5 --results"))
@click.argument("path", type=FilePath(), metavar="OUT")
@click.option("-n", "--pairs", type=Whole(min=1, max=10_000), default=100, show_default=True, help="Judge N pairs.")
@click.option("--results", is_flag=True, help="Print how far the judgments so far agree, and serve no page.")
@click.option("--file", type=FilePath(), metavar="FILE", help="Keep judgments here. [audit.jsonl in OUT]")
@click.option(
    "--port", type=Whole(0, 65_535), default=8417, show_default=True, help="Port of the page; 0 takes a free one."
)
@rule_option("The rule with which pages of threads begin.")
@common
def command(
    path: Path,
    pairs: int,
    results: bool,
    file: Path | None,
    port: int,
    rule: str,
    store: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge pairs of the export OUT in the browser, without seeing their votes.

    The command prints the address of a page for this machine alone. It shows a question and two answers with their
    sides shuffled; several people can judge, each by name. Every judgment is saved at once, and `lab --audit` reads the
    file. With --store the page also shows threads of the store, and why each pair was made or not. Needs the extra
    `web`; --results needs none.
    """
    from shp_miner.web.judgments import JUDGMENTS

    place = file or path / JUDGMENTS
    if results:
        _print_results(path, place, store, as_json=as_json, quiet=quiet)
    elif quiet and not as_json:
        raise UsageError(
            "The audit prints the address of its page, and -q prints nothing.", "Leave -q out, or add --json."
        )
    else:
        _serve(path, place, store, pairs=pairs, port=port, rule=rule, as_json=as_json)


def _store_at(store: Path) -> Store | None:
    """Return the store of the export's threads, if there is one."""
    from shp_miner.store import Store

    found = Store(store)
    return found if found.exists else None


def _serve(path: Path, place: Path, store: Path, *, pairs: int, port: int, rule: str, as_json: bool) -> None:
    from shp_miner.web.server import require_web, served

    require_web()
    from shp_miner.web.audit import Audit, audited_export
    from shp_miner.web.judgments import Judgments
    from shp_miner.web.pages import Site

    audited_export(path)
    threads = _store_at(store)
    with until_stopped() as stopped, Judgments(place) as judgments:
        with progress("Choosing pairs", quiet=as_json, unit="rows") as meter:
            audit = Audit(path, judgments, pairs, advance=meter.reached)
        with served(Site(audit, place, threads, rule), port) as address:
            data = {"address": address, "pairs": audit.pairs, "judgments": str(place)}
            show_result(data, lambda: _say_where(address, place, threads), as_json=as_json, quiet=False)
            stopped.wait()


def _say_where(address: str, place: Path, store: Store | None) -> None:
    say(f"Open {address}", "", f"Judgments are saved to {place}. Stop with Ctrl-C; the same command goes on.")
    if store is None:
        say("There is no store: name the one of these threads with --store to see why pairs were made.")


def _print_results(path: Path, place: Path, store: Path, *, as_json: bool, quiet: bool) -> None:
    import msgspec

    from shp_miner.web.audit import audited_export
    from shp_miner.web.judgments import read_judgments
    from shp_miner.web.results import results

    export = audited_export(path)
    judgments = read_judgments(place)
    if not judgments:
        raise BadInput(f"{place} has no judgments.", f"Judge some pairs first: `shp-miner audit {quote(str(path))}`.")
    with progress("Reading labels", quiet=quiet or as_json, unit="rows") as meter:
        found = results(judgments, export, _store_at(store), meter.reached)
    data = {"file": str(place), **msgspec.to_builtins(found)}
    show_result(data, lambda: _people(found), as_json=as_json, quiet=quiet)


def _people(found: Results) -> None:
    from shp_miner.web.told import sentences, tables

    say(*sentences(found))
    for title, columns, rows in tables(found):
        say("")
        print_table(title, columns, rows)
