"""`shp-miner doctor`: the state of the installation."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import common, example
from shp_miner.cli.output import Marked, print_marked, print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.units import sized


@click.command("doctor", epilog=example("shp-miner doctor --json", "shp-miner doctor --repair --store data/store"))
@click.option("--repair", is_flag=True, help="Repair what can be repaired in the store.")
@common
def command(repair: bool, store: Path, as_json: bool, quiet: bool) -> int:
    """Check versions, paths, optional parts, disk, the store, and whether credentials are set.

    --repair deletes files left by killed commands, moves damaged files to the store's folder `damaged`, and
    completes unfinished work; it reports each repair. The exit code is 5 if a problem is left; the report says what to
    do. Values of credentials are never shown.
    """
    from shp_miner.health.doctor import examine

    data = examine(store, repair=repair)

    def people() -> None:
        print_table("Versions", ("part", "version"), list(data["versions"].items()))
        state = data["store"]
        held = f"version {state['version']}" if "version" in state else "no store yet"
        rows = [
            ("store", f"{state['path']} ({state.get('error', held)})"),
            ("free on its disk", sized(data["disk"]["free_bytes"])),
            *((f"extra {name}", "installed" if there else "not installed") for name, there in data["extras"].items()),
            *((f"{name} credentials", "set" if there else "not set") for name, there in data["credentials"].items()),
        ]
        print_table("This machine", ("what", "state"), rows)
        for sentence in (*data["repaired"], *data["leftovers"]):
            say(f"* {sentence}")
        print_marked(*(Marked(f"! {problem}", "wrong") for problem in data["problems"]))
        if not data["problems"]:
            print_marked(Marked("No problems found.", "good"))

    show_result(data, people, as_json=as_json, quiet=quiet)
    return 5 if data["problems"] else 0
