"""`shp-miner report`: write a page with pictures of an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.options import FilePath, common, example
from shp_miner.cli.output import progress, show_result
from shp_miner.cli.saying import say
from shp_miner.tally import counted

if TYPE_CHECKING:
    from shp_miner.report.write import Reported


@click.command(
    "report",
    epilog=example(
        "shp-miner report data/eli5",
        "shp-miner report data/eli5 --against data/eli5-strict",
        "shp-miner report data/store",
    ),
)
@click.argument("path", type=FilePath(), metavar="[OUT]", required=False)
@click.option("--against", type=FilePath(), metavar="OUT", help="Compare with this other export (or store).")
@click.option("--out", type=FilePath(), metavar="FILE", help="Write the page here. [report.html in the folder]")
@click.option("--no-texts", is_flag=True, help="Leave out the pairs to read.")
@common
def command(
    path: Path | None,
    against: Path | None,
    out: Path | None,
    no_texts: bool,
    store: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a page with pictures of an export or a store, and the same numbers as JSON.

    OUT is the folder of either; default: the store. The page is one file that needs no network and no script. Each
    picture has its finding in words and its table. The page of an export ends with pairs of each community to read;
    that of a store says when its scores were read, and what each rule makes of it. Needs the extra `report`.
    """
    from shp_miner.export.owned import formats_in
    from shp_miner.report.write import report

    shown = store if path is None else path
    with progress("Reading", quiet=quiet or as_json, unit="rows" if formats_in(shown) else "steps") as meter:
        done = report(shown, against=against, out=out, texts=not no_texts, advance=meter.reached)
    data = {"page": str(done.page), "numbers": str(done.numbers), **done.data()}
    elsewhere = out is not None and bool(done.told.samples)
    show_result(data, lambda: _people(done, elsewhere=elsewhere), as_json=as_json, quiet=quiet)


def _people(done: Reported, *, elsewhere: bool) -> None:
    say(f"{done.page}: {counted(len(done.figures), 'picture')}; the numbers are in {done.numbers.name}.")
    if elsewhere:
        say("It quotes posts and answers, and `shp-miner forget` does not reach it there: delete it when you forget.")
