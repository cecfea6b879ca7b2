"""`shp-miner forget`: remove content from the store and from every registered export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.layout import say_prose
from shp_miner.cli.options import FilePath, common, example
from shp_miner.cli.output import complete_unfinished, print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.tally import counted

if TYPE_CHECKING:
    from shp_miner.forgetting.exports import ExportDone

_PATH = FilePath()


@click.command(
    "forget",
    epilog=example(
        "shp-miner forget --author somebody@reddit.com",
        "shp-miner forget --id cooking.stackexchange.com/784/790 --export ~/sets/cooking --dry-run",
    ),
)
@click.option(
    "--author",
    "authors",
    multiple=True,
    metavar="NAME",
    help="Remove all content of NAME, NAME@SITE or the person with this page. Repeatable.",
)
@click.option(
    "--id",
    "ids",
    multiple=True,
    metavar="ID",
    help="Remove SITE/POST, SITE/POST/ANSWER or the item with this address. Repeatable.",
)
@click.option("--file", type=_PATH, help="Read authors and ids from this text file, one per line.")
@click.option(
    "--export",
    "exports",
    multiple=True,
    type=_PATH,
    help="Also clean this export of the store, for example one that was moved. Repeatable.",
)
@click.option(
    "--drop-export",
    "drop_exports",
    multiple=True,
    type=_PATH,
    metavar="PATH",
    help="Stop waiting for the export PATH, because it was deleted or moved. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and change nothing.")
@common
def command(
    authors: tuple[str, ...],
    ids: tuple[str, ...],
    file: Path | None,
    exports: tuple[Path, ...],
    drop_exports: tuple[Path, ...],
    dry_run: bool,
    store: Path,
    as_json: bool,
    quiet: bool,
) -> int:
    """Remove content from a store and from all its registered exports, and keep it out.

    Text and names are deleted from the tables, from their old versions and from the exports, which are written again.
    Later imports and crawls do not bring them back. Ids, times and scores stay. --as-of cannot name earlier
    versions of the store any more. Text in which other people write about or quote somebody stays.

    A request is open, with exit code 3, until it has reached every registered export. If an export is away, the next
    run or `forget` cleans it when it is back. If it was moved, name its new path with --export and its old path with
    --drop-export; if it was deleted, name it with --drop-export.

    Data sets that `push` noted in the store are named, with the command that deletes their earlier revisions. Delete
    other copies yourself: dumps, copies of exports, trained models and the cache of `datasets`. In --file, write
    "author:" or "id:" before a line if its kind is not clear. Without options, open requests are tried again.
    """
    import msgspec

    from shp_miner.forgetting.forget import forget

    done = forget(
        store, authors=authors, ids=ids, file=file, exports=exports, drop_exports=drop_exports, dry_run=dry_run
    )

    if not dry_run:
        complete_unfinished(store)

    def people() -> None:
        rows = [(name, counts.items, counts.rows, counts.files) for name, counts in done.tables.items()]
        title = "Would be removed from" if dry_run else "Removed from"
        print_table(f"{title} {store}", ("table", "items", "observations", "files rewritten"), rows)
        if done.exports:
            print_table(
                "Exports",
                ("folder", "outcome", "reason"),
                [(export.path, export.outcome, export.why) for export in done.exports],
            )
            say_prose(_beyond(done.exports))
        if not dry_run:
            say(f"The store's oldest version is now {done.version}.")

    show_result({"store": str(store), **msgspec.to_builtins(done)}, people, as_json=as_json, quiet=quiet)
    if done.unknown:
        after = "" if dry_run else " Later imports and crawls will leave them out."
        say(f"Not found in the store: {done.unknown:,} of the given authors and ids.{after}", err=True)
        if any("," in text for text in (*authors, *ids)):  # a name may have one: never guess what is deleted
            say("Commas do not separate names or ids here: repeat the option, as in --author A --author B.", err=True)
    waits = [export for export in done.exports if export.open]
    for export in waits:
        say(f"! {export.path}: {export.why} {export.hint}", err=True)
    for owed in done.pushed:
        branch = f"{owed.repo} ({owed.revision}) at {owed.endpoint}"
        say(f"! {branch}: earlier revisions there still serve what was forgotten. {owed.hint}", err=True)
    if dry_run or not waits:
        return 0
    say(f"A forget request is not finished yet: {counted(len(waits), 'export')} not reached.", err=True)
    return 3


def _beyond(exports: Sequence[ExportDone]) -> str:
    """Return one line on copies that no command can reach. Caches of other programs are named, and not changed."""
    found = _caches(exports)
    names = ", ".join(path.name for path in found)
    caches = f"{names} in {found[0].parent}" if len(found) > 1 else "".join(map(str, found))
    theirs = f"the cache of `datasets` ({caches}), " if caches else ""
    return f"Delete other copies yourself: copies of exports, {theirs}pushed data sets, trained models."


def _caches(exports: Sequence[ExportDone]) -> list[Path]:
    """Return the folders in which `datasets` caches rows of exports with these names."""
    import os
    import re

    from shp_miner.export.formats import FORMATS

    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    names = {name for export in exports for name in (Path(export.path).name, *FORMATS, "parquet")}
    # As `datasets` makes them of the names of folders.
    folders = {re.sub(r"([A-Z]+)([A-Z][a-z])|([a-z\d])(?=[A-Z])", r"\1\3_\2", name).lower() for name in names}
    return [cache / name for name in sorted(folders) if (cache / name).is_dir()]
