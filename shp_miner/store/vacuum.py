"""Deleting old versions of a table: their log entries and the data files that no other version needs.

A checkpoint of the oldest version that stays is written first. Then the log is shortened, oldest entry first. A kill at
any moment leaves a table without its oldest versions, and files that no entry names; the next vacuum deletes those.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import polars as pl
import pyarrow.compute as pc
from deltalake import DeltaTable

from shp_miner.errors import BadInput
from shp_miner.paths import is_remote
from shp_miner.places.lease import confirm
from shp_miner.store.files import replace_file, sync_to_disk
from shp_miner.store.table import open_table, read_columns

LOG = "_delta_log"
LAST = "_last_checkpoint"
_REPAIR = "Run `shp-miner doctor --repair`."
_OF_VERSION = re.compile(r"(\d{20})\.")

#: Lies in a store while old versions are ended, and says which: the next command completes what this one could not.
UNFINISHED = "vacuum.json"

#: For how long earlier versions can still be opened. A week is what Delta tables keep by default, and long enough to
#: look into what went wrong with an export of some days ago.
KEEP_S = 7 * 86_400.0


class Ended(msgspec.Struct):
    """The deletions: data files, their bytes, and files of the log."""

    files: int = 0
    size_bytes: int = 0
    log_files: int = 0

    def add(self, other: Ended) -> None:
        """Add the deletions of another table."""
        self.files += other.files
        self.size_bytes += other.size_bytes
        self.log_files += other.log_files


def end_before(folder: Path, moment: datetime | None = None) -> Ended:
    """Delete the versions of the table in `folder` that ended before `moment`; without a moment, all but the newest.

    The newest version stays, and so does its number. Data files that no version names are deleted too, such as a killed
    writer's. Only under the store's exclusive lock: a writer's new file is in no log yet. Raises BadInput if files are
    missing, or an entry of the log is empty.
    """
    for _, entry in log_entries(folder / LOG):
        if not entry.stat().st_size:  # readers take no notice, and the files it named would go for good
            raise BadInput(f"{entry} is empty: the machine stopped while it was written.", _REPAIR)
    newest = open_table(folder)
    oldest, needed = _what_stays(folder, newest.version(), moment)
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    if live_files(newest) - set(files):
        raise BadInput(f"{folder} lacks files that its log names.", "Restore the store from a backup.")
    write_checkpoint(folder, oldest)
    if newest.version() != oldest:
        write_checkpoint(folder, newest.version())  # opened without reading what came in between
    done = Ended(log_files=shorten_log(folder / LOG, oldest))
    # The library's vacuum goes by the times of files, which may lie ahead of the clock, and adds versions.
    for name in sorted(set(files) - needed):
        done.size_bytes += files[name].stat().st_size
        done.files += 1
        confirm()
        files[name].unlink()
    return done


class WouldEnd(Ended):
    """What a deletion of old versions would delete of a table; `versions` are those that could not be opened after."""

    versions: list[int] = []


def would_end(folder: Path, moment: datetime) -> WouldEnd:
    """Return what `end_before` would delete of the table in `folder`, without changing anything.

    The files of a writer that is at work now are counted, because no version names them yet.
    """
    oldest, needed = _what_stays(folder, open_table(folder).version(), moment)
    done = WouldEnd(versions=[version for version, _ in log_entries(folder / LOG) if version < oldest])
    done.log_files = sum(1 for path in (folder / LOG).iterdir() if _is_before(path, oldest))
    for path in folder.iterdir():
        if path.is_file() and path.name not in needed:
            done.files += 1
            done.size_bytes += path.stat().st_size
    return done


def needed_files(folder: Path) -> set[str]:
    """Return the data files of all versions that are still in the log of the table in `folder`."""
    versions = [version for version, _ in log_entries(folder / LOG)]
    return _needed(folder, min(versions, default=0), open_table(folder))


def live_files(table: DeltaTable) -> set[str]:
    """The data files of a table's version, by name."""
    return {unquote(path) for path in pl.DataFrame(table.get_add_actions())["path"]}


def log_entries(log: Path) -> list[tuple[int, Path]]:
    """(version, file) of a log's entries, oldest first."""
    return sorted((int(path.stem), path) for path in log.glob("*.json") if path.stem.isdigit())


def entry_actions(entry: Path) -> Iterator[dict[str, Any]]:
    """Return the actions of a log entry. Raises msgspec.DecodeError if it is damaged."""
    for line in entry.read_bytes().splitlines():
        yield msgspec.json.decode(line, type=dict[str, Any])


def sync_log(folder: Path, version: int) -> None:
    """Wait until the log of the table in `folder` is on the disk from a version on: a loss of power then keeps it."""
    if is_remote(folder):
        return
    log = folder / LOG
    made = []
    while (entry := log / f"{version:020}.json").exists():  # by name: a log can have thousands of others
        made.append(entry)
        version += 1
    sync_to_disk(*made, log)


