"""The data sets on the Hub that exports of a store were pushed to, so that forgetting can name them.

Each has a small file in the store. It stays when the export is moved or deleted: what was pushed is still there.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from shp_miner.paths import expanded
from shp_miner.store import Store
from shp_miner.store.replacing import replace_file

#: The folder in a store with a file for each data set.
_FOLDER = "pushed"

#: The store of commands that name none.
_USUAL_STORE = Path("data/store")


class PushedTo(msgspec.Struct):
    """A branch of a data set on the Hub that an export was pushed to.

    `endpoint` has no credentials. `path` is the export's folder at the last push. The lists have what was pushed and
    not purged since: the folders of exports, the hashes of their manifests, the SHA-256 of data files (`sent`), and the
    commits that the Hub may serve by their ids. `owes`: an export was written again without forgotten content, and
    earlier revisions there still have it.
    """

    repo: str
    endpoint: str
    revision: str
    path: str
    paths: list[str] = []
    manifests: list[str] = []
    sent: list[str] = []
    commits: list[str] = []
    at: float = 0.0
    owes: bool = False

    def command(self, store: Store) -> str:
        """Return the command that removes earlier revisions there; `store` has this note."""
        words = ["shp-miner", "push", self.path, self.repo]
        words += ["--revision", self.revision] * (self.revision != "main") + ["--purge-history"]
        words += ["--store", str(store.path)] * (store.path != _USUAL_STORE)
        return shlex.join(words)


def pushed_to(store: Store) -> list[PushedTo]:
    """Return all data sets that exports of a store were pushed to, by name. A damaged file is left out."""
    found = []
    for file in sorted((store.path / _FOLDER).glob("*.json")):
        with suppress(OSError, msgspec.DecodeError):
            found.append(msgspec.json.decode(file.read_bytes(), type=PushedTo))
    return sorted(found, key=lambda pushed: (pushed.repo, pushed.endpoint, pushed.revision))


def known_push(store: Store, repo: str, endpoint: str, revision: str) -> PushedTo | None:
    """Return what is noted of a branch of a data set; None if nothing is."""
    asked = (repo, endpoint, revision)
    return next((known for known in pushed_to(store) if (known.repo, known.endpoint, known.revision) == asked), None)


def note_push(store: Store, pushed: PushedTo) -> None:
    """Note a data set; it is safe from a power cut when this returns. Raises OSError."""
    name = "\0".join((pushed.endpoint, pushed.repo, pushed.revision)).encode()
    file = store.path / _FOLDER / f"{hashlib.sha256(name).hexdigest()[:32]}.json"
    file.parent.mkdir(exist_ok=True)
    pushed.at = time.time()
    replace_file(file, msgspec.json.encode(pushed), durable=True)


def owe_purge(store: Store, folder: Path, manifests: set[str]) -> None:
    """Note that an export with forgotten content was pushed: by its folder, or by its manifests if it was moved."""
    for known in pushed_to(store):
        if not known.owes and (str(folder) in known.paths or manifests & set(known.manifests)):
            known.owes = True
            note_push(store, known)


def owe_purge_of_others(store: Store, folders: set[str]) -> None:
    """Note the same where a pushed export is in none of these folders: what it had cannot be looked up any more."""
    for known in pushed_to(store):
        if not known.owes and not set(known.paths) <= folders:
            known.owes = True
            note_push(store, known)


class OwedPurge(msgspec.Struct):
    """A branch of a data set on the Hub whose earlier revisions still serve forgotten content, and what to do."""

    repo: str
    endpoint: str
    revision: str
    hint: str


def owed_purges(store: Store) -> list[OwedPurge]:
    """Return the data sets whose earlier revisions still serve forgotten content, by name."""
    return [
        OwedPurge(known.repo, known.endpoint, known.revision, f"Run `{known.command(store)}`.")
        if expanded(known.path).is_dir()
        else OwedPurge(
            known.repo,
            known.endpoint,
            known.revision,
            f"{known.path} is gone: export again and run `{known.command(store)}`, or delete the data set there.",
        )
        for known in pushed_to(store)
        if known.owes
    ]
