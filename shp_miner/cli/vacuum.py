"""`shp-miner vacuum`: delete files that only old versions of a store need, and evaluation sets that nothing needs."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import Duration, common, example
from shp_miner.cli.output import complete_unfinished, print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.units import sized


@click.command("vacuum", epilog=example("shp-miner vacuum --dry-run", "shp-miner vacuum --keep 30d --store data/store"))
@click.option(
    "--keep", type=Duration(), default="7d", show_default=True, help="Keep versions that are younger than this."
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@common
def command(keep: float, dry_run: bool, store: Path, as_json: bool, quiet: bool) -> int:
    """Delete files that only old versions of a store need. `shp-miner run` does this about once a day.

    It also deletes what the store kept of evaluation sets for which no export is screened now. No row of the current
    version is deleted, and no export changes. Afterwards --as-of cannot open versions that were replaced before the
    time to keep.
    """
    import msgspec

    from shp_miner.export.screens import delete_unused_items
    from shp_miner.store import Store
    from shp_miner.store.database import shrink_log

    if dry_run:
        return _dry_run(store, keep, as_json=as_json, quiet=quiet)
    complete_unfinished(store)
    done = Store(store).vacuum(keep)
    done.add(delete_unused_items(Store(store)))
    shrink_log(store)

    def people() -> None:
        size = sized(done.size_bytes)
        say(f"Deleted {done.files:,} data files ({size}) and {done.log_files:,} log files in {store}.")

    show_result({"store": str(store), **msgspec.to_builtins(done)}, people, as_json=as_json, quiet=quiet)
    return 0


def _dry_run(store: Path, keep: float, *, as_json: bool, quiet: bool) -> int:
    import msgspec

    from shp_miner.export.screens import KEPT_IN, unused_items
    from shp_miner.store import Store
    from shp_miner.store.vacuum import WouldEnd

    found = Store(store).would_vacuum(keep)
    unused = unused_items(Store(store))
    found[KEPT_IN] = WouldEnd(len(unused), sum(file.stat().st_size for file in unused))

    def people() -> None:
        rows = [
            (name, _versions(ended.versions), ended.files, sized(ended.size_bytes), ended.log_files)
            for name, ended in found.items()
        ]
        columns = ("folder", "versions", "data files", "size", "log files")
        print_table(f"Would be deleted in {store}; nothing is", columns, rows)

    show_result(
        {"store": str(store), "dry_run": True, **msgspec.to_builtins(found)}, people, as_json=as_json, quiet=quiet
    )
    return 0


def _versions(versions: list[int]) -> str:
    return f"{versions[0]} to {versions[-1]}" if len(versions) > 1 else ", ".join(map(str, versions)) or "none"
