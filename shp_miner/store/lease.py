"""Locks on a store that lies on an object store, where no system ends a lock with its process.

A lock is a lease: an object that counts for LEASE_S seconds and is written again while its holder lives, so a holder
that dies blocks others for that long. All times are the object store's own, so clocks of machines do not matter.

Whoever reads or appends holds a note of its own in `shared/`. Whoever deletes content holds the newest entry in
`alone/`: its entries are numbered, each is put only if there is none of its number, and an empty one says that the
holder is done. So of several that want the lock one gets it. The number is a fence: a holder that slept past its lease
finds a higher number when it renews, and stops before its next commit or deletion (`Lease.confirm`).

Each side first writes its own object and then looks for the other's; at least one of two sees the other.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from uuid import uuid4

import msgspec

from shp_miner.errors import Error, TryLater
from shp_miner.places.path import RemotePath

#: Seconds that an object counts after it was written, and seconds between writing it again.
LEASE_S = 120.0
RENEW_S = 30.0

#: What is about to be done takes less than this: a lease that ends sooner is written again before.
_LEAST_S = 60.0

_LOOK_S = 0.5
_ALONE, _SHARED = "alone", "shared"


class _Told(msgspec.Struct):
    """What an object says of its holder, for those that wait."""

    holder: str
    doing: str
    process: int
    machine: str
    since_s: float


class Taken(TryLater):
    """Another process holds the lock."""


class Lost(TryLater):
    """The lease ended before the work did: the machine slept, or the object store did not answer for long."""


class Lease:
    """One holder's part of the lock in `place`, alone or shared. Used by `held`, and then by `confirm`.

    `clock` counts seconds; it needs no relation to the time of day.
    """

    def __init__(
        self, place: RemotePath, doing: str, *, alone: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place, self._clock = place, clock
        self._alone = alone
        self._told = _Told(uuid4().hex[:12], doing, os.getpid(), socket.gethostname(), 0.0)
        self._note = place / _SHARED / self._told.holder
        #: Of a holder that is alone, its newest entry; of others, the newest when they took the lock.
        self._number = 0
        self._confirmed = 0.0
        self._renewing = Lock()
        self._stopped = Event()

    # -- taking and giving back -------------------------------------------------------------------------------------

    def take(self, wait_s: float) -> None:
        """Take the lock. Raises Taken after `wait_s` seconds, with a sentence's end on who holds it."""
        deadline = self._clock() + wait_s
        while True:
            holder = self._tried_alone() if self._alone else self._tried_shared()
            if holder is None:
                return
            if self._clock() >= deadline:
                self.give_back()
                raise Taken(holder)
            time.sleep(_LOOK_S)

    def keep(self) -> None:
        """Write the object again from time to time, in a thread, until `give_back`."""
        Thread(target=self._renew_always, daemon=True).start()

    def give_back(self) -> None:
        """End the lock. One that cannot be ended now ends with its lease."""
        self._stopped.set()
        with self._renewing, suppress(Error, OSError):
            if not self._alone:
                self._note.unlink(missing_ok=True)
            elif self._number:
                (self._place / _ALONE / _name(self._number + 1)).create(b"")
                self._sweep(self._number + 1)

    def confirm(self) -> None:
        """Make sure that the lock holds long enough for one more step. Raises Lost where another may hold it now."""
        if self._clock() - self._confirmed > LEASE_S - _LEAST_S:
            self._renew()

    # -- alone ------------------------------------------------------------------------------------------------------

    def _tried_alone(self) -> str | None:
        """None once the lock is held; else who holds it."""
        if not self._number:
            newest = _newest(self._place)
            if newest is not None and newest.stat().st_size and self._is_live(newest):
                return _holder(newest)
            if not self._put(_number(newest) + 1):
                return ""
        live = [note for note in _objects(self._place / _SHARED) if self._is_live(note)]
        if live:
            self.confirm()
            return _holder(min(live, key=lambda note: note.stat().st_mtime))
        for stale in _objects(self._place / _SHARED):  # their processes ended without a chance to take them away
            stale.unlink(missing_ok=True)
        return None

    def _put(self, number: int) -> bool:
        """Whether the entry of that number is this holder's, and the newest."""
        begun = self._clock()
        entry = self._place / _ALONE / _name(number)
        try:
            entry.create(self._body())
        except FileExistsError:
            return False
        newest = _newest(self._place)
        if _number(newest) != number:  # an earlier one was swept away after this process had looked
            entry.unlink(missing_ok=True)
            return False
        self._number, self._confirmed = number, begun
        self._sweep(number)
        return True

    def _sweep(self, number: int) -> None:
        for entry in _objects(self._place / _ALONE):
            if _number(entry) < number:
                entry.unlink(missing_ok=True)

    # -- shared -----------------------------------------------------------------------------------------------------

    def _tried_shared(self) -> str | None:
        begun = self._clock()
        self._note.write_bytes(self._body())
        newest = _newest(self._place)
        if newest is None or not newest.stat().st_size or not self._is_live(newest):
            self._number, self._confirmed = _number(newest), begun
            return None
        self._note.unlink(missing_ok=True)
        return _holder(newest)

    # -- both -------------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        with self._renewing:
            if self._stopped.is_set():
                return
            if self._alone:
                if not self._put(self._number + 1):
                    raise self._lost()
                return
            begun = self._clock()
            self._note.write_bytes(self._body())
            # Whoever was alone since then may have deleted a file that is in no log yet.
            if begun - self._confirmed > LEASE_S and _number(_newest(self._place)) != self._number:
                raise self._lost()
            self._confirmed = begun

    def _renew_always(self) -> None:
        while not self._stopped.wait(RENEW_S):
            with suppress(Error, OSError):  # the next `confirm` tries again, and says so
                self._renew()

    def _lost(self) -> Lost:
        what = f"The lock on the store {self._place.parent} went to another process while {self._told.doing}"
        return Lost(f"{what}: it was not renewed for {LEASE_S:.0f} s.", "Run the same command again.")

    def _body(self) -> bytes:
        self._told.since_s = self._told.since_s or time.time()
        return msgspec.json.encode(self._told)

    def _is_live(self, entry: RemotePath) -> bool:
        """Whether another's object still counts, by the object store's clock."""
        return _now(self._place, self._told.holder) - entry.stat().st_mtime < LEASE_S


