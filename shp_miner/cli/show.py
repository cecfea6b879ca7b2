"""`shp-miner show`: print pairs of an export or a store, or one thread and why each of its pairs was made or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.arguments import known_name
from shp_miner.cli.choosing import communities_option, rule_option
from shp_miner.cli.cleaning import cleaning_options, cleaning_words, taken_cleaning
from shp_miner.cli.layout import LINES, joined, say_lines, wrapped
from shp_miner.cli.names import FORMAT_NAMES
from shp_miner.cli.options import FilePath, Whole, common, example, rule_parameters
from shp_miner.cli.output import show_result, steps
from shp_miner.cli.saying import say
from shp_miner.errors import BadInput, UsageError
from shp_miner.tally import counted

if TYPE_CHECKING:
    from shp_miner.clean.cleaning import Cleaning
    from shp_miner.rules.presets import Rule
    from shp_miner.show.parts import Shown


#: What a bar says while the communities of a few threads are measured.
_MEASURING = "Measuring confidence"


@click.command(
    "show",
    epilog=example(
        "shp-miner show data/eli5",
        "shp-miner show data/eli5 --sort confidence -n 3 --full",
        "shp-miner show --thread https://www.reddit.com/r/AskAcademia/comments/7ippb4",
    ),
)
@click.argument("path", type=FilePath(), required=False, metavar="[OUT|STORE]")
@click.option("-n", "--count", type=Whole(min=1), default=5, show_default=True, help="Show N rows.")
@click.option(
    "--thread", metavar="ID", help="Show this thread: its post's id as the platform writes it, or its address."
)
@click.option("--site", help="The thread's site, or keep only this site of a store.")
@communities_option("Show")
@rule_option("The rule for a store; an export has its own.")
@click.option(
    "--sort",
    type=click.Choice(["confidence"], case_sensitive=False),
    help="Show the rows of an export with the highest confidence.",
)
@click.option("--format", "form", help="The format of an export that has several. [the first]")
@click.option("--full", is_flag=True, help="Show whole texts and every pair.")
@rule_parameters
@cleaning_options
@common
def command(
    path: Path | None,
    count: int,
    thread: str | None,
    site: str | None,
    communities: tuple[str, ...],
    rule: str,
    sort: str | None,
    form: str | None,
    full: bool,
    store: Path,
    as_json: bool,
    quiet: bool,
    **parameters: bool | float | str | datetime | tuple[str, ...] | None,
) -> None:
    """Print rows of an export as people read them, or pairs and threads of a store.

    OUT is an export in any format: its rows are a sample by hash of all communities and splits. STORE is a store
    (default: the one of --store): pairs that the rule makes of a few threads. With --thread, the whole thread: its
    answers in order of time, their scores at each reading, whether each is eligible, and why each pair is made or not.
    The options below change single values of the rule and count for a store.
    """
    from shp_miner.rules.presets import preset

    place = store if path is None else path
    cleaned = cleaning_words(parameters)
    clean = taken_cleaning(parameters)
    given = {name: value for name, value in parameters.items() if value is not None}
    if path is not None and _is_export(path):
        _require_none(cleaned, rule=None if rule == "shp" else rule, site=site, **given)
        _show_export(path, count, thread, communities, sort, form, full=full, as_json=as_json, quiet=quiet)
        return
    _require_no_export_options(sort, form)
    chosen = preset(rule, **given)
    if thread is not None:
        _show_thread(place, thread, site, chosen, clean, full=full, as_json=as_json, quiet=quiet)
    else:
        _show_store(place, count, site, communities, chosen, clean, full=full, as_json=as_json, quiet=quiet)


def _is_export(path: Path) -> bool:
    """Return whether a folder is an export, and not a store. Raises BadInput if it is neither."""
    from shp_miner.export.owned import MANIFEST, formats_in

    if formats_in(path) or (path / MANIFEST).is_file():
        return True
    from shp_miner.store import Store

    if not path.is_dir() or not Store(path).exists:
        raise BadInput(
            f"{path.absolute()} is neither an export nor a store.",
            "Name the folder that `shp-miner export` wrote to, or that of a store.",
        )
    return False


def _require_none(cleaned: Sequence[str], **options: object) -> None:
    """Raise UsageError for options that only a store has a use for; `cleaned` are words of those that clean."""
    given = [word for word in cleaned if word.startswith("--")]
    given += [f"--{name.removesuffix('_s').replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"An export has the pairs of its own rule: {', '.join(given)} cannot change them.",
            "Leave this out, or name a store.",
        )


def _require_no_export_options(sort: str | None, form: str | None) -> None:
    if sort is not None:
        raise UsageError(
            "--sort needs an export.", "Export first, and name its folder: `shp-miner show OUT --sort confidence`."
        )
    if form is not None:
        raise UsageError(
            "--format needs an export: a store has no formats.", "Name the folder of an export, or leave it out."
        )


def _show_export(
    out: Path,
    count: int,
    thread: str | None,
    communities: Sequence[str],
    sort: str | None,
    form: str | None,
    *,
    full: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from shp_miner.show.rows import export_at, of_thread, sampled, surest

    export = export_at(out, form and known_name(form, FORMAT_NAMES), communities)
    if thread is not None:
        rows = of_thread(export, thread)
        rows, all_rows = rows[: None if full else count], len(rows)
    else:
        rows, all_rows = (surest if sort else sampled)(export, count), export.rows
    data = {
        "out": str(out),
        "format": export.form,
        "rows": all_rows,
        "shown": [{"community": row.community, "split": row.split, **row.row} for row in rows],
    }
    title = [f"{len(rows)} of {counted(all_rows, 'row')} of {out}", f"format {export.form}"]
    show_result(data, lambda: _rows(title, rows, full=full), as_json=as_json, quiet=quiet)


def _show_store(
    store: Path,
    count: int,
    site: str | None,
    communities: Sequence[str],
    rule: Rule,
    clean: Cleaning,
    *,
    full: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from shp_miner.clean.cleaning import as_cleaning
    from shp_miner.export.selected import selected
    from shp_miner.show.pairs import pairs_of
    from shp_miner.store import Store

    opened = Store(store)
    snapshot = opened.snapshot()
    selection, missing = selected(
        snapshot, rule, communities=communities, sites=[site] if site else [], clean=as_cleaning(clean)
    )
    with steps(_MEASURING, quiet=quiet) as advance:
        rows = pairs_of(opened, snapshot, selection, count, advance)
    data = {"store": str(store), "version": snapshot.version, "rule": rule.name, "shown": [row.row for row in rows]}
    title = [f"{counted(len(rows), 'pair')} of {store}", f"version {snapshot.version}", "each of another thread"]
    show_result(data, lambda: _rows(title, rows, full=full), as_json=as_json, quiet=quiet)
    if missing:
        say(missing, err=True)


def _show_thread(
    store: Path,
    thread: str,
    site: str | None,
    rule: Rule,
    clean: Cleaning,
    *,
    full: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    import msgspec

    from shp_miner.cli.show_thread import people
    from shp_miner.show.find import find_thread
    from shp_miner.show.thread import show_thread
    from shp_miner.store import Store

    opened = Store(store)
    snapshot = opened.snapshot()
    found = find_thread(snapshot, thread, site)
    with steps(_MEASURING, quiet=quiet) as advance:
        shown = show_thread(opened, snapshot, found, rule, advance, clean=clean)
    show_result(msgspec.to_builtins(shown), lambda: people(shown, full=full), as_json=as_json, quiet=quiet)


def _rows(title: list[str], rows: Sequence[Shown], *, full: bool) -> None:
    say(*joined(title))
    for number, row in enumerate(rows, start=1):
        say("", *joined([f"{number}. {row.community}", row.split, *row.facts]))
        say_parts(row, full=full)


def say_parts(row: Shown, *, full: bool) -> None:
    """Print the texts of a row with their scores, and the address of its thread."""
    for part in row.parts:
        about = [f"score {part.score:,}"] if part.score is not None else []
        about += [f"written {part.written_at:%Y-%m-%d %H:%M}"] if part.written_at is not None else []
        say(f"{part.label} ({', '.join(about)}):" if about else f"{part.label}:")
        say_lines(wrapped(part.text, indent="  ", lines=None if full else LINES))
    if row.url:
        say(row.url)
