"""`shp-miner doctor`: the state of the installation."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import common, example
from shp_miner.cli.output import show, table


@click.command("doctor", epilog=example("shp-miner doctor --json"))
@common
def command(store: Path, as_json: bool, quiet: bool) -> int:
    """Check versions, paths, optional parts, disk, and whether credentials are set. Never shows their values."""
    from shp_miner.report.doctor import examine

    data = examine(store)

    def people() -> None:
        table("Versions", ("part", "version"), list(data["versions"].items()))
        state = data["store"]
        held = f"version {state['version']}" if "version" in state else "nothing there yet"
        rows = [
            ("store", f"{state['path']} ({state.get('error', held)})"),
            ("free on its disk", f"{data['disk']['free_bytes'] / 1e9:.1f} GB"),
            *((f"extra {name}", "installed" if there else "not installed") for name, there in data["extras"].items()),
            *((f"{name} credentials", "set" if there else "not set") for name, there in data["credentials"].items()),
        ]
        table("This machine", ("what", "state"), rows)
        for problem in data["problems"]:
            click.echo(f"! {problem}")
        if not data["problems"]:
            click.echo("No problem found.")

    show(data, people, as_json=as_json, quiet=quiet)
    return 5 if data["problems"] else 0