#: The leases that this task holds.
_held: ContextVar[tuple[Lease, ...]] = ContextVar("_held", default=())


@contextmanager
def held(place: RemotePath, doing: str, *, alone: bool, wait_s: float) -> Iterator[None]:
    """Hold the lock in `place` while the block runs. Raises Taken as `Lease.take`."""
    lease = Lease(place, doing, alone=alone)
    lease.take(wait_s)
    token = _held.set((*_held.get(), lease))
    lease.keep()
    try:
        yield
    finally:
        _held.reset(token)
        lease.give_back()


def confirm() -> None:
    """Make sure, before a commit or a deletion, that the locks of this task hold. On a disk they do. Raises Lost."""
    for lease in _held.get():
        lease.confirm()


def _now(place: RemotePath, holder: str) -> float:
    """The object store's time, in seconds since 1970: that of an object which is written now."""
    asked = place / f"asked-{holder}"
    asked.write_bytes(b"")
    try:
        return asked.stat().st_mtime
    finally:
        asked.unlink(missing_ok=True)


def live_holders(place: RemotePath) -> list[str]:
    """Return who holds the lock in `place`, as parts of sentences."""
    newest = _newest(place)
    entries = [*_objects(place / _SHARED), *([newest] if newest is not None and newest.stat().st_size else [])]
    if not entries:
        return []
    now = _now(place, uuid4().hex[:12])
    return [_holder(entry) for entry in entries if now - entry.stat().st_mtime < LEASE_S]


def dead_holders(place: RemotePath) -> list[RemotePath]:
    """Return the notes of shared holders whose leases have ended; they block nobody."""
    notes = _objects(place / _SHARED)
    if not notes:
        return []
    now = _now(place, uuid4().hex[:12])
    return [note for note in notes if now - note.stat().st_mtime >= LEASE_S]


def _objects(place: RemotePath) -> list[RemotePath]:
    return list(place.iterdir())


def _newest(place: RemotePath) -> RemotePath | None:
    return max(_objects(place / _ALONE), default=None)


def _name(number: int) -> str:
    return f"{number:020d}"


def _number(entry: RemotePath | None) -> int:
    return 0 if entry is None else int(entry.name)


def _holder(entry: RemotePath) -> str:
    """Who holds the lock, as a part of a sentence; empty if nobody does by now."""
    try:
        told = msgspec.json.decode(entry.read_bytes(), type=_Told)
    except (FileNotFoundError, msgspec.DecodeError):
        return ""
    since = datetime.fromtimestamp(told.since_s, UTC)
    return f": {told.doing} (process {told.process} on {told.machine}, since {since:%Y-%m-%d %H:%M:%S} UTC)"
