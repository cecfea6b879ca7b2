"""`shp-miner init`: a pipeline file, written by asking three questions or from options."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import get_args

import click

from shp_miner.cli.options import DEFAULT_STORE, FilePath, example
from shp_miner.cli.output import show
from shp_miner.cli.saying import say
from shp_miner.errors import UsageError
from shp_miner.pipeline.keys import FormatName
from shp_miner.rules.presets import PRESETS
from shp_miner.sources.table import ROWS


@click.command(
    "init",
    epilog=example(
        "shp-miner init",
        "shp-miner init eli5.toml --source reddit --community explainlikeimfive",
        "shp-miner init meta.toml --source discourse --site meta.discourse.org --community latest --rule calibrated",
    ),
)
@click.argument("pipeline", type=FilePath(), default=Path("pipeline.toml"), metavar="[PIPELINE.toml]")
@click.option("--source", type=click.Choice(list(ROWS)), help="What to crawl; docs/crawling.md has what each gives.")
@click.option("--site", help="The forum's host, for sources that run on many.")
@click.option("--community", "communities", multiple=True, help="A community to crawl. Repeatable.")
@click.option("--rule", type=click.Choice(list(PRESETS)), default="shp", show_default=True, help="See docs/rules.md.")
@click.option(
    "--format",
    "formats",
    type=click.Choice(get_args(FormatName)),
    multiple=True,
    default=("pairs",),
    show_default=True,
    help="See docs/formats.md. Repeatable.",
)
@click.option("--out", help="Folder of the export. [data/COMMUNITY]")
@click.option("--store", default=str(DEFAULT_STORE), show_default=True, help="The store's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(
    pipeline: Path,
    source: str | None,
    site: str | None,
    communities: tuple[str, ...],
    rule: str,
    formats: tuple[str, ...],
    out: str | None,
    store: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Write a commented pipeline file for `shp-miner run`; PIPELINE.toml is pipeline.toml unless it is given.

    On a terminal it asks for what no option says: which source, which communities, and where the dataset goes. The
    file has every key with what it does; those that are not needed now are switched off. A file that exists is never
    touched.
    """
    from shp_miner.pipeline.template import default_out, starting_text

    _free(pipeline)
    asking = sys.stdin.isatty() and not as_json
    if not asking:
        missing = [name for name, value in (("--source", source), ("--community", communities)) if not value]
        missing += ["--site"] if source and ROWS[source].runs_on_many and not site else []
        if missing:
            raise UsageError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
                "Without a terminal nobody can be asked: see shp-miner init --help.",
            )
    row = ROWS[source or click.prompt("Which source?", type=click.Choice(list(ROWS)), default="discourse")]
    if row.runs_on_many and not site:
        site = _asked(f"Which site? (such as {row.example_site})", None)
    communities = communities or tuple(
        _asked("Which communities? (several with spaces between them)", row.whole_site or None).split()
    )
    if out is None:
        out = default_out(communities, site)
        out = _asked("Where shall the dataset go?", out) if asking else out
    text = starting_text(
        source=row.name, communities=communities, site=site, rule=rule, formats=formats, out=out, store=store
    )
    _write(pipeline, text)
    following = [f"shp-miner run {shlex.quote(str(pipeline))}{option}" for option in (" --dry-run", "")]
    show({"pipeline": str(pipeline), "next": following}, lambda: _people(pipeline, row.preparation, following),
         as_json=as_json, quiet=quiet)  # fmt: skip
    return 0


def _asked(question: str, default: str | None) -> str:
    """An answer that is more than spaces; without one the question comes again."""
    while True:
        answer: str = click.prompt(question, default=default, type=str).strip()
        if answer:
            return answer
        say("Nothing was answered; Ctrl-C ends without a file.")


def _free(pipeline: Path) -> None:
    if pipeline.exists() or pipeline.is_symlink():
        raise UsageError(f"{pipeline} exists already.", "Edit that one, or name another: shp-miner init other.toml.")


def _write(pipeline: Path, text: str) -> None:
    pipeline.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pipeline.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _free(pipeline)
        raise


def _people(pipeline: Path, preparation: str, following: list[str]) -> None:
    say(f"{pipeline} is written. Next:", "")
    if preparation:
        say(f"  # {preparation}")
    for line, why in zip(following, ("see what it would do and cost", "do it, as often as you like"), strict=True):
        say(f"  {line:<{len(following[0])}}   # {why}")
