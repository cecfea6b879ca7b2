"""The checks of one table: its log, its checkpoints and its data files.

The Delta library writes without waiting for the disk. A machine that stops may leave the newest entries of a log cut
off or empty. Readers accept an empty entry without an error, and its rows are missing.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from shp_miner.places.access import of_library
from shp_miner.store.files import replace_file, sync_to_disk
from shp_miner.store.found import ASIDE, Fault, is_young, path_aside
from shp_miner.store.table import open_table, read_columns
from shp_miner.store.vacuum import LAST, LOG, entry_actions, log_entries, needed_files, write_checkpoint
from shp_miner.units import sized

#: A log with more entries than this after its last checkpoint is slow to open; the library makes one every hundred.
_MANY = 250

#: What was read so long before a commit that was lost may have been a part of it.
_BEFORE_S = 3600

_RESTORE = "Restore the store from a backup, or make a new one from the dumps and sites it came from."
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")

#: Has a store's crawls read again what was read since a time (seconds since 1970).
ReadAgain = Callable[[Path, float], None]


def check_table(folder: Path, name: str, read_again: ReadAgain, *, fix: bool) -> Iterator[Fault]:
    """Yield the faults of a table of the store in `folder`; see `health.repair`.

    `read_again` is called if commits are lost.
    """
    table = folder / name
    if not (table / LOG).is_dir():
        yield Fault(f"The store {folder} lacks its table {name}.", _RESTORE, fixable=False)
        return
    for damage in (_checkpoints(folder, name, fix=fix), _entries(folder, name, read_again, fix=fix)):
        for found in damage:
            yield found
            if not found.fixed:
                return
    try:
        delta = open_table(table)
    except (DeltaError, OSError) as error:
        if (refused := of_library(error)) is not None:  # which says nothing about the log
            raise refused from None
        yield Fault(f"The log of {table} cannot be read: {_short(error)}.", _RESTORE, fixable=False)
        return
    if any(_missing(table, delta)):  # or somebody has rewritten them since it was opened
        yield from _missing(table, open_table(table))
    yield from _unnamed(table, fix=fix)
    yield from _slow(table, delta, fix=fix)


# -- the log ----------------------------------------------------------------------------------------------------------


def _entries(folder: Path, name: str, read_again: ReadAgain, *, fix: bool) -> Iterator[Fault]:
    """Entries of the log that are cut off or empty: the newest are taken away, earlier ones come to say nothing."""
    table = folder / name
    log = table / LOG
    everything = log_entries(log)
    bad = [(version, path) for version, path in everything if not _is_sound(path)]
    if not bad:
        return
    covered = max(_checkpointed(log), default=-1)
    newest: list[tuple[int, Path]] = []
    for entry in reversed(everything):
        if entry not in bad or entry[0] <= covered:
            break
        newest.append(entry)
    earlier = [entry for entry in bad if entry not in newest]
    first = min((version for version, _ in newest), default=everything[-1][0] + 1)
    versions = ", ".join(str(version) for version, _ in bad)
    fault = f"Entry {versions} of the log {log} is empty or cut off: the machine stopped while it was written."
    if first == 0 or not _would_open(table, without=[path.name for _, path in newest], of_nothing=earlier):
        yield Fault(fault, _RESTORE, fixable=False)
        return
    if fix:
        read_again(folder, min(path.stat().st_mtime for _, path in bad) - _BEFORE_S)
        for entry in reversed(bad):  # the newest first: whatever ends this, no entry is missing in the middle
            _set_aside(folder, name, entry[1], _of_nothing(entry[1]) if entry in earlier else None)
    now = f"version {first - 1} is the newest" if newest else "an entry without changes replaces it"
    remedy = (
        f"set aside in {ASIDE}/; {now}, and everything read or imported since one hour before the damage is read again"
    )
    yield Fault(fault, f"{remedy} by the next run", fixed=fix)


def _checkpoints(folder: Path, name: str, *, fix: bool) -> Iterator[Fault]:
    """A checkpoint that cannot be read, or is named and not there, though the log would do without."""
    table = folder / name
    log = table / LOG
    bad = [path.name for path in sorted(log.glob("*.parquet")) if not _is_parquet(path)]
    there = _checkpointed(log)
    last = log / LAST
    if last.exists():
        try:
            version = msgspec.json.decode(last.read_bytes(), type=dict)["version"]
        except (msgspec.DecodeError, KeyError):
            version = None
        if bad or version not in there:
            bad.append(LAST)
    if not bad:
        return
    fault = f"Files of the log {log} are damaged or name missing files: {', '.join(bad)}."
    # An entry that is cut off is the next check's.
    ends = [path.name for _, path in log_entries(log) if not _is_sound(path)]
    if not _would_open(table, without=[*bad, *ends], of_nothing=()):
        yield Fault(fault, _RESTORE, fixable=False)
        return
    if fix:
        for damaged in bad:
            _set_aside(folder, name, log / damaged)
        if not ends:
            write_checkpoint(table, open_table(table).version())
    yield Fault(fault, f"set aside in {ASIDE}/, and a new checkpoint was written", fixed=fix)


def _slow(table: Path, delta: DeltaTable, *, fix: bool) -> Iterator[Fault]:
    last = max(_checkpointed(table / LOG), default=0)
    count = delta.version() - last
    if count > _MANY:
        if fix:
            write_checkpoint(table, delta.version())
        yield Fault(
            f"The log of {table} has {count} entries without a checkpoint.", "one was written", fixed=fix, harmless=True
        )


def _set_aside(folder: Path, name: str, path: Path, instead: bytes | None = None) -> None:
    """Set a file of a table's log aside, and put another in its place if one is given."""
    target = path_aside(folder, path, prefix=f"{name}-")
    if instead is None:
        path.replace(target)
        sync_to_disk(path.parent)
    else:
        copy_file(path, target)
        replace_file(path, instead, durable=True)


