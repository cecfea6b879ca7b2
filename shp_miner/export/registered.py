"""The registered exports of a store, so that forgetting reaches them.

Each export has a small file in the store, so that two exports that start together do not disturb each other. The file
has the export's stage, the hashes of its manifests, and the paths that a forget request still waits for.
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

from shp_miner.errors import BadInput, Error
from shp_miner.export.owned import formats_in, manifest_hashes, several_in
from shp_miner.export.publish import export_leftovers, lock_of, place_of
from shp_miner.paths import expanded, is_remote
from shp_miner.store.files import replace_file
from shp_miner.store.identity import EXPORTS, is_copy, may_be_copy_of, settle_identity
from shp_miner.store.lake import TABLES, Store

#: The stage of an export: registered and being built; built and about to appear; written; being deleted; deleted,
#: except for dropped rows. Empty if an earlier version registered it without a stage.
Stage = Literal["", "begun", "publishing", "written", "removing", "gone"]

#: A process that is killed in these stages leaves text that no manifest covers.
BETWEEN: tuple[Stage, ...] = ("begun", "publishing", "removing")

#: Why forgetting cannot reach a copy: it is missing; it is not a readable export; it cannot be written again; its file
#: of the list cannot be read; it may be another store's.
Kept = Literal["away", "unreadable", "failed", "damaged", "unsure"]

#: Manifest hashes kept per export. They identify an export that was restored from a backup.
_MANIFESTS = 200

#: What is raised where a disk or a bucket cannot be reached.
_AWAY = (OSError, Error)

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class Owed(msgspec.Struct):
    """A copy that a forget request waits for: since when (seconds since 1970), and why (a word and a sentence)."""

    since: float
    kept_by: Kept
    why: str


class KnownExport(msgspec.Struct):
    """A registered export: its folder, the folders of its dropped rows, and its fingerprint when last found clean.

    All paths are absolute. While the export equals `clean`, only newer requests need to be looked for in it. `made` has
    the hashes of the manifests that this store wrote there: a folder with other manifests is not this export. `owes`
    has, by path, what a forget request waits for. `key` distinguishes exports of one path: one that is waited for stays
    registered although another was written in its place. `of` is the path of the store that made it, if this store may
    be that store or a copy of it.
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
        """Return whether the export's folder has this export now."""
        if self.stage in ("begun", "gone"):
            return False
        place = expanded(self.path)
        try:
            formats = formats_in(place)
            there = manifest_hashes(formats)
        except _AWAY:
            return False
        return bool(there) and self.is_made_of(there) and set(several_in(place)) <= set(formats)

    def is_made_of(self, hashes: set[str]) -> bool:
        """Return whether all manifests are of this export; entries of earlier versions have no hashes and match all."""
        return not self.made or hashes <= set(self.made)

    def is_back(self, path: str, *, at_all: bool = False) -> bool:
        """Return whether the export, or the folder of its dropped rows at `path`, is there; or anything `at_all`."""
        place = expanded(path)
        with suppress(*_AWAY):
            if at_all and place.exists():
                return True
            if path != self.path:
                return any(place.iterdir())
            return not self.why_away() if self.stage in BETWEEN else self.is_there()
        return False

    def why_away(self) -> str:
        """Return why the leftovers of a killed export cannot be seen (its disk is away); "" if they can."""
        place = expanded(self.path)
        if is_remote(place):  # it was reached, or this raises
            return ""
        if self.stage != "removing" and (export_leftovers(place) or lock_of(place).exists() or self.is_there()):
            return ""
        try:
            is_empty = not any(place.parent.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return "Its parent folder does not exist."
        if is_empty:
            return "Its parent folder is empty: its disk may not be mounted."
        return "" if self.stage == "removing" else "The files that the killed export left there are missing."

    def add_made(self, hashes: set[str]) -> None:
        """Add manifest hashes, the newest last."""
        self.made = [*(digest for digest in self.made if digest not in hashes), *sorted(hashes)][-_MANIFESTS:]


class Waiting(msgspec.Struct, frozen=True):
    """A copy that a forget request waits for: since when (seconds since 1970), the reason, and what to do."""

    path: str
    since: float
    why: str
    hint: str


_TRIED = "the next run, `shp-miner forget` or `shp-miner doctor --repair` cleans it"

#: What to do about a copy that could not be reached, by the reason.
HINTS: dict[Kept, str] = {
    "away": f"Bring it back: {_TRIED}. "
    "If it was moved, run `shp-miner forget --export NEW-PATH --drop-export {path}`; "
    "if it was deleted, `shp-miner forget --drop-export {path}`.",
    "unreadable": f"Restore its manifest.json: {_TRIED}. "
    "Or delete the folder, and run `shp-miner forget --drop-export {path}`.",
    "failed": f"Correct this: {_TRIED}. Or delete the folder, and run `shp-miner forget --drop-export {{path}}`.",
    "unsure": "If this is that store, run `shp-miner forget --export {path}`; "
    "if it is a copy, `shp-miner forget --drop-export {path}`.",
    "damaged": "Delete this file, and name its export with `shp-miner forget --export FOLDER`.",
}


#: The message on a file of the list that cannot be read.
DAMAGED = "This file of the list of exports is damaged: its export is not known."


def waiting_copies(store: Store) -> list[Waiting]:
    """Return the copies that a forget request waits for, by path, and damaged files of the list."""
    exports, damaged = all_exports(store)
    found = []
    for known in exports:
        for path, owed in known.owes.items():
            said = owed.why, HINTS[owed.kept_by].format(path=path)
            if owed.kept_by == "away" and known.is_back(path):
                said = "It is back, and not cleaned yet.", f"{_TRIED[0].upper()}{_TRIED[1:]}."
            found.append(Waiting(path, owed.since, *said))
    for file in damaged:
        with suppress(FileNotFoundError):
            found.append(Waiting(str(file), file.stat().st_mtime, DAMAGED, HINTS["damaged"]))
    return sorted(found, key=lambda copy: (copy.path, copy.since))


def is_back(store: Store) -> bool:
    """Return whether the folder of a copy that a forget request waits for exists, so that it can be tried again."""
    known = [(export, path) for export in all_exports(store)[0] for path in export.owes]
    return any(export.is_back(path, at_all=True) for export, path in known)


# -- while an export is written ---------------------------------------------------------------------------------------


class Registration:
    """Registers an export that is about to be written, once its folder has proved usable.

    Call `begin` before the first byte of text, so that leftovers of a killed export are found too, and `publishing`
    before the new export appears. In a read-only store nothing is noted.
    """

    def __init__(self, store: Store, out: Path, known: KnownExport | None = None) -> None:
        self._store, self._out, self._known = store, out, known
        self._again = known is not None
        # Found before the leftovers of a killed export are cleared away.
        self._replaced = known or _to_replace(store, str(place_of(out)))
        self._dropped: list[Path] = []

    def begin(self, dropped: str | os.PathLike[str] | None) -> None:
        """Note that text is about to be written.

        The folder `dropped` and its folders for tables are created here, so that a noted folder is never empty.
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
        """Note the export built in `folder`, which is about to appear."""
        if self._known is None:
            return
        hashes = manifest_hashes(formats_in(folder))
        self._known.add_made(hashes)
        # An export inside another one belongs to both entries from now on.
        place = expanded(self._known.path)
        for other in all_exports(self._store)[0]:
            if expanded(other.path) == place.parent or expanded(other.path).parent == place:
                other.add_made(hashes)
                _write(self._store, other)
        if self._known.stage == "begun":
            self._known.stage = "publishing"
        _write(self._store, self._known)

    def appeared(self) -> None:
        """Note that the export is written. It replaces the export that was waited for in its folder."""
        if self._known is None or self._again:
            return
        self._known.stage, self._known.of = "written", ""
        self._known.owes.pop(self._known.path, None)
        with suppress(OSError):  # the export is there anyway, and the next look finds it
            _write(self._store, self._known)

    def failed(self) -> None:
        """Remove the note if the export left nothing."""
        if self._known is None or self._again:
            return
        with suppress(OSError):
            if self._known.stage == "publishing" and not (self._known.is_there() or export_leftovers(self._out)):
                self._known.stage = "begun"
        if self._known.stage != "begun" or export_leftovers(self._out):
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
def export_registration(store: Store, out: Path, known: KnownExport | None = None) -> Iterator[Registration]:
    """Register an export while it is written; `known` is the entry of an export that is written again."""
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
    """Note that an export is about to be written to `out`, and its dropped rows to `dropped`; return its entry.

    `known` is the entry that it replaces, or a new one. Returns None if the store is read-only: nothing is noted then.
    """
    path = str(place_of(expanded(out)))  # a link may change, and its old target must stay registered
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
    """Return the entry that a new export replaces: of the export that is there, or of a deleted one; else a new entry.

    An export that is missing now keeps its own entry: it may come back, for example when its disk is mounted again.
    """
    _read(_place(store, KnownExport(path)))  # raises if damaged, before anything is written
    # Earlier versions noted paths through links.
    known = [export for export in all_exports(store)[0] if path in (export.path, _real(export.path))]
    for export in known:
        if export.is_there():
            return export
    for export in known:
        if export.stage == "gone" or (export.stage in ("begun", "publishing") and export_leftovers(expanded(path))):
            return export
    return KnownExport(path, stage="begun", key=uuid4().hex if known else "")


def _real(path: str) -> str:
    return str(place_of(expanded(path)))


def note_cleared(store: Store, known: KnownExport) -> None:
    """Note that an export has no leftovers any more: one that was killed before it appeared is gone."""
    if known.stage in ("begun", "publishing") and not known.is_there():
        known.stage = "gone"
        _write(store, known) if known.dropped else drop_export(store, known)


def adopt_export(store: Store, folder: Path) -> None:
    """Register an export that somebody names, as a further one: copies and moved exports look the same."""
    path = str(place_of(folder))
    known = _to_replace(store, path)
    known.stage, known.of = "written", ""
    known.add_made(manifest_hashes(formats_in(expanded(path))))
    write_export(store, known)


def is_known(store: Store, out: Path) -> bool:
    """Return whether the folder `out` has a registered export, which `forget` reaches."""
    path = str(place_of(out))
    return any(export.path == path and export.is_there() for export in all_exports(store)[0])


def known_exports(store: Store) -> list[KnownExport]:
    """Return all registered exports, by path. Raises BadInput if a file is damaged."""
    exports, damaged = all_exports(store)
    for file in damaged:
        _read(file)
    return exports


def all_exports(store: Store) -> tuple[list[KnownExport], list[Path]]:
    """Return all registered exports, by path, and damaged files of the list. A fresh copy of a store has none."""
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
    """Return the current entry of an export; `known` if there is none."""
    return _read(_place(store, known)) or known


def drop_export(store: Store, known: KnownExport) -> None:
    """Delete the entry of an export."""
    _place(store, known).unlink(missing_ok=True)


def write_export(store: Store, known: KnownExport) -> None:
    """Write the entry of an export; it is safe from a power cut when this returns."""
    _write(store, known)


def _place(store: Store, known: KnownExport) -> Path:
    name = os.fsencode(known.path) + (b"\0" + known.key.encode() if known.key else b"")
    return store.path / EXPORTS / f"{hashlib.sha256(name).hexdigest()[:32]}.json"


def _read(file: Path) -> KnownExport | None:
    try:
        known = msgspec.json.decode(file.read_bytes(), type=KnownExport)
        if not all(path.startswith("/") or is_remote(path) for path in (known.path, *known.dropped)):
            raise msgspec.ValidationError("paths are absolute")
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(
            f"{file} is damaged.", "Delete this file, and name its export with `shp-miner forget --export FOLDER`."
        ) from error
    return known


def _write(store: Store, known: KnownExport) -> None:
    file = _place(store, known)
    file.parent.mkdir(exist_ok=True)
    # On the disk before the export begins: forgetting never reaches an export that is not registered.
    replace_file(file, msgspec.json.encode(known), durable=True)
