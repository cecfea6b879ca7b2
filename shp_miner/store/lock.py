"""Locks on a store: many who read or write it at once, or one alone who removes content.

The lock is the system's own (flock) on a file in the store, so it ends with its process. Each holder has a note beside
it, only to tell waiting processes who holds the lock and since when. On an object store it is a lease (see `lease`);
locks among runs and crawls are of one machine, and lie with its memory of them (see `local`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from shp_miner.errors import TryLater
from shp_miner.places.lease import LEASE_S, Taken, dead_holders, held, live_holders
from shp_miner.places.path import RemotePath
from shp_miner.store.local import state_folder

#: The folder in a store where they lie.
LOCKS = "locks"
_FILE = "lock"

#: The lock that a run of a pipeline holds, in the store's folder on a disk.
LOCK = Path(LOCKS, "run")


def run_lock(store: Path) -> Path:
    """Return the file of the lock that a run of a pipeline holds on a store."""
    return state_folder(store, look_only=True) / LOCK


def import_lock(store: Path, plan: str, *, look_only: bool = False) -> Path:
    """Return the file of this machine's lock that an import holds while it reads the files of its plan into a store."""
    return state_folder(store, look_only=look_only) / LOCKS / f"import-{plan}"


def is_importing(store: Path, plan: str) -> bool:
    """Return whether an import of a plan goes on: here, or on an object store at another machine. Blocks nobody."""
    if lock_holder(import_lock(store, plan, look_only=True)) is not None:
        return True
    return isinstance(store, RemotePath) and bool(live_holders(_import_lease(store, plan)))


def _import_lease(store: RemotePath, plan: str) -> RemotePath:
    return store / LOCKS / f"import-{plan}"


@contextmanager
def only_import(store: Path, plan: str) -> Iterator[None]:
    """Keep other imports of a plan out of a store, on an object store those of other machines, too. Raises TryLater."""
    what = f"The store {store} has an import of these files"
    with only_one(import_lock(store, plan), what, "importing"), ExitStack() as stack:
        if isinstance(store, RemotePath):
            try:
                stack.enter_context(held(_import_lease(store, plan), "importing", alone=True, wait_s=0, traceless=True))
            except Taken as taken:
                raise InUse(
                    f"{what} already{taken.message}.",
                    f"Run the same command again when that is done; if it died on another machine, in {LEASE_S:.0f} s.",
                ) from None
        yield


#: How long to wait for others. Writers hold the lock for the moment of a commit; who takes content out, for minutes.
_SHARED_PATIENCE_S = 30.0
_ALONE_PATIENCE_S = 10.0
_LOOK_S = 0.05

#: For how long a lock that only one may hold is tried: who looks at it holds it for a moment.
_LOOKED_AT_S = 0.2

_AGAIN = "Run the same command again when that is done."

#: Stores that this task of this process holds alone: what it calls may write to them.
_alone: ContextVar[frozenset[tuple[Path, int]]] = ContextVar("_alone", default=frozenset())


class InUse(TryLater):
    """Another process uses it now."""