def copy_file(path: Path, target: Path) -> None:
    """Copy a small file, from and to wherever a store lies."""
    target.write_bytes(path.read_bytes())


def _is_sound(entry: Path) -> bool:
    try:
        return any(True for _ in entry_actions(entry)) and all(True for _ in entry_actions(entry))
    except msgspec.DecodeError:
        return False


def _is_parquet(path: Path) -> bool:
    try:
        read_columns(path, ["protocol"])
    except (pa.ArrowException, OSError):
        return False
    return True


def _checkpointed(log: Path) -> list[int]:
    """The versions that have a checkpoint which can be read."""
    found = ((_CHECKPOINT.fullmatch(path.name), path) for path in log.glob("*.checkpoint*.parquet"))
    return [int(match[1]) for match, path in found if match and _is_parquet(path)]


def _of_nothing(entry: Path) -> bytes:
    """An entry in the place of a damaged one, of the same time, that changes nothing."""
    at_ms = entry.stat().st_mtime_ns // 1_000_000
    return msgspec.json.encode({"commitInfo": {"timestamp": at_ms, "operation": "REPAIR"}}) + b"\n"


def _would_open(table: Path, *, without: Collection[str], of_nothing: Collection[tuple[int, Path]]) -> bool:
    """Whether the table could be read, with all of its files, if its log were another."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / LOG
        log.mkdir()
        for path in (table / LOG).iterdir():
            # A pointer to the last checkpoint only saves time, and may point to what is left out.
            if path.is_file() and path.name not in without and path.name != LAST:
                copy_file(path, log / path.name)
        for _, path in of_nothing:
            (log / path.name).write_bytes(_of_nothing(path))
        try:
            delta = DeltaTable(scratch)
            return not list(_missing(table, delta))
        except (DeltaError, OSError):
            return False


def _short(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


# -- data files -------------------------------------------------------------------------------------------------------


def _missing(table: Path, delta: DeltaTable) -> Iterator[Fault]:
    """Data files that are named and not there, or not whole."""
    lost = []
    for path, size in pl.DataFrame(delta.get_add_actions()).select("path", "size_bytes").iter_rows():
        file = table / unquote(path)
        if not file.exists() or file.stat().st_size != size:
            lost.append(file.name)
    if lost:
        count = "A data file" if len(lost) == 1 else f"{len(lost)} data files"
        yield Fault(f"{count} of {table} missing or cut off, such as {lost[0]}.", _RESTORE, fixable=False)


def _unnamed(table: Path, *, fix: bool) -> Iterator[Fault]:
    """Data files that no version names: a killed writer's."""
    needed = needed_files(table)
    unnamed = [path for path in sorted(table.iterdir()) if path.is_file() and path.name not in needed]
    unnamed = [path for path in unnamed if not is_young(path)]
    if unnamed:
        size = sum(path.stat().st_size for path in unnamed)
        if fix:
            for path in unnamed:
                path.unlink()
        many = f"{len(unnamed)} files" if len(unnamed) > 1 else "1 file"
        fault = f"{table} has {many} ({sized(size)}) left by killed writers; no version needs them."
        yield Fault(fault, "deleted", fixed=fix, harmless=True)
