"""`shp-miner lab`: what every rule is worth, on simulated forums and on a store."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import example
from shp_miner.cli.output import progress, show, table


@click.command("lab", epilog=example("shp-miner lab data/lab", "shp-miner lab data/lab --store data/store"))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="Check the rules on this store instead of simulating.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(out: Path, store: Path | None, seed: int, as_json: bool, quiet: bool) -> None:
    """Measure what every rule is worth, and write tables to OUT."""
    assert store is not None
    from shp_miner.lab.real import check_store  # type: ignore[import-not-found,unused-ignore]

    with progress("Checking", 1, quiet=quiet, unit="steps") as advance:
        tables = check_store(store, out, seed=seed, advance=advance)

    def people() -> None:
        for one in tables:
            table(one.title, one.columns, one.shown())

    show({"out": str(out), "tables": [one.to_dict() for one in tables]}, people, as_json=as_json, quiet=quiet)
