"""Locks on what lies on an object store, where no system ends a lock with its process.

A lock is a lease: an object that counts for LEASE_S seconds and is written again while its holder lives, so a holder
that dies blocks others for that long; on its own machine not at all, since the end of its process is seen. All times
are the object store's own, so clocks of machines do not matter.

Whoever reads or appends holds a note of its own in `shared/`. Whoever deletes content or publishes an export holds the
newest entry in `alone/`: its entries are numbered, and each is put only if there is none of its number. After the put
there may be no entry that was not there before it; so of several that want the lock one gets it, and a holder that
slept past its lease, whose entry is gone or no longer the newest, stops before its next step (`Lease.confirm`).

Each side first writes its own object and then looks for the other's; at least one of two sees the other. An empty entry
says that a holder is done. It stays, because shared holders that slept tell by its number that somebody was alone; a
lock that nobody shares leaves nothing (`traceless`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from uuid import uuid4

import msgspec

from shp_miner.errors import Error, TryLater
from shp_miner.places.machine import Machine, this_machine
from shp_miner.places.path import RemotePath

#: Seconds that an object counts after it was written, and seconds between writing it again.
LEASE_S = 120.0
RENEW_S = 30.0

#: What is about to be done takes less than this: a lease that ends sooner is written again before.
_LEAST_S = 60.0

#: A request that a process sent before it was killed arrives within this.
_ARRIVES_S = 1.0

_LOOK_S = 0.5
_ALONE, _SHARED = "alone", "shared"


class _Told(msgspec.Struct):
    """What an object says of its holder, for those that wait."""

    holder: str
    doing: str
    process: int
    machine: Machine
    since_s: float


class Taken(TryLater):
    """Another process holds the lock."""


class Lost(TryLater):
    """The lease ended before the work did: the machine slept, or the object store did not answer for long."""


class Lease:
    """One holder's part of the lock in `place`, alone or shared. Used by `held`, and then by `confirm`.

    With `traceless` (alone only, and by all that use the lock) nothing of it stays. `clock` counts seconds; it needs no
    relation to the time of day.
    """

    def __init__(
        self,
        place: RemotePath,
        doing: str,
        *,
        alone: bool,
        traceless: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._clock = place, clock
        self._alone, self._traceless = alone, traceless
        self._told = _Told(uuid4().hex[:12], doing, os.getpid(), this_machine(), 0.0)
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
            elif self._number and self._traceless:
                self._entry(self._number).unlink(missing_ok=True)
            elif self._number:
                self._entry(self._number + 1).create(b"")
                self._sweep(self._number + 1)
        _over.add(self._told.holder)

    def confirm(self) -> None:
        """Make sure that the lock holds long enough for one more step. Raises Lost where another may hold it now."""
        if self._clock() - self._confirmed > LEASE_S - _LEAST_S:
            self._renew()

    # -- alone ------------------------------------------------------------------------------------------------------

    def _tried_alone(self) -> str | None:
        """None once the lock is held; else who holds it."""
        if not self._number:
            there = _objects(self._place / _ALONE)
            if self._live(there[-1:]):
                return _holder(there[-1])
            if not self._put({_number(entry) for entry in there}):
                return ""
        if self._traceless:
            return None
        live = self._live(_objects(self._place / _SHARED))
        if live:
            self.confirm()
            return _holder(min(live, key=lambda note: note.stat().st_mtime))
        for stale in _objects(self._place / _SHARED):  # their processes ended without a chance to take them away
            stale.unlink(missing_ok=True)
        return None

    def _put(self, before: set[int]) -> bool:
        """Whether this holder got the number after those that were there before, and nobody else any since."""
        begun, number = self._clock(), max(before, default=0) + 1
        try:
            self._entry(number).create(self._body())
        except FileExistsError:
            return False
        there = {_number(entry) for entry in _objects(self._place / _ALONE)}
        # Others that were here since have left an entry, or have swept that of this holder away.
        kept = self._number in there and max(there) == number if self._number else there - before == {number}
        if not kept:
            self._entry(number).unlink(missing_ok=True)
            return False
        self._number, self._confirmed = number, begun
        self._sweep(number)
        return True

    def _entry(self, number: int) -> RemotePath:
        return self._place / _ALONE / _name(number)

    def _sweep(self, number: int) -> None:
        for entry in _objects(self._place / _ALONE):
            if _number(entry) < number:
                entry.unlink(missing_ok=True)

    # -- shared -----------------------------------------------------------------------------------------------------

    def _tried_shared(self) -> str | None:
        begun = self._clock()
        self._note.write_bytes(self._body())
        newest = _newest(self._place)
        if newest is None or not self._live([newest]):
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
                if not self._put({self._number}):
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
        what = f"The lock on {self._place.parent} went to another process while {self._told.doing}"
        return Lost(f"{what}: it was not renewed for {LEASE_S:.0f} s.", "Run the same command again.")

    def _body(self) -> bytes:
        self._told.since_s = self._told.since_s or time.time()
        return msgspec.json.encode(self._told)

    def _live(self, entries: Sequence[RemotePath]) -> list[RemotePath]:
        if any(_has_ended(entry) for entry in entries):
            time.sleep(_ARRIVES_S)
        return _live(entries, self._told.holder)


#: Holders of this process that are done: the object of one may be there yet, because the object store did not answer.
_over: set[str] = set()

#: The leases that this task holds.
_held: ContextVar[tuple[Lease, ...]] = ContextVar("_held", default=())


@contextmanager
def held(place: RemotePath, doing: str, *, alone: bool, wait_s: float, traceless: bool = False) -> Iterator[Lease]:
    """Hold the lock in `place` while the block runs, which gets it. Raises Taken as `Lease.take`."""
    lease = Lease(place, doing, alone=alone, traceless=traceless)
    lease.take(wait_s)
    token = _held.set((*_held.get(), lease))
    lease.keep()
    try:
        yield lease
    finally:
        _held.reset(token)
        lease.give_back()


def confirm() -> None:
    """Make sure, before a commit or a deletion, that the locks of this task hold. On a disk they do. Raises Lost."""
    for lease in _held.get():
        lease.confirm()


def _now(place: RemotePath, asker: str) -> float:
    """The object store's time, in seconds since 1970: that of an object which is written now."""
    asked = place / f"asked-{asker}"
    asked.write_bytes(b"")
    try:
        return asked.stat().st_mtime
    finally:
        asked.unlink(missing_ok=True)


