"""The state of a store: runs, crawls, tables, next visits, and problems."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field

from shp_miner import shown
from shp_miner.arguments import Length, length
from shp_miner.crawling.look import Cursor, Look, ThreadSeen
from shp_miner.errors import Error
from shp_miner.export.owned import REPORT, is_report
from shp_miner.export.pushed import OwedPurge, owed_purges
from shp_miner.export.registered import Waiting, all_exports, waiting_copies
from shp_miner.paths import expanded
from shp_miner.store import Store
from shp_miner.store.forgotten_list import pending_since
from shp_miner.store.lake import explained_errors
from shp_miner.store.local import free_bytes
from shp_miner.store.lock import Holder, is_busy, lock_holder, run_lock
from shp_miner.store.runs import Run
from shp_miner.store.vacuum import LOG, log_entries, made_ms
from shp_miner.tally import counted
from shp_miner.units import sized, utc_text

#: The ends of the calendar, less a day so that no time zone leads beyond them.
_FIRST_S, _LAST_S = -62_135_510_400, 253_402_214_400

#: Problems that last longer than this make the exit code 3: two daily runs may fail before somebody is called.
STALE_S = 2 * 86_400.0

#: With less than this free, runs end early.
MIN_FREE_BYTES = 1_000_000_000

#: Numbers of runs and of given-up threads that are shown.
_RUNS, _GIVEN_UP = 10, 10

_COUNTS = ("new", "changed", "deleted", "pairs", "requests")


class Wrong(Struct, frozen=True):
    """A problem: its name for machines, its start if known, and a sentence."""

    what: str
    since: datetime | None
    says: str


class RunShown(Struct, frozen=True):
    """A run and its outcome: "done", "in part", "failed", "later" (try later), "killed" or "running"."""

    pipeline: str
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    outcome: str
    counts: dict[str, int]


class TableShown(Struct, frozen=True):
    """A table: rows, files and bytes of its newest version, bytes on disk with old versions, and its oldest version."""

    observations: int
    files: int
    bytes: int
    disk_bytes: int
    version: int
    oldest_version: int
    oldest_version_at: datetime


class Status(Struct, frozen=True):
    """The state of a store. `wrong` has the problems, those of `stale_s` seconds and those that count at once."""

    store: str
    at: datetime
    stale_s: float
    wrong: list[Wrong]
    running: dict[str, Any] | None
    runs: list[RunShown]
    cursors: list[Cursor]
    due: int
    waiting: int
    failing: int
    failing_longest: ThreadSeen | None
    unchecked_longest: ThreadSeen | None
    oldest_unchecked: ThreadSeen | None
    unreadable: int
    given_up: int
    given_up_last: list[ThreadSeen]
    next_visit: datetime | None
    forgetting_since: datetime | None
    forgetting_waits: list[Waiting]
    forgetting_pushed: list[OwedPurge]
    tables: dict[str, TableShown]
    free_bytes: int
    reports: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        said = counted(len(self.wrong), "problem") if self.wrong else "nothing wrong"
        last = f"last run {self.runs[0].outcome}" if self.runs else "no runs"
        rows = ", ".join(f"{table.observations:,} observations of {name}" for name, table in self.tables.items())
        names = ", ".join(dict.fromkeys(wrong.what for wrong in self.wrong))
        return f"Status({self.store!r}: {said}{f' ({names})' if names else ''}, {last}, {rows})"

    def _repr_html_(self) -> str:
        rows = [(wrong.what, wrong.since, wrong.says) for wrong in self.wrong]
        return shown.table(repr(self), ("problem", "since", "what to do") if rows else (), rows)

    def plain(self) -> dict[str, Any]:
        """Return plain data, with times as ISO 8601."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        for cursor in data["cursors"]:
            cursor["complete_to"] = _iso(cursor["complete_to"])
        threads = (data["failing_longest"], data["unchecked_longest"], data["oldest_unchecked"])
        for thread in (*threads, *data["given_up_last"]):
            if thread is not None:
                thread["since"] = _iso(thread["since"])
        for copy in data["forgetting_waits"]:
            copy["since"] = _iso(round(copy["since"] * 1_000_000))
        return data


