"""`shp-miner lab`: measure how often the labels of each rule are right, on simulated forums and on a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from shp_miner.cli.choosing import REPEATABLE
from shp_miner.cli.names import Commas, flat
from shp_miner.cli.options import FilePath, Whole, example, printing
from shp_miner.cli.output import print_table, progress, show_result
from shp_miner.cli.saying import say

if TYPE_CHECKING:
    from shp_miner.lab.table import Table


@click.command("lab", epilog=example("shp-miner lab data/lab", "shp-miner lab data/lab-real --store data/store"))
@click.argument("out", type=FilePath())
@click.option(
    "--world",
    "worlds",
    type=Commas(),
    callback=flat,
    multiple=True,
    help=f"Run only this world; see `shp-miner docs lab`. {REPEATABLE}: base,hot.",
)
@click.option("--threads", type=Whole(min=1), default=2000, show_default=True, help="Threads per world.")
@click.option("--no-charts", is_flag=True, help="Draw no charts (charts need the extra `lab`).")
@click.option("--store", type=FilePath(), help="Check the rules on this store instead of simulating.")
@click.option(
    "--models",
    is_flag=True,
    help="With --store: train models of words on the pairs of every rule and of rivals, and test them (minutes).",
)
@click.option("--audit", type=FilePath(), help="With --store: also compare the rules with people's judgments (JSONL).")
@click.option("--seed", type=Whole(min=0), default=0, show_default=True, help="Seed of every random choice.")
@click.option("--workers", type=Whole(min=1), help="Use at most N processes. [the number of cores]")
@printing
def command(
    out: Path,
    worlds: tuple[str, ...],
    threads: int,
    no_charts: bool,
    store: Path | None,
    models: bool,
    audit: Path | None,
    seed: int,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure how often the labels of each rule are right, and write tables and charts to OUT.

    Simulated readers vote on answers of known quality, in worlds that differ in traffic, display, herding and more.
    The labels of each rule are compared with this quality. Finished worlds stay in OUT, and the next run uses them.
    With --store, the rules are checked on real threads instead, whose true quality nobody knows; with --models, models
    of words learn from each rule's labels and are tested on other threads.
    """
    if store is not None:
        _refuse_of_worlds()
        if models and audit is not None:
            raise click.UsageError("--audit judges labels and --models trains on them: run one after the other.")
        if models:
            _models(out, store, seed, as_json=as_json, quiet=quiet)
        else:
            _on_store(out, store, seed, audit, as_json=as_json, quiet=quiet)
        return
    if audit is not None or models:
        option = "--models" if models else "--audit"
        raise click.UsageError(f"{option} needs --store, because it is for real threads.")
    from shp_miner.lab.charts import draw_charts, remove_charts, require_matplotlib
    from shp_miner.lab.report import to_dict, write_report
    from shp_miner.lab.run import chosen_worlds, claim_folder, count_steps, run_worlds

    wanted = chosen_worlds(worlds)
    if not no_charts:
        require_matplotlib()
    claim_folder(out)
    silent = quiet or as_json
    with progress("Measuring", count_steps(wanted), quiet=silent, unit="rules") as advance:
        results = run_worlds(out, wanted, seed=seed, threads=threads, workers=workers, advance=advance)
    remove_charts(out)  # those of an earlier run may be of other worlds
    charts = [] if no_charts else draw_charts(out, results)
    tables = write_report(out, results, charts)

    def people() -> None:
        for report_table in tables[:2]:
            _print(report_table)
        say(f"More measures: {out / 'lab.md'}. This is a simulation; `shp-miner docs lab` lists its assumptions.")

    show_result(to_dict(results), people, as_json=as_json, quiet=quiet)


def _print(table: Table) -> None:
    """Print a table; on a narrow terminal its last columns leave first."""
    print_table(table.title, table.columns, table.shown(), leave=tuple(reversed(table.columns[2:])))


def _refuse_of_worlds() -> None:
    """Raise UsageError if an option on the command line has no effect with --store."""
    context = click.get_current_context()
    for name, option in (("worlds", "--world"), ("threads", "--threads"), ("workers", "--workers")):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{option} has no effect with --store, because it is for simulated forums: leave it out."
            )


def _on_store(out: Path, store: Path, seed: int, audit: Path | None, *, as_json: bool, quiet: bool) -> None:
    from shp_miner.lab.audit import read_judgments
    from shp_miner.lab.real import STEPS, check_store, require_checkable  # type: ignore[import-not-found,unused-ignore]
    from shp_miner.lab.run import claim_folder

    require_checkable(store)
    judgments = None if audit is None else read_judgments(audit)
    claim_folder(out)
    with progress("Checking", STEPS, quiet=quiet or as_json, unit="checks") as meter:
        tables = check_store(store, out, seed=seed, judgments=judgments, advance=lambda share: meter(share * STEPS))

    _show(out, "checks.md", tables, as_json=as_json, quiet=quiet)


def _models(out: Path, store: Path, seed: int, *, as_json: bool, quiet: bool) -> None:
    from shp_miner.lab.models import compare_models
    from shp_miner.lab.real import require_checkable
    from shp_miner.lab.run import claim_folder

    require_checkable(store)
    claim_folder(out)
    with progress("Training", 100, quiet=quiet or as_json, unit="%") as meter:
        tables = compare_models(store, out, seed=seed, advance=lambda share: meter(share * 100))
    _show(out, "models.md", tables, as_json=as_json, quiet=quiet)


def _show(out: Path, page: str, tables: list[Table], *, as_json: bool, quiet: bool) -> None:
    """Print the tables of a check on a store, or say why one has no rows."""

    def people() -> None:
        for report_table in tables:
            if report_table.rows:
                _print(report_table)
            else:
                say(report_table.title, "", f" {report_table.note}", "")
        say(f"How to read these: {out / page}. None proves a label; see `shp-miner docs real-checks`.")

    show_result(
        {"out": str(out), "tables": [report_table.to_dict() for report_table in tables]},
        people,
        as_json=as_json,
        quiet=quiet,
    )