def made_ms(entry: Path) -> int:
    """When a version was made, in milliseconds since 1970."""
    told = (int(line["commitInfo"]["timestamp"]) for line in entry_actions(entry) if "commitInfo" in line)
    return next(told, entry.stat().st_mtime_ns // 1_000_000)


def _what_stays(folder: Path, newest: int, moment: datetime | None) -> tuple[int, set[str]]:
    """The oldest version that stays, and the data files needed from there on."""
    oldest = newest
    if moment is not None:
        for version, entry in reversed(log_entries(folder / LOG)):
            oldest = version
            if made_ms(entry) <= moment.timestamp() * 1000:
                break  # it was the newest at that moment
    return oldest, _needed(folder, oldest, open_table(folder, version=oldest))


def _needed(folder: Path, oldest: int, table: DeltaTable) -> set[str]:
    found = live_files(table)
    for version, entry in log_entries(folder / LOG):
        if version >= oldest:
            found |= {unquote(line["add"]["path"]) for line in entry_actions(entry) if "add" in line}
            found |= {
                unquote(line["remove"]["path"])
                for line in entry_actions(entry)
                if "remove" in line and version > oldest
            }
    return found


def write_checkpoint(folder: Path, version: int) -> None:
    """Write a version's state as a checkpoint, safe from a loss of power, so that earlier log entries are not needed.

    Raises BadInput if the checkpoint does not name all of the version's files.
    """
    log = folder / LOG
    table = open_table(folder, version=version)
    table.create_checkpoint()
    made = sorted(log.glob(f"{version:020d}.checkpoint*.parquet"))
    paths = [path for file in made for path in _checkpointed(file)]
    if not made or {unquote(path) for path in paths if path} != live_files(table):
        raise BadInput(f"The log {log} has no checkpoint of version {version} that names its files.", _REPAIR)
    if _pointed_to(log) != version:
        # The library leaves a checkpoint that is there as it is: whoever wrote it was ended before it was pointed to.
        pointer = {"version": version, "size": len(paths)} | ({"parts": len(made)} if len(made) > 1 else {})
        replace_file(log / LAST, msgspec.json.encode(pointer), durable=True)
    sync_to_disk(*log.glob(f"{version:020d}.*"), log / LAST, log)


def _checkpointed(path: Path) -> list[str | None]:
    """The data files that a checkpoint names, and null for each line of it that is on something else."""
    actions = read_columns(path, ["add"])["add"].combine_chunks()
    found: list[str | None] = pc.struct_field(actions, "path").to_pylist()
    return found


def _pointed_to(log: Path) -> int | None:
    """The version of the checkpoint that a log points to; None where it says nothing that can be read."""
    try:
        return int(msgspec.json.decode((log / LAST).read_bytes(), type=dict[str, Any])["version"])
    except (FileNotFoundError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None


def shorten_log(log: Path, version: int) -> int:
    """Delete everything in the log before `version`, which has a checkpoint; returns how many files that were."""
    count = 0
    for path in sorted(log.iterdir()):
        if _is_before(path, version):
            confirm()
            path.unlink()
            count += 1
    return count


def _is_before(path: Path, version: int) -> bool:
    """Whether a file of a log is not needed from `version` on."""
    match = _OF_VERSION.match(path.name)
    return path.is_file() and path.name != LAST and (match is None or int(match[1]) < version)


def cutoff_time(keep_s: float, now_s: float | None = None) -> datetime:
    """Return the time `keep_s` seconds ago, by the machine's clock, which also stamped the versions."""
    return datetime.fromtimestamp((time.time() if now_s is None else now_s) - keep_s).astimezone()


# -- what was not completed ------------------------------------------------------------------------------------------


class _Begun(msgspec.Struct):
    """Versions that were over before a moment are being ended."""

    before: datetime


def begin(store: Path, moment: datetime) -> None:
    """Note in a store that a deletion of old versions begins. Does without the note on a full disk, to make room."""
    try:
        replace_file(store / UNFINISHED, msgspec.json.encode(_Begun(moment)), durable=False)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def is_unfinished(store: Path) -> bool:
    """Whether a deletion of old versions was begun and has not finished."""
    return (store / UNFINISHED).exists()


def begun(store: Path) -> datetime | None:
    """Return the moment of an unfinished deletion of old versions; None if it is unknown.

    Files that remain only take up room.
    """
    try:
        return msgspec.json.decode((store / UNFINISHED).read_bytes(), type=_Begun).before
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def finish(store: Path) -> None:
    """Note that the deletion of old versions has finished."""
    (store / UNFINISHED).unlink(missing_ok=True)