def live_holders(place: RemotePath) -> list[str]:
    """Return who holds the lock in `place`, as parts of sentences."""
    newest = _newest(place)
    entries = [*_objects(place / _SHARED), *([] if newest is None else [newest])]
    return [_holder(entry) for entry in _live(entries, uuid4().hex[:12])]


def dead_holders(place: RemotePath) -> list[RemotePath]:
    """Return the notes of shared holders whose leases have ended; they block nobody."""
    notes = _objects(place / _SHARED)
    live = _live(notes, uuid4().hex[:12])
    return [note for note in notes if note not in live]


def _live(entries: Iterable[RemotePath], asker: str) -> list[RemotePath]:
    """Return the objects whose holders still count, by the object store's clock and this machine's processes."""
    held = [entry for entry in entries if entry.stat().st_size and not _has_ended(entry)]
    if not held:
        return []
    now = _now(held[0].parent.parent, asker)
    return [entry for entry in held if now - entry.stat().st_mtime < LEASE_S]


def _has_ended(entry: RemotePath) -> bool:
    told = _told(entry)
    return told is not None and (told.holder in _over or told.machine.has_ended(told.process))


def _objects(place: RemotePath) -> list[RemotePath]:
    return list(place.iterdir())


def _newest(place: RemotePath) -> RemotePath | None:
    return max(_objects(place / _ALONE), default=None)


def _name(number: int) -> str:
    return f"{number:020d}"


def _number(entry: RemotePath | None) -> int:
    return 0 if entry is None else int(entry.name)


def _told(entry: RemotePath) -> _Told | None:
    """What an object says of its holder; None where nobody holds it by now."""
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(entry.read_bytes(), type=_Told)
    return None


def _holder(entry: RemotePath) -> str:
    """Who holds the lock, as a part of a sentence; empty if nobody does by now."""
    told = _told(entry)
    if told is None:
        return ""
    since = datetime.fromtimestamp(told.since_s, UTC)
    return f": {told.doing} (process {told.process} on {told.machine.name}, since {since:%Y-%m-%d %H:%M:%S} UTC)"
