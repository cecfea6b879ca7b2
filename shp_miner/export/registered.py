"""The exports made of a store, by their folders, so that what must be forgotten is taken out of them too.

Each has a small file of its own in the store, so that two exports that start at once do not disturb each other. The
file says how far the export came, by which manifests it is known, and what of it a forget request still waits for.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec

from shp_miner.errors import BadInput
from shp_miner.export.owned import formats_in, manifest_hashes, several_in
from shp_miner.export.publish import leftovers, lock_of, place_of
from shp_miner.store.files import replace_file
from shp_miner.store.identity import EXPORTS, is_copy, may_be_copy_of, settle_identity
from shp_miner.store.lake import TABLES, Store

#: How far an export came: registered and being built; built and about to appear; there; being deleted; nothing of it
#: there any more but dropped rows. Empty where an earlier version registered it, which did not say.
Stage = Literal["", "begun", "publishing", "written", "removing", "gone"]

#: A process that is killed then leaves text in the place or beside it that no manifest is of.
BETWEEN: tuple[Stage, ...] = ("begun", "publishing", "removing")

#: What keeps forgetting from a copy: it is not there; it is no export any more; it cannot be made again; the list's own
#: file cannot be read; it may be another store's.
Kept = Literal["away", "unreadable", "failed", "damaged", "unsure"]

#: Manifests that are kept in mind for each export. One put back from a backup is known by them.
_MANIFESTS = 200

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class Owed(msgspec.Struct):
    """A copy that a forget request waits for: since when (seconds since 1970), what keeps it, and that in words."""

    since: float
    kept_by: Kept
    why: str


class KnownExport(msgspec.Struct):
    """An export: its folder, folders that got its dropped rows, and its fingerprint when it was last found clean.

    All paths are absolute. While the export is as it was when it was found clean, only what was forgotten since needs
    to be looked for in it. `made` has hashes of the manifests that this store wrote there: what has others is not this
    export. `owes` has, by path, what a forget request waits for. `key` tells exports of one path apart: one that is
    waited for stays known although another was made in its place. `of` is the place of the store that made it, where
    nobody can tell whether this one is that store or a copy of it.
    """

    path: str
    dropped: list[str] = []
    clean: str = ""
    stage: Stage = ""
    made: list[str] = []
    owes: dict[str, Owed] = {}
    key: str = ""
    of: str = ""

    def is_there(self) -> bool:
        """Whether what is in the export's folder now is this export."""
        if self.stage in ("begun", "gone"):
            return False
        place = Path(self.path)
        try:
            formats = formats_in(place)
            there = manifest_hashes(formats)
        except OSError:
            return False
        return bool(there) and self.is_made_of(there) and set(several_in(place)) <= set(formats)

    def is_made_of(self, hashes: set[str]) -> bool:
        """Whether manifests are all of this export; an earlier version did not say which it wrote."""
        return not self.made or hashes <= set(self.made)

    def is_back(self, path: str) -> bool:
        """Whether the export, or with its path a folder of its dropped rows, is there."""
        place = Path(path)
        with suppress(OSError):
            if path != self.path:
                return any(place.iterdir())
            return not self.why_away() if self.stage in BETWEEN else self.is_there()
        return False

    def why_away(self) -> str:
        """Why nobody can see what an export that was killed left: its disk is away. Empty where that is there."""
        place = Path(self.path)
        if self.stage != "removing" and (leftovers(place) or lock_of(place).exists() or self.is_there()):
            return ""
        try:
            is_empty = not any(place.parent.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return "The folder around it is not there."
        if is_empty:
            return "The folder around it is empty, as that of a disk that is not mounted."
        return "" if self.stage == "removing" else "What was left there when it was killed is not there any more."

    def add_made(self, hashes: set[str]) -> None:
        """Keep manifests in mind, the newest last."""
        self.made = [*(one for one in self.made if one not in hashes), *sorted(hashes)][-_MANIFESTS:]


class Waiting(msgspec.Struct, frozen=True):
    """A copy that a forget request waits for: since when (seconds since 1970), why, and what to do."""

    path: str
    since: float
    why: str
    hint: str


_TRIED = "the next run, `shp-miner forget` or `shp-miner doctor --repair` cleans it"

#: What to do about a copy that could not be reached, by what kept it.
HINTS: dict[Kept, str] = {
    "away": f"Bring it back: {_TRIED}. "
    "If it was moved, run `shp-miner forget --export NEW-PLACE --drop-export {path}`; "
    "if it was deleted, `shp-miner forget --drop-export {path}`.",
    "unreadable": f"Restore its manifest.json: {_TRIED}. "
    "Or delete the folder, and run `shp-miner forget --drop-export {path}`.",
    "failed": f"Put that right: {_TRIED}. Or delete the folder, and run `shp-miner forget --drop-export {{path}}`.",
    "unsure": "If this is that store, run `shp-miner forget --export {path}`; "
    "if it is a copy, `shp-miner forget --drop-export {path}`.",
    "damaged": "Delete it, and name its export with `shp-miner forget --export DIR`.",
}


#: What is said of a file of the list that cannot be read.
DAMAGED = "This file of the list of exports is damaged: it does not say which export it means."


def waiting(store: Store) -> list[Waiting]:
    """The copies that a forget request waits for, by path; a damaged file of the list keeps a copy from it, too."""
    exports, damaged = all_exports(store)
    found = []
    for known in exports:
        for path, owed in known.owes.items():
            said = owed.why, HINTS[owed.kept_by].format(path=path)
            if owed.kept_by == "away" and known.is_back(path):
                said = "It is there again, and not cleaned yet.", f"{_TRIED[0].upper()}{_TRIED[1:]}."
            found.append(Waiting(path, owed.since, *said))
    for file in damaged:
        with suppress(FileNotFoundError):
            found.append(Waiting(str(file), file.stat().st_mtime, DAMAGED, HINTS["damaged"]))
    return sorted(found, key=lambda one: (one.path, one.since))


def is_back(store: Store) -> bool:
    """Whether something is in the place of a copy that a forget request waits for, so that it can be tried again."""
    known = [(one, path) for one in all_exports(store)[0] for path in one.owes]
    return any(Path(path).exists() or one.is_back(path) for one, path in known)


# -- while an export is written ---------------------------------------------------------------------------------------


class Registration:
    """The registering of an export that is about to be written: not before its place has proved usable.

    `begin` comes before the first byte of text, so that what a killed export leaves is found as well, and `publishing`
    before the new export appears. Where the store cannot be written to nothing is noted.
    """

    def __init__(self, store: Store, out: Path, known: KnownExport | None = None) -> None:
        self._store, self._out, self._known = store, out, known
        self._again = known is not None
        # Looked for before what a killed one left there is cleared away.
        self._replaced = known or _to_replace(store, str(place_of(out)))
        self._dropped: list[Path] = []

    def begin(self, dropped: str | os.PathLike[str] | None) -> None:
        """Note that text is about to be written.

        `dropped` is made here, and its folders for tables: one that is noted has been there, and is never empty.
        """
        if self._again:
            return
        if dropped is not None:
            place = place_of(Path(dropped))
            self._dropped = [*(place / name for name in TABLES), place]
            for folder in self._dropped:
                folder.mkdir(parents=True, exist_ok=True)
        self._known = remember_export(self._store, self._out, dropped=dropped, known=self._replaced)

    def publishing(self, folder: Path) -> None:
        """Note what is about to appear: it has been built in `folder`."""
        if self._known is None:
            return
        hashes = manifest_hashes(formats_in(folder))
        self._known.add_made(hashes)
        # What stands in one of its folders, or it in one of theirs, is from now on known as both.
        place = Path(self._known.path)
        for other in all_exports(self._store)[0]:
            if Path(other.path) == place.parent or Path(other.path).parent == place:
                other.add_made(hashes)
                _write(self._store, other)
        if self._known.stage == "begun":
            self._known.stage = "publishing"
        _write(self._store, self._known)

    def appeared(self) -> None:
        """Note that the export is there. What was waited for in its place is replaced by it."""
        if self._known is None or self._again:
            return
        self._known.stage, self._known.of = "written", ""
        self._known.owes.pop(self._known.path, None)
        with suppress(OSError):  # it is there all the same, and found to be at the next look
            _write(self._store, self._known)

    def failed(self) -> None:
        """Take back what was noted if nothing has come of it."""
        if self._known is None or self._again:
            return
        with suppress(OSError):
            if self._known.stage == "publishing" and not (self._known.is_there() or leftovers(self._out)):
                self._known.stage = "begun"
        if self._known.stage != "begun" or leftovers(self._out):
            return
        for folder in self._dropped:
            with suppress(OSError):
                folder.rmdir()  # if it is empty
        self._known.stage = "gone"
        if self._dropped and not self._dropped[-1].exists():
            self._known.dropped.remove(str(self._dropped[-1]))
        with suppress(OSError):
            _write(self._store, self._known) if self._known.dropped else drop_export(self._store, self._known)


@contextmanager
def registration(store: Store, out: Path, known: KnownExport | None = None) -> Iterator[Registration]:
    """Register an export while it is written; `known` is given where one that is registered is made again."""
    entry = Registration(store, out, known)
    try:
        yield entry
    except BaseException:
        entry.failed()
        raise
    entry.appeared()


# -- the list ---------------------------------------------------------------------------------------------------------


def remember_export(
    store: Store,
    out: str | os.PathLike[str],
    *,
    dropped: str | os.PathLike[str] | None = None,
    known: KnownExport | None = None,
) -> KnownExport | None:
    """Note that an export is about to be written to `out`, and its dropped rows to `dropped`.

    `known` is what it replaces, or a new entry for it. None where the store cannot be written to, so that nothing could
    be noted.
    """
    path = str(place_of(Path(out)))  # a link can lead elsewhere tomorrow, and what it led to must still be known
    try:
        settle_identity(store.path)
        known = known or _to_replace(store, path)
        known.stage = "begun" if known.stage == "gone" else known.stage
        if dropped is not None:
            known.dropped = sorted({*known.dropped, str(place_of(Path(dropped)))})
        write_export(store, known)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        return None
    return known


def _to_replace(store: Store, path: str) -> KnownExport:
    """The known export whose place a new one takes: the one that is there, or one of which nothing is. Else a new one.

    One that was there and is not now stays known by itself: nobody said that it was deleted, and it may come back, as
    when its disk is mounted again.
    """
    _read(_place(store, KnownExport(path)))  # damaged: said before anything is written
    # Earlier versions noted paths through links.
    known = [one for one in all_exports(store)[0] if path in (one.path, str(place_of(Path(one.path))))]
    for one in known:
        if one.is_there():
            return one
    for one in known:
        if one.stage == "gone" or (one.stage in ("begun", "publishing") and leftovers(Path(path))):
            return one
    return KnownExport(path, stage="begun", key=uuid4().hex if known else "")


def note_cleared(store: Store, known: KnownExport) -> None:
    """Note that nothing lies beside an export's place any more: one that was killed before it appeared is gone."""
    if known.stage in ("begun", "publishing") and not known.is_there():
        known.stage = "gone"
        _write(store, known) if known.dropped else drop_export(store, known)


def adopt_export(store: Store, folder: Path) -> None:
    """Note an export of this store that somebody names, as one more: no copy can be told from one that was moved."""
    path = str(place_of(folder))
    known = _to_replace(store, path)
    known.stage, known.of = "written", ""
    known.add_made(manifest_hashes(formats_in(Path(path))))
    write_export(store, known)


def is_known(store: Store, out: Path) -> bool:
    """Whether what is in a place now is an export that the store knows, and so `forget`."""
    path = str(place_of(out))
    return any(one.path == path and one.is_there() for one in all_exports(store)[0])


def known_exports(store: Store) -> list[KnownExport]:
    """Every export that was remembered, by path. Raises BadInput where a file is damaged."""
    exports, damaged = all_exports(store)
    for file in damaged:
        _read(file)
    return exports


def all_exports(store: Store) -> tuple[list[KnownExport], list[Path]]:
    """Every export that was remembered, by path, and the files that are damaged. None are a fresh copy's own."""
    folder = store.path / EXPORTS
    exports: list[KnownExport] = []
    damaged: list[Path] = []
    if not folder.is_dir() or is_copy(store.path):
        return exports, damaged
    of = may_be_copy_of(store.path)
    for path in sorted(folder.glob("*.json")):
        try:
            known = _read(path)
        except BadInput:
            damaged.append(path)
            continue
        if known is not None:
            known.of = known.of or of
            exports.append(known)
    return sorted(exports, key=lambda known: (known.path, known.key)), damaged


def read_again(store: Store, known: KnownExport) -> KnownExport:
    """What is noted of an export now; what is given where nothing is."""
    return _read(_place(store, known)) or known


def drop_export(store: Store, known: KnownExport) -> None:
    """Note that the export is not there any more."""
    _place(store, known).unlink(missing_ok=True)


def write_export(store: Store, known: KnownExport) -> None:
    """Note what is known of an export, safe from a loss of power when this returns."""
    _write(store, known)


def _place(store: Store, known: KnownExport) -> Path:
    name = os.fsencode(known.path) + (b"\0" + known.key.encode() if known.key else b"")
    return store.path / EXPORTS / f"{hashlib.sha256(name).hexdigest()[:32]}.json"


def _read(file: Path) -> KnownExport | None:
    try:
        known = msgspec.json.decode(file.read_bytes(), type=KnownExport)
        if not all(path.startswith("/") for path in (known.path, *known.dropped)):
            raise msgspec.ValidationError("paths are absolute")
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(f"{file} is damaged.", "Delete it, and name its export with `forget --export`.") from error
    return known


def _write(store: Store, known: KnownExport) -> None:
    file = _place(store, known)
    file.parent.mkdir(exist_ok=True)
    # On the disk before the export begins: what is in an export that nobody knows of stays for ever.
    replace_file(file, msgspec.json.encode(known), durable=True)
