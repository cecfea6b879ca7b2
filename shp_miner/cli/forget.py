"""`shp-miner forget`: content out of the store and of every export it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.options import FilePath, common, example
from shp_miner.cli.output import complete, show, table
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
@click.option("--author", "authors", multiple=True, metavar="NAME", help="NAME, NAME@SITE or their page. Repeatable.")
@click.option(
    "--id", "ids", multiple=True, metavar="ID", help="SITE/POST, SITE/POST/ANSWER or the item's address. Repeatable."
)
@click.option("--file", type=_PATH, help="A text file with one of these a line.")
@click.option(
    "--export", "exports", multiple=True, type=_PATH, help="An export of this store, or its new place. Repeatable."
)
@click.option(
    "--drop-export",
    "drop_exports",
    multiple=True,
    type=_PATH,
    metavar="PATH",
    help="The export PATH was deleted, or moved: stop waiting for it. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
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
    """Take content out of a store and of every export made of it, and keep it out.

    Text and names are gone afterwards from the tables, their old versions, and the exports, which are made again; a
    later import or crawl does not bring them back. Ids, times and scores stay. Earlier versions of the store end: they
    cannot be named with --as-of any more. What other people wrote about somebody, or quoted, stays.

    A request stays open, and the exit code is 3, until every known export was reached. One that is away is cleaned when
    it comes back, by the next run or `forget`. If it was moved, name its new place with --export and the old one with
    --drop-export; if it was deleted, name it with --drop-export.

    Copies elsewhere are yours to delete: dumps, what you pushed or trained, and the cache of `datasets`. In --file,
    "author:" or "id:" before a line says which it is. Without options, what is not finished yet is tried again.
    """
    import msgspec

    from shp_miner.forgetting.forget import forget

    done = forget(
        store, authors=authors, ids=ids, file=file, exports=exports, drop_exports=drop_exports, dry_run=dry_run
    )

    if not dry_run:
        complete(store)

    def people() -> None:
        rows = [(name, one.items, one.rows, one.files) for name, one in done.tables.items()]
        title = "Would be forgotten in" if dry_run else "Forgotten in"
        table(f"{title} {store}", ("table", "items", "observations", "files rewritten"), rows)
        if done.exports:
            table("Exports", ("folder", "what", "why"), [(one.path, one.outcome, one.why) for one in done.exports])
            say(_beyond(done.exports))
        if not dry_run:
            say(f"The store's oldest version is now {done.version}.")

    show({"store": str(store), **msgspec.to_builtins(done)}, people, as_json=as_json, quiet=quiet)
    if done.unknown:
        after = "" if dry_run else " They are remembered and will not come in."
        say(f"Not in the store: {done.unknown} of what was named.{after}", err=True)
    waits = [one for one in done.exports if one.open]
    for one in waits:
        say(f"! {one.path}: {one.why} {one.hint}", err=True)
    if dry_run or not waits:
        return 0
    say(f"A forget request is not finished yet: {counted(len(waits), 'export')} not reached.", err=True)
    return 3


def _beyond(exports: Sequence[ExportDone]) -> str:
    """What no command can reach, in one line. The caches of other programs are named, and left alone."""
    caches = ", ".join(map(str, _caches(exports)))
    theirs = f"the cache of `datasets` ({caches}), " if caches else ""
    return f"Delete by hand what no command reaches: copies of exports, {theirs}pushed data sets, trained models."


def _caches(exports: Sequence[ExportDone]) -> list[Path]:
    """The folders where `datasets` keeps rows of folders that are called like these exports."""
    import os
    import re

    from shp_miner.export.formats import FORMATS

    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    names = {name for one in exports for name in (Path(one.path).name, *FORMATS, "parquet")}
    # As `datasets` makes them of the names of folders.
    folders = {re.sub(r"([A-Z]+)([A-Z][a-z])|([a-z\d])(?=[A-Z])", r"\1\3_\2", name).lower() for name in names}
    return [cache / name for name in sorted(folders) if (cache / name).is_dir()]
