"""`shp-miner vacuum`: delete files that only old versions of a store need."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import Duration, common, example
from shp_miner.cli.output import complete_unfinished, show_result
from shp_miner.cli.saying import say
from shp_miner.units import sized


@click.command("vacuum", epilog=example("shp-miner vacuum", "shp-miner vacuum --keep 30d --store data/store"))
@click.option(
    "--keep", type=Duration(), default="7d", show_default=True, help="Keep versions that are younger than this."
)
@common
def command(keep: float, store: Path, as_json: bool, quiet: bool) -> int:
    """Delete files that only old versions of a store need. `shp-miner run` does this about once a day.

    No row of the current version is deleted, and no export changes. Afterwards --as-of cannot open versions that were
    replaced before the time to keep.
    """
    import msgspec

    from shp_miner.store import Store
    from shp_miner.store.database import shrink_log

    complete_unfinished(store)
    done = Store(store).vacuum(keep)
    shrink_log(store)

    def people() -> None:
        size = sized(done.size_bytes)
        say(f"Deleted {done.files:,} data files ({size}) and {done.log_files:,} log files in {store}.")

    show_result({"store": str(store), **msgspec.to_builtins(done)}, people, as_json=as_json, quiet=quiet)
    return 0
