"""`shp-miner init`: write a pipeline file from three questions or from options."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from shp_miner.cli.asking import answered
from shp_miner.cli.choosing import formats_option, rule_option, unread_communities_option
from shp_miner.cli.names import SourceName
from shp_miner.cli.options import FilePath, example, printing
from shp_miner.cli.output import show_result
from shp_miner.cli.saying import say
from shp_miner.cli.variables import StoreOption
from shp_miner.errors import UsageError
from shp_miner.paths import DEFAULT_STORE
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
@click.option("--source", type=SourceName(), help="The source to crawl; see `shp-miner docs crawling`.")
@click.option("--site", help="The forum's host, for sources with many sites.")
@unread_communities_option("Crawl this community.")
@rule_option("The rule; see `shp-miner docs rules`.")
@formats_option()
@click.option("--out", help="The export's folder. [data/COMMUNITY]")
@click.option("--store", cls=StoreOption, default=str(DEFAULT_STORE), show_default=True, help="The store's folder.")
@printing
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
    """Write a pipeline file with comments for `shp-miner run` (default: pipeline.toml).

    On a terminal the command asks for what the options do not say: the source, the communities, and the folder of the
    dataset. The file describes every key; keys that are not needed now are commented out. An existing file is never
    changed.
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
                "Give them as options, because there is no terminal to ask on; see shp-miner init --help.",
            )
    row = ROWS[source or answered("Which source?", "discourse", click.Choice(list(ROWS)))]
    if row.runs_on_many and not site:
        site = _asked(f"Which site? (for example {row.example_site})", None)
    communities = communities or tuple(
        _asked("Which communities? (separate them with spaces)", row.whole_site or None).split()
    )
    if out is None:
        out = default_out(communities, site)
        out = _asked("Where should the dataset go?", out) if asking else out
    text = starting_text(
        source=row.name, communities=communities, site=site, rule=rule, formats=formats, out=out, store=store
    )
    _write(pipeline, text)
    following = [f"shp-miner run {shlex.quote(str(pipeline))}{option}" for option in (" --dry-run", "")]
    show_result({"pipeline": str(pipeline), "next": following}, lambda: _people(pipeline, row.preparation, following),
         as_json=as_json, quiet=quiet)  # fmt: skip
    return 0


def _asked(question: str, default: str | None) -> str:
    """Return an answer that is not empty; ask again until there is one."""
    while True:
        answer = answered(question, default)
        if answer:
            return answer
        say("The answer is empty. Answer, or press Ctrl-C to end without a file.")


def _free(pipeline: Path) -> None:
    if pipeline.exists() or pipeline.is_symlink():
        raise UsageError(f"{pipeline} exists already.", "Edit that file, or name another: shp-miner init other.toml.")


def _write(pipeline: Path, text: str) -> None:
    pipeline.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pipeline.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _free(pipeline)
        raise


def _people(pipeline: Path, preparation: str, following: list[str]) -> None:
    say(f"Wrote {pipeline}. Next:", "")
    if preparation:
        say(f"  # {preparation}")
    for line, why in zip(following, ("show the plan and its cost", "run it, as often as you like"), strict=True):
        say(f"  {line:<{len(following[0])}}   # {why}")
