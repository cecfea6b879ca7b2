"""`shp-miner report`: write a page with pictures of an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.options import FilePath, common, example
from shp_miner.cli.output import progress, show_result
from shp_miner.cli.saying import say

if TYPE_CHECKING:
    from shp_miner.report.write import Reported


@click.command(
    "report",
    epilog=example("shp-miner report data/eli5", "shp-miner report data/eli5 --against data/eli5-strict"),
)
@click.argument("path", type=FilePath(), metavar="OUT")
@click.option("--against", type=FilePath(), metavar="OUT", help="Compare with this other export.")
@click.option(
    "--out", type=FilePath(), metavar="FILE", help="Write the page here. [report.html in the export's folder]"
)
@click.option("--no-texts", is_flag=True, help="Leave out the pairs to read.")
@common
def command(
    path: Path,
    against: Path | None,
    out: Path | None,
    no_texts: bool,
    store: Path,  # noqa: ARG001 - every command takes it
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a page with pictures of the export OUT, and the same numbers as JSON.

    The page is one file that needs no network and no script. Each picture has its finding in words and its table. The
    page ends with pairs of each community to read. Needs the extra `report`.
    """
    from shp_miner.report.write import report

    with progress("Reading", quiet=quiet or as_json, unit="rows") as meter:
        done = report(path, against=against, out=out, texts=not no_texts, advance=meter.reached)
    data = {"page": str(done.page), "numbers": str(done.numbers), **done.data()}
    show_result(data, lambda: _people(done, elsewhere=out is not None and not no_texts), as_json=as_json, quiet=quiet)


def _people(done: Reported, *, elsewhere: bool) -> None:
    say(f"{done.page}: {len(done.figures)} pictures; the numbers are in {done.numbers.name}.")
    if elsewhere:
        say("It quotes posts and answers, and `shp-miner forget` does not reach it there: delete it when you forget.")
