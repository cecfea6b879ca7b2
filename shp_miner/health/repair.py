"""Checks and repairs a store's files after a killed process, a power cut or a disk failure.

Each check is a generator: it yields the faults that it finds, and with `fix` it repairs those that can be repaired.
No damaged file is deleted: it is moved to the store's folder `damaged`.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
from deltalake.exceptions import DeltaError

from shp_miner.crawling.known_again import know_again
from shp_miner.crawling.look import open_to_look
from shp_miner.crawling.set_back import is_ahead, set_back
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import BadInput, Error
from shp_miner.export.publish import clear_leftovers, export_leftovers, is_place, lock_of
from shp_miner.export.registered import all_exports, note_cleared, waiting_copies
from shp_miner.forgetting.forget import purge
from shp_miner.model import OPTIONAL
from shp_miner.paths import IMPORTING, expanded
from shp_miner.places.path import RemotePath
from shp_miner.places.replacing import remove_tree
from shp_miner.store import Store, identity
from shp_miner.store.database import FILE, SCHEMAS, database_file
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.found import ASIDE, Fault, is_young, path_aside
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import (
    InUse,
    dead_notes,
    exclusive_lock,
    is_importing,
    lock_holder,
    nobody_beside,
    only_import,
    only_one,
    run_lock,
)
from shp_miner.store.mend import IN_FUTURE, mend_table, unsound_rows
from shp_miner.store.migrate import MARK, SCHEMA_VERSION, migrate_store, restored_mark, schema_of
from shp_miner.store.names import check_names
from shp_miner.store.proof import check_object_store
from shp_miner.store.repair import check_table
from shp_miner.store.repair_list import check_list
from shp_miner.store.replacing import temporary_files
from shp_miner.store.table import open_table
from shp_miner.store.vacuum import LOG, UNFINISHED, is_unfinished

#: The lock of crawls, as crawling names it.
_CRAWL = "crawl"

#: Names of half-written files in earlier versions, and of folders that are renamed when they are complete.
_EARLIER = ((".", f"{MARK}.*"), ("exports", "*.[0-9]*"), ("forgotten", ".*"), ("fits", ".*"))

#: How long to wait for a process that uses the store.
_PATIENCE_S = 10.0


def look(folder: Path) -> list[Fault]:
    """Return the faults of the store in `folder`. Changes nothing, blocks nobody, and may be called at any time."""
    return list(_all(folder, fix=False))


def repair(folder: Path) -> list[Fault]:
    """Return the faults of the store after repairing what can be repaired. Raises TryLater while it is in use."""
    found = list(_left_by_the_dead(folder, fix=True))
    with (
        only_one(run_lock(folder), f"The store {folder} is in use by a run", "repairing the store"),
        nobody_beside(folder, _CRAWL, f"The store {folder} is in use by a crawl"),
        exclusive_lock(folder, "repairing the store", wait_s=_PATIENCE_S),
    ):
        found += _all(folder, fix=True)
    return found


def _all(folder: Path, *, fix: bool) -> Iterator[Fault]:
    if not fix:
        yield from _left_by_the_dead(folder, fix=False)
    if isinstance(folder, RemotePath):
        yield from check_object_store(folder)
    for found in _mark(folder, fix=fix):
        yield found
        if not found.fixed:
            return  # without the mark, the other files cannot be understood
    if (damaged := identity.damage(folder)) is not None:
        yield Fault(damaged.message, damaged.hint, fixable=False)
        return  # it is not known whose exports are on the list
    lost = list(_crawls_file(folder, fix=fix))  # before the tables, whose losses are noted there
    yield from lost
    sound = True
    for name in TABLES:
        damage = list(check_table(folder, name, _read_again, fix=fix))
        yield from damage
        if all(found.fixed or found.harmless for found in damage):
            yield from _unsound_rows(folder, name, fix=fix)
        else:
            sound = False
    yield from check_list(folder, fix=fix)
    if sound:  # else the tables may not open
        yield from check_names(folder, fix=fix)
        if fix and any(found.fixed for found in lost):
            _know_again(folder)
    yield from _half_written(folder, fix=fix)
    yield from _exports(folder, fix=fix)
    yield from _older(folder, fix=fix)
    yield from _pending(folder, fix=fix)
    yield from _vacuum(folder, fix=fix)


# -- the mark ---------------------------------------------------------------------------------------------------------


def _mark(folder: Path, *, fix: bool) -> Iterator[Fault]:
    path = folder / MARK
    try:
        schema_of(folder)
    except Error as error:
        try:
            msgspec.json.decode(path.read_bytes(), type=dict)["schema"] + 0
        except (msgspec.DecodeError, KeyError, TypeError):
            pass
        else:
            yield Fault(error.message, error.hint, fixable=False)  # a newer store
            return
        if not all(_is_ours(folder / name, name) for name in TABLES):
            yield Fault(error.message, "Its tables are damaged too: restore the store from a backup.", fixable=False)
            return
        if fix:
            path.replace(path_aside(folder, path))
            restored_mark(folder)
        yield Fault(error.message, f"moved to {ASIDE}/ and written again from the tables", fixed=fix)


def _is_ours(table: Path, name: str) -> bool:
    try:
        names: list[str] = [field.name for field in open_table(table).schema().fields]
    except (DeltaError, OSError):
        return False
    before = [column for column in TABLES[name].names if column not in OPTIONAL]
    return names in (TABLES[name].names, before)


def _older(folder: Path, *, fix: bool) -> Iterator[Fault]:
    schema = schema_of(folder)
    if schema is not None and schema < SCHEMA_VERSION:
        if fix:
            migrate_store(folder)
        fault = f"The store has schema {schema}; the next command that writes to it updates it to {SCHEMA_VERSION}."
        yield Fault(fault, "updated", fixed=fix, harmless=True)


def _pending(folder: Path, *, fix: bool) -> Iterator[Fault]:
    store = Store(folder)
    before = waiting_copies(store)
    is_request = has_pending(folder)
    if not (is_request or before):
        return
    fault = "A forget request is not finished yet: `shp-miner forget` finishes it."
    try:
        if fix:
            purge(folder)
    except Error as error:
        yield Fault(fault, f"{error.message} {error.hint}", fixable=False)
        return
    left = waiting_copies(store)
    if is_request:
        yield Fault(fault, "content removed from the store and the exports", fixed=fix)
    for copy in left:
        yield Fault(
            f"A forget request is not finished yet: it has not reached {copy.path}. {copy.why}",
            copy.hint,
            fixable=False,
        )
    for path in dict.fromkeys(copy.path for copy in before if copy not in left and not is_request):
        yield Fault(f"A forget request had not reached {path}.", "content removed from it", fixed=True)


def _vacuum(folder: Path, *, fix: bool) -> Iterator[Fault]:
    if not is_unfinished(folder) or (not fix and is_young(folder / UNFINISHED)):
        return  # none, or one that may be going on
    fault = "A vacuum was interrupted; the next command that writes to the store completes it."
    try:
        if fix:
            Store(folder).complete_vacuum()
    except Error as error:
        yield Fault(fault, f"{error.message} {error.hint}", fixable=False)
    else:
        yield Fault(fault, "completed", fixed=fix, harmless=True)


def _unsound_rows(folder: Path, name: str, *, fix: bool) -> Iterator[Fault]:
    """Yield the faults of rows that no import or crawl of this version writes."""
    now = time.time_ns() // 1000
    found = mend_table(folder, name, now) if fix else unsound_rows(folder, name, now)
    late = found.pop(IN_FUTURE, 0)
    if found:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found.items()))
        yield Fault(f"Rows of {folder / name} cannot be used ({reasons}).", "removed from the table", fixed=fix)
    if late:
        fault = f"{late:,} rows of {folder / name} have a reading time in the future: a clock was ahead."
        yield Fault(fault, "their reading time set to unknown", fixed=fix)


# -- the crawl's file -------------------------------------------------------------------------------------------------


def _read_again(folder: Path, since_s: float) -> None:
    """Let the next crawls read again the threads that were read since `since_s`, if the store has crawls."""
    if database_file(folder).exists():
        with CrawlState(folder) as state:
            state.read_again(round(since_s * 1_000_000))


def _know_again(folder: Path) -> None:
    """Let the next visits find items that were deleted since the crawl's file was lost."""
    with CrawlState(folder) as state:
        know_again(Store(folder), state, time.time_ns() // 1000)


def _crawls_file(folder: Path, *, fix: bool) -> Iterator[Fault]:
    path = database_file(folder)
    if not path.exists():
        return
    reason = _damage(path)
    if reason is None:
        yield from _ahead(folder, fix=fix)
        return
    if fix:
        for file in sorted(path.parent.glob(f"{FILE}*")):
            file.replace(path_aside(path.parent, file))
    remedy = f"moved to {ASIDE}/; crawls read everything again, and every export is written again"
    yield Fault(f"{path} is damaged: {reason}.", remedy, fixed=fix)


def _ahead(folder: Path, *, fix: bool) -> Iterator[Fault]:
    now = time.time_ns() // 1000
    if is_ahead(folder, now):
        if fix:
            set_back(folder, now)
        yield Fault(
            f"{database_file(folder)} has times in the future: a clock was ahead.",
            "times corrected; the next run visits these threads",
            fixed=fix,
        )


def _damage(path: Path) -> str | None:
    try:
        with closing(open_to_look(path)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except BadInput as error:
        return str(error.__cause__ or error)
    except sqlite3.DatabaseError as error:
        return str(error)
    if said == "ok" and 1 <= schema <= len(SCHEMAS) and not {"sites", "windows", "threads", "answers"} <= tables:
        return "tables are missing"
    return None if said == "ok" else str(said)


# -- leftovers of killed processes -------------------------------------------------------------------------------------


def _left_by_the_dead(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Yield notes and locks of killed processes; they block nobody."""
    notes = dead_notes(folder)
    if notes:
        if fix:
            for note in notes:
                note.unlink(missing_ok=True)
        many = f"{len(notes)} notes" if len(notes) > 1 else "A note"
        yield Fault(
            f"{many} of killed processes {'are' if len(notes) > 1 else 'is'} left in {folder / 'locks'}.",
            "deleted",
            fixed=fix,
            harmless=True,
        )
    run = run_lock(folder)
    if run.exists() and lock_holder(run) is None:
        if fix:
            with suppress(InUse), only_one(run, "", "clearing what a killed run left"):
                pass
        yield Fault(f"A killed run left its lock {run}, which blocks nobody.", "deleted", fixed=fix, harmless=True)
    yield from _imports(folder, fix=fix)


def _imports(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Yield the results of killed imports."""
    place = folder / IMPORTING
    if not place.is_dir():
        return
    for work in sorted(place.iterdir()):
        if is_importing(folder, work.name):
            continue
        if fix:
            with suppress(InUse), only_import(folder, work.name):
                remove_tree(work)
        fault = f"A killed import left its results in {work}; run again, it goes on from them."
        yield Fault(fault, "deleted", fixed=fix, harmless=True)
    if fix:
        with suppress(OSError):
            place.rmdir()


def _half_written(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Yield half-written files and folders of killed processes."""
    places = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
    left = {path for place in (*places, *(folder / name / LOG for name in TABLES)) for path in temporary_files(place)}
    left |= {path for place, pattern in _EARLIER for path in (folder / place).glob(pattern)}
    for path in sorted(left):
        if is_young(path):
            continue
        if fix:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield Fault(f"A killed process left {path} half-written.", "deleted", fixed=fix, harmless=True)


def _exports(folder: Path, *, fix: bool) -> Iterator[Fault]:
    store = Store(folder)
    for known in all_exports(store)[0]:
        out = expanded(known.path)
        if not is_place(out) or known.of:
            continue  # noted by an earlier version, or perhaps another store's; forgetting reports it
        try:
            left = _left_beside(out, fix=fix)
        except OSError as error:
            yield Fault(f"{out} cannot be read: {error.strerror}.", "Give your user access to it.", fixable=False)
            continue
        except Error as error:
            yield Fault(error.message, error.hint, fixable=False)
            continue
        if left:
            fault = f"A killed export to {out} left {', '.join(left)} beside it."
            yield Fault(fault, "deleted", fixed=fix, harmless=True)
            if fix and not export_leftovers(out):
                note_cleared(store, known)


def _left_beside(out: Path, *, fix: bool) -> list[str]:
    lock = lock_of(out)
    if lock_holder(lock) is not None:
        return []  # it is being written
    left = [path.name for path in (*export_leftovers(out), lock) if path.exists()]
    if left and fix:
        with suppress(InUse), only_one(lock, "", "clearing what a killed export left"):
            clear_leftovers(out)
    return left
