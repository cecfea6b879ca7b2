"""`shp-miner forget`: content out of the store and of every export it knows."""

from __future__ import annotations

from pathlib import Path

import click

from shp_miner.cli.options import common, example
from shp_miner.cli.output import complete, show, table

_PATH = click.Path(path_type=Path)


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
@click.option("--export", "exports", multiple=True, type=_PATH, help="One more export made of this store. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@common
def command(
    authors: tuple[str, ...],
    ids: tuple[str, ...],
    file: Path | None,
    exports: tuple[Path, ...],
    dry_run: bool,
    store: Path,
    as_json: bool,
    quiet: bool,
) -> int:
    """Take content out of a store and of every export made of it, and keep it out.

    Text and names are gone afterwards from the tables, their old versions, and the exports, which are made again; a
    later import or crawl does not bring them back. Ids, times and scores stay. Earlier versions of the store end: they
    cannot be named with --as-of any more. What other people wrote about somebody, or quoted, stays.

    Copies elsewhere are yours to delete: dumps, what you pushed or trained, and the cache of `datasets`. In --file,
    "author:" or "id:" before a line says which it is. Without options, an earlier run that was stopped is completed.
    """
    import msgspec

    from shp_miner.forgetting import forget

    done = forget(store, authors=authors, ids=ids, file=file, exports=exports, dry_run=dry_run)

    if not dry_run:
        complete(store)

    def people() -> None:
        rows = [(name, one.items, one.rows, one.files) for name, one in done.tables.items()]
        title = "Would be forgotten in" if dry_run else "Forgotten in"
        table(f"{title} {store}", ("table", "items", "observations", "files rewritten"), rows)
        if done.exports:
            table("Exports", ("folder", "what", "why"), [(one.path, one.outcome, one.why) for one in done.exports])
        if not dry_run:
            click.echo(f"The store's oldest version is now {done.version}.")

    show({"store": str(store), **msgspec.to_builtins(done)}, people, as_json=as_json, quiet=quiet)
    if done.unknown:
        after = "" if dry_run else " They are remembered and will not come in."
        click.echo(f"Not in the store: {done.unknown} of what was named.{after}", err=True)
    return 0