class FileLock:
    """The system's lock on a file, for as long as the block runs. It ends with its process."""

    def __init__(self, file: Path, *, write: bool = True) -> None:
        """Open the file, which is made where it is missing, unless it is opened to be read. Raises OSError."""
        self.handle = os.open(file, (os.O_RDWR | os.O_CREAT if write else os.O_RDONLY) | os.O_CLOEXEC, 0o666)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def take(self, *, alone: bool = True, wait_s: float = 0.0) -> bool:
        """Take the lock, alone or with others; return whether that succeeded within `wait_s` seconds."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self.handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_LOOK_S)
            else:
                return True

    def wait(self, *, alone: bool = True) -> None:
        """Take the lock, however long that takes."""
        fcntl.flock(self.handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)


@contextmanager
def shared_lock(folder: Path, doing: str, *, wait_s: float = _SHARED_PATIENCE_S) -> Iterator[None]:
    """Hold the store in `folder` together with other readers and writers. Raises TryLater after `wait_s` seconds.

    `doing` tells waiting processes what is going on, such as "writing rows". A store on a read-only disk is read
    without a lock.
    """
    with _held(folder, doing, alone=False, wait_s=wait_s):
        yield


@contextmanager
def exclusive_lock(folder: Path, doing: str, *, wait_s: float = _ALONE_PATIENCE_S) -> Iterator[None]:
    """Hold the store in `folder` alone; functions called inside may still hold it shared. Else as `shared_lock`."""
    with _held(folder, doing, alone=True, wait_s=wait_s):
        yield


@contextmanager
def working_beside(folder: Path, name: str, first: Callable[[], None]) -> Iterator[None]:
    """Do something in the store in `folder` beside others that do the same; `name` is its name.

    If no other process does it, `first` is called before others may begin, to clean up after dead processes.
    """
    with FileLock(_place(folder) / name) as lock:
        if lock.take():
            first()
        lock.wait(alone=False)
        yield


@contextmanager
def _held(folder: Path, doing: str, *, alone: bool, wait_s: float) -> Iterator[None]:
    place = folder.resolve() / LOCKS
    mine = (place, os.getpid())
    if mine in _alone.get():
        yield
        return
    if isinstance(place, RemotePath):
        with _leased(folder, place, doing, alone=alone, wait_s=wait_s):
            yield
        return
    lock = _opened(place, alone=alone)
    if lock is None:
        yield
        return
    note = place / f"{os.getpid()}-{uuid4().hex[:12]}"
    with lock:
        if not lock.take(alone=alone, wait_s=wait_s):
            raise InUse(f"The store {folder} is in use{_holder(place)}.", _AGAIN)
        if alone:
            for stale in _notes(place):  # their processes ended without a chance to take them away
                stale.unlink(missing_ok=True)
        _leave(note, doing)
        try:
            with _known(mine, alone=alone):
                yield
        finally:
            with suppress(OSError):  # a read-only file system says so even of a note that is not there
                note.unlink(missing_ok=True)


@contextmanager
def _leased(folder: Path, place: RemotePath, doing: str, *, alone: bool, wait_s: float) -> Iterator[None]:
    mine = (place, os.getpid())
    with ExitStack() as stack:
        try:
            stack.enter_context(held(place, doing, alone=alone, wait_s=wait_s))
        except Taken as taken:
            raise InUse(f"The store {folder} is in use{taken.message}.", _AGAIN) from None
        with _known(mine, alone=alone):
            yield


@contextmanager
def _known(mine: tuple[Path, int], *, alone: bool) -> Iterator[None]:
    """Let what is called in the block know that this process holds a store alone, if it does."""
    token = _alone.set(_alone.get() | {mine}) if alone else None
    try:
        yield
    finally:
        if token is not None:
            _alone.reset(token)


def _place(folder: Path) -> Path:
    """The folder of the locks that processes of this machine hold on a store, which is made."""
    place = state_folder(folder).resolve() / LOCKS
    place.mkdir(exist_ok=True)
    return place


def _opened(place: Path, *, alone: bool) -> FileLock | None:
    """The store's lock, or None where the store cannot be written to and has none."""
    try:
        place.mkdir(exist_ok=True)
        return FileLock(place / _FILE)
    except OSError as error:
        if alone or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    try:
        return FileLock(place / _FILE, write=False)
    except OSError:
        return None


def _leave(note: Path, doing: str) -> None:
    try:
        note.write_text(doing, encoding="utf-8")
    except OSError as error:
        # A note is a courtesy; where none can be written the lock holds all the same.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC):
            raise


def _holder(place: Path) -> str:
    """Who has held the store longest, as a part of a sentence; empty if nobody left a note."""
    found = []
    for note in _notes(place):
        try:
            since, doing = note.stat().st_mtime, note.read_text(encoding="utf-8")
        except OSError:
            continue  # just taken away
        process = int(note.name.partition("-")[0])
        if doing and _runs(process):
            found.append((since, doing, process))
    if not found:
        return ""
    since, doing, process = min(found)
    return f": {doing} (process {process}, since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC)"


