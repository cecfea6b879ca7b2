"""`shp-miner run`: do all steps of a pipeline once; made for cron."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.choosing import REPEATABLE
from shp_miner.cli.crawl import ended_by_sigterm
from shp_miner.cli.logs import NAME, logging_to_stderr
from shp_miner.cli.names import Commas, flat
from shp_miner.cli.options import Duration, PipelinePath, Whole, example, printing
from shp_miner.cli.output import Marked, print_table, progress, show_result
from shp_miner.cli.progress import run_shown
from shp_miner.cli.variables import unknown_variables

if TYPE_CHECKING:
    from shp_miner.pipeline.keys import Pipeline
    from shp_miner.pipeline.ran import Ran

#: The same as `pipeline.ran.STEPS`, without importing that room's libraries for the help.
STEPS = ("forget", "import", "recheck", "crawl", "export", "tidy")


@click.command(
    "run",
    epilog=example("shp-miner run pipelines/discourse.toml", "shp-miner run eli5.toml --only export --dry-run"),
)
@click.argument("pipeline", type=PipelinePath())
@click.option(
    "--only",
    type=Commas(click.Choice(STEPS, case_sensitive=False)),
    callback=flat,
    multiple=True,
    help=f"Do only this step. {REPEATABLE}: crawl,export.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and its cost in requests; send none and change nothing.")
@click.option("--max-seconds", type=Duration(), help="Override limits.max_seconds of the file (for example 20m).")
@click.option("--max-requests", type=Whole(min=0), help="Override limits.max_requests of the file.")
@printing
@click.pass_context
@ended_by_sigterm()
def command(
    ctx: click.Context,
    pipeline: Path,
    only: tuple[str, ...],
    dry_run: bool,
    max_seconds: float | None,
    max_requests: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Do all steps of PIPELINE (a TOML file, see `shp-miner docs pipelines`) once.

    Steps: forget, import, recheck, crawl, export, tidy. Run it as often as you like: finished work is not repeated, and
    unfinished work continues. Only one run may use a store; a second run ends at once with exit code 75. SIGTERM ends a
    run cleanly with exit code 3. Log lines on stderr are text on a terminal and JSON elsewhere; the last line is the
    summary.
    """
    import msgspec

    from shp_miner.pipeline import config, launch

    with logging_to_stderr("auto", quiet=quiet):
        read = config.read(pipeline)
    read = launch.bounded(read, max_seconds=max_seconds, max_requests=max_requests)
    if dry_run:
        return _planned(read, pipeline, only, as_json=as_json, quiet=quiet)

    log = logging.getLogger(NAME)
    with logging_to_stderr(read.log.format, quiet=quiet):
        for sentence in unknown_variables(ctx.find_root()):
            log.warning("%s", sentence)
        with progress(pipeline.name, quiet=quiet, log=log.info) as meter:
            ran = launch.run(read, pipeline.name, only=only, say=log.info, warn=log.warning, advance=run_shown(meter))
        level = logging.WARNING if ran.exit_code else logging.INFO
        log.log(
            level, "%s", _summary(ran), extra={"data": {"event": "summary", "pipeline": ran.pipeline, **ran.counts()}}
        )
    steps = [(step.step, step.about, outcome_of(step.said, step.exit_code), step.exit_code) for step in ran.steps]
    data = msgspec.to_builtins(ran)
    show_result(
        data,
        lambda: print_table(f"Ran {pipeline}", ("step", "what", "outcome", "code"), steps),
        as_json=as_json,
        quiet=quiet,
    )
    return ran.exit_code


def outcome_of(said: str, exit_code: int) -> Marked:
    """Return how a step ended, marked by its exit code."""
    return Marked(said, "good" if exit_code == 0 else "waiting" if exit_code in (3, 75) else "wrong")


def _summary(ran: Ran) -> str:
    counts = ran.counts()
    return (
        f"{ran.pipeline}: {counts['new']:,} threads new, {counts['changed']:,} changed, "
        f"{counts['deleted']:,} items deleted, {counts['given_up']:,} given up, {counts['pairs']:,} pairs, "
        f"{counts['requests']:,} requests, "
        f"{counts['waited_s']:g} s waited, "
        f"{counts['seconds']:g} s, exit {counts['exit_code']}"
    )


def _planned(read: Pipeline, pipeline: Path, only: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
    import msgspec

    from shp_miner.pipeline.plan import plan, require_credentials

    found = plan(read, only=only)
    rows = [(part.step, part.about, part.would, part.requests) for part in found]
    data = {"pipeline": str(pipeline), "store": read.store, "steps": msgspec.to_builtins(found)}
    columns = ("step", "what", "would", "requests")
    show_result(data, lambda: print_table(f"{pipeline} would", columns, rows), as_json=as_json, quiet=quiet)
    require_credentials(read, found)
    return 0
