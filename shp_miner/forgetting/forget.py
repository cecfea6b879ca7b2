"""Forgetting: deletes content from the store, its old versions and its exports; the functions behind the commands.

A request is noted first and finished last, so the next run completes a run that was killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shp_miner import shown
from shp_miner.arguments import Names, Paths, paths, several
from shp_miner.errors import BadInput, UsageError, nearest_name
from shp_miner.export.owned import formats_in, remove_reports
from shp_miner.export.publish import check_place, place_of
from shp_miner.export.pushed import OwedPurge, owe_purge_of_others, owed_purges
from shp_miner.export.registered import (
    DAMAGED,
    KnownExport,
    adopt_export,
    all_exports,
    drop_export,
    is_back,
    read_again,
    waiting_copies,
    write_export,
)
from shp_miner.forgetting.asked import Asked, as_lines, author_request, from_file, item_request
from shp_miner.forgetting.exports import ExportDone, not_reached, reach_export
from shp_miner.forgetting.told_gone import DOING, look_for_deletions
from shp_miner.mining.calibrate import drop_fits
from shp_miner.paths import expanded
from shp_miner.platforms.people import FORMS
from shp_miner.store import Store
from shp_miner.store.forget import Purged, delete_earlier_versions, look_for_people, purge_table
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import add_lines, has_pending, make_salt, settle_list
from shp_miner.store.found import ASIDE
from shp_miner.store.identity import settle_identity, take_theirs
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import exclusive_lock
from shp_miner.store.replacing import remove_tree
from shp_miner.tally import counted

Path_ = str | os.PathLike[str]


class TableDone(msgspec.Struct):
    """Counts of a table: requested items that it has, emptied rows, and rewritten files."""

    items: int = 0
    rows: int = 0
    files: int = 0


class Forgot(msgspec.Struct):
    """The result of forgetting, or in a dry run the expected result. `unknown` counts requests that match nothing.

    `finished`: every registered export was reached or dropped by name; exports that are `open` were not reached.
    `pushed`: data sets on the Hub whose earlier revisions still serve forgotten content.
    """

    dry_run: bool
    version: str
    tables: dict[str, TableDone]
    exports: list[ExportDone]
    unknown: int = 0
    finished: bool = True
    pushed: list[OwedPurge] = []

    def __repr__(self) -> str:
        items, rows = (sum(getattr(table, name) for table in self.tables.values()) for name in ("items", "rows"))
        parts = [f"{counted(items, 'item')} in {counted(rows, 'row')}", counted(len(self.exports), "export")]
        parts += [f"{counted(self.unknown, 'request')} matched nothing"] if self.unknown else []
        parts += [] if self.finished else ["not finished"]
        dry = "dry run, " if self.dry_run else ""
        return f"Forgot({dry}store version {self.version}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        tables = [(name, counted(table.rows, "row")) for name, table in self.tables.items()]
        exports = [(export.path, " ".join(filter(None, [export.outcome, export.why]))) for export in self.exports]
        return shown.table(repr(self), ("where", "outcome"), [*tables, *exports])


def forget(
    store: Store | Path_,
    *,
    authors: Names | None = None,
    ids: Names | None = None,
    file: Path_ | None = None,
    exports: Paths | None = None,
    drop_exports: Paths | None = None,
    dry_run: bool = False,
) -> Forgot:
    """Remove content from a store and from its registered exports, keep it out, and return what was done.

    `authors` are "name" (on any site), "name@site", or stored addresses of people's pages; a name covers everything
    that accounts of this name wrote. `ids` are "site/post_id", "site/post_id/answer_id", or an item's stored address.
    `file` has one of these per line, with "author:" or "id:" before it if not clear. `exports` are further exports of
    this store, or new paths of moved ones. `drop_exports` are registered exports that were deleted or moved: nothing
    waits for them any more. Each of these is one text or several. Unfinished requests of earlier runs are tried again.

    Earlier versions of the store are deleted. Text in which others write about a person, or quote one, stays. Raises
    TryLater while somebody uses the store, and UsageError for requests that are not valid.
    """
    store = _existing(store)
    people, items = several(authors, "authors"), several(ids, "ids")
    asked = [
        *map(author_request, people),
        *map(item_request, items),
        *(from_file(expanded(file)) if file is not None else []),
    ]
    more = [_export(folder) for folder in paths(exports, "exports")]
    dropping = [_registered(store, folder) for folder in paths(drop_exports, "drop_exports")]
    if not (asked or more or dropping or has_pending(store.path) or waiting_copies(store)):
        raise UsageError("The request names no author and no item.", "Name them with --author, --id or --file.")
    _check_registered(store, dropping)
    if dry_run:
        known = Forgotten.load(store.path, pending=True)
        _check_addresses(store, asked, known)
        wanted = known.extended(as_lines(asked, known))
        found = [KnownExport(str(folder)) for folder in more]
        return _purge(store, wanted, asked, found, dropping=dropping, dry_run=True)
    with exclusive_lock(store.path, DOING):
        settle_identity(store.path)
        make_salt(store.path)
        look_for_deletions(store)
        _check_addresses(store, asked, Forgotten.load(store.path))
        lines = as_lines(asked, Forgotten.load(store.path))
        for folder in more:
            adopt_export(store, folder)
        if lines.height:
            add_lines(store.path, lines, pending=True)
        return _purge(store, Forgotten.load(store.path, pending=True), asked, dropping=dropping)


def _check_addresses(store: Store, asked: Sequence[Asked], known: Forgotten) -> None:
    """Raise UsageError for an address that is not a person's page and of which the store has no author."""
    for request in asked:
        lines = as_lines([request], known)
        if not request.unclear or not lines.join(known.lines, on="digest", how="semi").is_empty():
            continue
        if not look_for_people(store, known.part(lines)).digests:
            raise UsageError(
                f"{request.unclear} is not a person's page, and the store has no author with this address.",
                f"Write --author NAME, NAME@SITE, or the address of their page: {FORMS}. For a post or answer: --id.",
            )