def status(
    store: Store | str | os.PathLike[str],
    *,
    stale_s: Length = STALE_S,
    min_free_bytes: int = MIN_FREE_BYTES,
    now_s: float | None = None,
    free_bytes: Callable[[Path], int] = free_bytes,
) -> Status:
    """Return the state of a store, and its problems that last longer than `stale_s`. Others may use the store.

    `stale_s` is in seconds, or a text such as "2d"; `now_s` is in seconds since 1970 (default: now). Raises BadInput if
    there is no store, or it is damaged.
    """
    now_s = time.time() if now_s is None else now_s
    now, stale_s = round(now_s * 1_000_000), length(stale_s, "stale_s")
    store = store if isinstance(store, Store) else Store(store)
    path = store.path
    store.require()
    runs_now = lock_holder(run_lock(path))
    with Look(path) as look:
        runs, cursors, success = look.runs(_RUNS), look.cursors(now), look.last_success()
        threads = _Threads(look.failing(), look.overdue(now), look.shut_out(now))
        next_visit, given_up, unchecked = look.next_visit(now), look.given_up(_GIVEN_UP), look.oldest_unchecked()
    pending, waits, free = pending_since(path), waiting_copies(store), free_bytes(path)
    forgetting = min([*(copy.since for copy in waits), *([] if pending is None else [pending])], default=None)
    shown = [_shown(run, is_last=number == 0, runs_now=runs_now) for number, run in enumerate(runs)]
    wrong = [
        *_wrong_with_runs(shown, success, now - round(stale_s * 1_000_000)),
        *_wrong_with_threads(threads, now - round(stale_s * 1_000_000)),
        *_wrong_with_forgetting(path, pending, waits, now_s - stale_s),
        *_wrong_with_disk(free, min_free_bytes),
    ]
    return Status(
        store=str(path),
        at=moment_from_us(now),
        stale_s=stale_s,
        wrong=wrong,
        running=_running(runs_now),
        runs=shown,
        cursors=cursors,
        due=sum(cursor.due for cursor in cursors),
        waiting=sum(cursor.waiting for cursor in cursors),
        failing=sum(cursor.failing for cursor in cursors),
        failing_longest=threads.failing,
        unchecked_longest=threads.overdue,
        oldest_unchecked=unchecked,
        unreadable=sum(cursor.unreadable for cursor in cursors),
        given_up=sum(cursor.given_up for cursor in cursors),
        given_up_last=given_up,
        next_visit=None if next_visit is None else moment_from_us(next_visit),
        forgetting_since=None if forgetting is None else moment_from_us(forgetting * 1_000_000),
        forgetting_waits=waits,
        forgetting_pushed=owed_purges(store),
        tables=_tables(store),
        free_bytes=free,
        reports=_reports(store),
    )


def _reports(store: Store) -> list[str]:
    """Return the pages that `report` wrote of the store and of its exports; exports that are away have none."""
    folders = [store.path.absolute(), *(expanded(known.path) for known in all_exports(store)[0])]
    found = []
    for folder in dict.fromkeys(folders):
        with suppress(Error):  # a bucket that cannot be reached
            found += [str(folder / REPORT)] if is_report(folder / REPORT) else []
    return found


def _shown(run: Run, *, is_last: bool, runs_now: Holder | None) -> RunShown:
    outcome = {0: "done", 3: "in part", 75: "later"}.get(run.exit_code or 0, "failed")
    if run.ended_at is None:
        outcome = "running" if is_last and runs_now is not None else "killed"
    return RunShown(
        run.pipeline,
        moment_from_us(run.started_at),
        None if run.ended_at is None else moment_from_us(run.ended_at),
        run.exit_code,
        outcome,
        {name: run.summary.get(name, 0) for name in _COUNTS},
    )