def _notes(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.name.partition("-")[0].isdigit()]


def dead_notes(folder: Path) -> list[Path]:
    """Return the notes of processes that ended without deleting them."""
    place = folder / LOCKS
    if isinstance(place, RemotePath):
        return list(dead_holders(place))
    notes = _notes(place) if place.is_dir() else []
    return [note for note in sorted(notes) if not _runs(int(note.name.partition("-")[0]))]


def is_busy(folder: Path, *names: str) -> bool:
    """Whether a process is at work on the store in `folder`: it holds the store, or does something of these names.

    Only for status reports: each lock is tried for a moment, and nothing is written.
    """
    if isinstance(folder, RemotePath):
        if live_holders(folder / LOCKS):
            return True
        folder = state_folder(folder, look_only=True)
    place = folder.resolve() / LOCKS
    if not place.is_dir():
        return False
    return any(_runs(int(note.name.partition("-")[0])) for note in _notes(place)) or any(
        _is_locked(place / name) for name in names
    )


def _is_locked(file: Path) -> bool:
    try:
        with FileLock(file, write=False) as lock:
            return not lock.take()
    except OSError:
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


@contextmanager
def only_one(file: Path, what: str, doing: str) -> Iterator[None]:
    """Do something that only one process of this machine may do at a time. Raises TryLater if another does it.

    `what` names it in a sentence ("The store data/store has a run"), `doing` says what this process does. The lock is
    the system's on `file`, which names its holder and is deleted at the end. A killed process blocks nobody.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _taken(file, what) as lock:
        try:
            os.truncate(lock.handle, 0)
            os.pwrite(lock.handle, f"{os.getpid()} {doing}".encode(), 0)
            yield
        finally:
            file.unlink(missing_ok=True)  # while it is held: nobody else can have it by now


class Holder(NamedTuple):
    """Who holds a lock of `only_one`: its process, what it does, and since when (seconds since 1970)."""

    process: int
    doing: str
    since_s: float


def lock_holder(file: Path) -> Holder | None:
    """Return who holds the lock of `only_one` on `file`; None if nobody does. Blocks nobody."""
    try:
        with FileLock(file, write=False) as lock:
            return None if lock.take(alone=False) else _told(lock)  # for a moment, which `only_one` waits
    except FileNotFoundError:
        return None


def _told(lock: FileLock) -> Holder:
    process, _, doing = os.pread(lock.handle, 500, 0).decode(errors="replace").partition(" ")
    return Holder(int(process) if process.isdigit() else 0, doing, os.fstat(lock.handle).st_mtime)


@contextmanager
def nobody_beside(folder: Path, name: str, what: str) -> Iterator[None]:
    """Keep all processes out of `working_beside` while the block runs. Raises TryLater if one is in it (`what`)."""
    with FileLock(_place(folder) / name) as lock:
        if not lock.take():
            raise InUse(f"{what}.", _AGAIN)
        yield


def _taken(file: Path, what: str) -> FileLock:
    deadline = time.monotonic() + _LOOKED_AT_S
    while True:
        lock = FileLock(file)
        if lock.take(wait_s=max(0.0, deadline - time.monotonic())):  # somebody may only be looking
            with suppress(FileNotFoundError):
                if file.stat().st_ino == os.fstat(lock.handle).st_ino:
                    return lock
            os.close(lock.handle)  # its holder took it away between our two steps
            continue
        told = _told(lock)
        os.close(lock.handle)
        since = datetime.fromtimestamp(told.since_s, UTC)
        who = f": {told.doing} (process {told.process}, since {since:%Y-%m-%d %H:%M:%S} UTC)" if told.doing else ""
        raise InUse(f"{what} already{who}.", _AGAIN)