def purge(store: Store | Path_) -> Forgot:
    """Remove deleted items (found by crawls or imports) and all other pending requests from the store and its exports.

    Exports that a request waits for are tried again if their folder exists.
    """
    store = _existing(store)
    if not (has_pending(store.path) or is_back(store)):
        return _done(store, _waited_for(all_exports(store)[0]))
    with exclusive_lock(store.path, DOING):
        settle_identity(store.path)
        look_for_deletions(store)
        if not (has_pending(store.path) or is_back(store)):
            return _done(store, _waited_for(all_exports(store)[0]))
        return _purge(store, Forgotten.load(store.path, pending=True), [])


def _purge(
    store: Store,
    wanted: Forgotten,
    asked: Sequence[Asked],
    more: Sequence[KnownExport] = (),
    *,
    dropping: Sequence[str] = (),
    dry_run: bool = False,
) -> Forgot:
    """Find the content, rewrite, delete old versions, export again, finish the request. Each step may be done twice."""
    if not dry_run:
        store.create()
    met: set[str] = set()
    whole = Forgotten.load(store.path).extended(wanted.lines)
    looking = wanted.names_people
    while looking:
        found = look_for_people(store, wanted)
        met |= found.digests
        if found.lines.height and not dry_run:
            # Rewritten rows no longer have their author.
            add_lines(store.path, found.lines, pending=True)
        wanted, whole = wanted.extended(found.lines), whole.extended(found.lines)
        # An account with this name may have had other names.
        looking = bool((found.lines["kind"] == "account").any())
    done = {name: purge_table(store, name, wanted, dry_run=dry_run) for name in TABLES}
    # Without a request, old versions stay: the work is about exports only.
    is_request = has_pending(store.path)
    if is_request and not dry_run:
        drop_fits(store.path)
        remove_tree(store.path / ASIDE)  # names of communities are in it, too
        remove_reports(store.path)  # it quotes posts and answers
        for name in TABLES:
            delete_earlier_versions(store, name)
    reached = _every_export(store, wanted, whole, more, dropping, dry_run=dry_run)
    if is_request and not dry_run:
        settle_list(store.path, met)
    tables = {name: TableDone(len(purged.keys), purged.rows, purged.files) for name, purged in done.items()}
    unknown = sum(not _is_known(request, whole, done, met) for request in asked)
    return _done(store, reached, tables=tables, unknown=unknown, dry_run=dry_run)


