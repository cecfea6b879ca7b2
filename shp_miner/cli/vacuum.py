"""`shp-miner vacuum`: old versions out of a store."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import Duration, common, example
from shp_miner.cli.output import complete, show
from shp_miner.cli.saying import say
from shp_miner.units import sized


@click.command("vacuum", epilog=example("shp-miner vacuum", "shp-miner vacuum --keep 30d --store data/store"))
@click.option("--keep", type=Duration(), default="7d", show_default=True, help="Keep versions that are younger.")
@common
def command(keep: float, store: Path, as_json: bool, quiet: bool) -> int:
    """Delete the files that only old versions of a store need; `shp-miner run` does it about daily by itself.

    No row goes, and no export changes. Afterwards --as-of opens no version that was over before the time to keep.
    """
    import msgspec

    from shp_miner.store import Store
    from shp_miner.store.database import shrink

    complete(store)
    done = Store(store).vacuum(keep)
    shrink(store)

    def people() -> None:
        size = sized(done.size_bytes)
        say(f"Deleted {done.files:,} data files ({size}) and {done.log_files:,} files of the log in {store}.")

    show({"store": str(store), **msgspec.to_builtins(done)}, people, as_json=as_json, quiet=quiet)
    return 0