def _running(runs_now: Holder | None) -> dict[str, Any] | None:
    if runs_now is None:
        return None
    since = moment_from_us(runs_now.since_s * 1_000_000)
    return {"process": runs_now.process, "doing": runs_now.doing, "since": since}


def _wrong_with_runs(runs: list[RunShown], success: int | None, before: int) -> Iterator[Wrong]:
    ended = [run for run in runs if run.outcome != "running"]
    if ended and ended[0].outcome == "killed":
        run = f"the run of {ended[0].pipeline} that began at this time"
        says = f"{run} was killed, or could not note its end; the next run continues."
        yield Wrong("killed", ended[0].started_at, says)
    if success is not None and success < before:
        says = "no run has ended with exit code 0 or 3: read the log of the runs, and check that cron starts them."
        yield Wrong("runs", moment_from_us(success), says)


class _Threads(NamedTuple):
    """The threads of a store that fail, are overdue and are closed to the public for longest, where there are any."""

    failing: ThreadSeen | None
    overdue: ThreadSeen | None
    shut_out: ThreadSeen | None


def _wrong_with_threads(threads: _Threads, before: int) -> Iterator[Wrong]:
    failing, overdue, shut_out = threads
    if failing is not None and failing.since < before:
        says = f"thread {failing.post_id} of {failing.community} ({failing.site}) cannot be read: {failing.error}"
        yield Wrong("retries", moment_from_us(failing.since), says)
    if overdue is not None and overdue.since < before:
        thread = f"thread {overdue.post_id} of {overdue.community} ({overdue.site})"
        says = f"a visit to {thread} is overdue: run `shp-miner recheck`."
        yield Wrong("visits", moment_from_us(overdue.since), says)
    if shut_out is not None and shut_out.since < before:
        closed = "is closed to the public" if shut_out.error == "closed" else "answers with a web page"
        says = f"{shut_out.site} {closed} for threads of {shut_out.community}; exports leave these threads out."
        yield Wrong("closed", moment_from_us(shut_out.since), says)


def _wrong_with_forgetting(path: Path, pending: float | None, waits: list[Waiting], before_s: float) -> Iterator[Wrong]:
    """Yield open forget requests as problems at once, unless a process is at work that will complete them."""
    if pending is not None and (pending < before_s or not is_busy(path, run_lock(path).name, "crawl")):
        says = "a forget request is not finished yet: run `shp-miner forget`."
        yield Wrong("forgetting", moment_from_us(pending * 1_000_000), says)
    for copy in waits:
        says = f"a forget request is not finished yet: it has not reached {copy.path}. {copy.why} {copy.hint}"
        yield Wrong("forgetting", moment_from_us(copy.since * 1_000_000), says)


def _wrong_with_disk(free: int, least: int) -> Iterator[Wrong]:
    if free < least:
        says = f"only {sized(free)} free on the store's disk, less than {sized(least)}: free some space."
        yield Wrong("disk", None, says)


def _tables(store: Store) -> dict[str, TableShown]:
    snapshot, found = store.snapshot(), {}
    for name, version in snapshot.versions.items():
        folder = store.path / name
        with explained_errors(f"looking at the store {store.path}"):
            oldest, entry = log_entries(folder / LOG)[0]
            on_disk = 0
            for path in folder.glob("*.parquet"):
                with suppress(FileNotFoundError):  # a vacuum took it just now
                    on_disk += path.stat().st_size
            found[name] = TableShown(
                observations=snapshot.rows(name),
                files=snapshot.files(name),
                bytes=snapshot.size_bytes(name),
                disk_bytes=on_disk,
                version=version,
                oldest_version=oldest,
                oldest_version_at=moment_from_us(made_ms(entry) * 1000),
            )
    return found


def moment_from_us(microseconds: float) -> datetime:
    """Return a time since 1970 to the second; times outside the calendar become its first or last time."""
    seconds = min(max(microseconds / 1_000_000, _FIRST_S), _LAST_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def _iso(microseconds: int | None) -> str | None:
    return None if microseconds is None else utc_text(moment_from_us(microseconds))