def _done(store: Store, exports: list[ExportDone], **more: Any) -> Forgot:
    told: dict[str, Any] = {"dry_run": False, "tables": {name: TableDone() for name in TABLES}, **more}
    return Forgot(
        version=store.snapshot().version,
        exports=exports,
        finished=not any(export.open for export in exports),
        pushed=owed_purges(store),
        **told,
    )


# -- exports ----------------------------------------------------------------------------------------------------------


def _every_export(
    store: Store,
    wanted: Forgotten,
    whole: Forgotten,
    more: Sequence[KnownExport],
    dropping: Sequence[str],
    *,
    dry_run: bool,
) -> list[ExportDone]:
    """Return the outcomes of all exports; each is tried even if others fail."""
    known, damaged = all_exports(store)
    done = [_drop(store, known, path, dry_run=dry_run) for path in dropping]
    for export in more:
        done += reach_export(store, export, wanted, whole, dry_run=dry_run)
    for export in known:
        # Writing one export again may have changed another one in its folders.
        now = export if dry_run else read_again(store, export)
        done += reach_export(store, now, wanted, whole, dry_run=dry_run)
    done += [not_reached(file, "damaged", DAMAGED) for file in damaged]
    if not (dry_run or wanted.lines.is_empty()):
        owe_purge_of_others(store, {export.path for export in known if export.is_there()} - set(dropping))
    first, theirs = take_theirs(store.path, look_only=dry_run)
    why = f"It belongs to the store {first}; this store is a copy of that one."
    return [*done, *(ExportDone(path, "another store's", why) for path in theirs)]


def _registered(store: Store, folder: Path) -> str:
    """Return the path under which an export is registered: without links, or with links by earlier versions."""
    as_given = os.path.abspath(folder)  # noqa: PTH100
    known = {path for export in all_exports(store)[0] for path in (export.path, *export.dropped)}
    return as_given if as_given in known else str(place_of(folder))


def _check_registered(store: Store, dropping: Sequence[str]) -> None:
    known = {path for export in all_exports(store)[0] for path in (export.path, *export.dropped)}
    for path in dropping:
        if path not in known:
            raise UsageError(f"The store {store.path} has no registered export {path}.", nearest_name(path, known))


def _drop(store: Store, exports: list[KnownExport], path: str, *, dry_run: bool) -> ExportDone:
    """Remove an export, or a folder of its dropped rows, from the list; return its outcome. Its files stay."""
    at_place = [export for export in exports if export.path == path]
    # If another export was written in place of one that is away, that other one stays on the list.
    at_place = [export for export in at_place if not export.is_there()] or at_place
    for export in exports:
        if export in at_place:
            is_whole = bool(export.of)  # an export that may be another store's is dropped with its dropped rows
            export.stage, export.clean, export.made, export.of = "gone", "", [], ""
            export.dropped = [] if is_whole else export.dropped
        elif path not in export.dropped:
            continue
        export.dropped = [folder for folder in export.dropped if folder != path]
        export.owes.pop(path, None)
        if not dry_run:
            write_export(store, export) if export.dropped or export.stage != "gone" else drop_export(store, export)
    still = "The folder still exists, unchanged: delete it yourself." if at_place and expanded(path).exists() else ""
    return ExportDone(path, "dropped", still)


def _waited_for(known: Iterable[KnownExport]) -> list[ExportDone]:
    return [not_reached(path, owed.kept_by, owed.why) for export in known for path, owed in export.owes.items()]


def _is_known(asked: Asked, known: Forgotten, done: dict[str, Purged], met: set[str]) -> bool:
    if asked.item is None:
        return any(line["digest"] in met for line in asked.lines(known))
    site, post_id, answer_id = asked.item.site, asked.item.post_id, asked.item.answer_id
    if answer_id is None:
        return (site, post_id) in done["posts"].keys
    return (site, post_id, answer_id) in done["answers"].keys


def _existing(store: Store | Path_) -> Store:
    store = store if isinstance(store, Store) else Store(store)
    store.require()
    return store


def _export(folder: Path) -> Path:
    if not formats_in(folder):
        raise BadInput(f"{folder} is not an export: it has no manifest.", "Name the folder that `export` wrote to.")
    check_place(folder)
    return folder
