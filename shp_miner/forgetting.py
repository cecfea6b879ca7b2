"""Forgetting: what a person asks for, or a platform deleted, out of the store, its old versions and its exports.

What the commands call, and you can too. A request is written down first and crossed out last, so a run that was killed
is completed by the next one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from shp_miner.calibrating import drop_fits
from shp_miner.errors import BadInput, UsageError
from shp_miner.export.publish import formats_in
from shp_miner.exports_again import ExportDone, dropped_again, export_again
from shp_miner.store import Store
from shp_miner.store.asked import Asked, as_lines, author, from_file, item
from shp_miner.store.exports import KnownExport, known_exports, remember_export
from shp_miner.store.forget import Purged, clean, look_for_people, purge_table
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import add, has_pending, make_salt, settle
from shp_miner.store.found import ASIDE
from shp_miner.store.imported import look_at_imports
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import exclusive

Path_ = str | os.PathLike[str]

_DOING = "taking out what is to be forgotten"


class TableDone(msgspec.Struct):
    """One table: items of what was asked that are there, rows emptied, and files written anew."""

    items: int = 0
    rows: int = 0
    files: int = 0


class Forgot(msgspec.Struct):
    """What forgetting did, or in a dry run would do. `unknown` of the things named are nowhere in the store."""

    dry_run: bool
    version: str
    tables: dict[str, TableDone]
    exports: list[ExportDone]
    unknown: int = 0


def forget(
    store: Store | Path_,
    *,
    authors: Iterable[str] = (),
    ids: Iterable[str] = (),
    file: Path_ | None = None,
    exports: Iterable[Path_] = (),
    dry_run: bool = False,
) -> Forgot:
    """Take content out of a store and of every export it knows, and keep it out.

    `authors` are names, as "name" anywhere or "name@site" on one site, or addresses of their pages as stored; with a
    name goes all that the accounts wrote that bear it. `ids` are "site/post_id", "site/post_id/answer_id", or an
    item's address as stored. `file` has one of these a line; "author:" or "id:" before it says which it is. `exports`
    are more folders of exports made of this store. What an earlier run could not finish is done as well.

    Earlier versions of the store end. What others wrote about a person, or quoted, stays. Raises TryLater while
    somebody uses the store, UsageError for what cannot be understood.
    """
    store = _existing(store)
    asked = [*map(author, authors), *map(item, ids), *(from_file(Path(file)) if file is not None else [])]
    more = [_export(Path(folder)) for folder in exports]
    if not (asked or more or has_pending(store.path)):
        raise UsageError("Nothing was named that is to be forgotten.", "Name it with --author, --id or --file.")
    if dry_run:
        known = Forgotten.load(store.path, pending=True)
        wanted = known.extended(as_lines(asked, known))
        return _purge(store, wanted, asked, [KnownExport(str(folder)) for folder in more], dry_run=True)
    with exclusive(store.path, _DOING):
        make_salt(store.path)
        look_at_imports(store)
        lines = as_lines(asked, Forgotten.load(store.path))
        for folder in more:
            remember_export(store, folder)
        if lines.height:
            add(store.path, lines, pending=True)
        if not (asked or more or has_pending(store.path)):
            return _nothing(store)
        return _purge(store, Forgotten.load(store.path, pending=True), asked)


def purge(store: Store | Path_) -> Forgot:
    """Take what was found to be gone (`tombstone`, or by imports), and all else that is pending, out of every copy."""
    store = _existing(store)
    if not has_pending(store.path):
        return _nothing(store)
    with exclusive(store.path, _DOING):
        look_at_imports(store)
        if not has_pending(store.path):
            return _nothing(store)
        return _purge(store, Forgotten.load(store.path, pending=True), [])


def _purge(
    store: Store,
    wanted: Forgotten,
    asked: Sequence[Asked],
    more: Sequence[KnownExport] = (),
    *,
    dry_run: bool = False,
) -> Forgot:
    """All of it: find, rewrite, end the old versions, export again, cross out. Each step may be done twice."""
    if not dry_run:
        store.create()
    met: set[str] = set()
    whole = Forgotten.load(store.path).extended(wanted.lines)
    looking = wanted.names_people
    while looking:
        found = look_for_people(store, wanted)
        met |= found.digests
        if found.lines.height and not dry_run:
            # The rows will not tell who wrote them once they are rewritten.
            add(store.path, found.lines, pending=True)
        wanted, whole = wanted.extended(found.lines), whole.extended(found.lines)
        # An account that bears the name may have borne others.
        looking = bool((found.lines["kind"] == "account").any())
    done = {name: purge_table(store, name, wanted, dry_run=dry_run) for name in TABLES}
    if not dry_run:
        drop_fits(store.path)
        shutil.rmtree(store.path / ASIDE, ignore_errors=True)  # names of communities are in it, too
        for name in TABLES:
            clean(store, name)
    exports = [*more, *known_exports(store)]
    reached = [one for known in exports for one in export_again(store, known, wanted, whole, dry_run=dry_run)]
    reached += [one for known in exports for one in dropped_again(known, whole, dry_run=dry_run)]
    if not dry_run:
        settle(store.path, met)
    tables = {name: TableDone(len(one.keys), one.rows, one.files) for name, one in done.items()}
    unknown = sum(not _is_known(one, whole, done, met) for one in asked)
    return Forgot(dry_run, store.snapshot().version, tables, reached, unknown)


def _nothing(store: Store) -> Forgot:
    return Forgot(False, store.snapshot().version, {name: TableDone() for name in TABLES}, [])


def _is_known(asked: Asked, known: Forgotten, done: dict[str, Purged], met: set[str]) -> bool:
    if asked.item is None:
        return any(one["digest"] in met for one in asked.lines(known))
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
        raise BadInput(f"{folder} is not an export: it has no manifest.", "Name the folder given to export.")
    return folder
