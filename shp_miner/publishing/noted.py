"""The note that the store of an export keeps of a branch on the Hub, so that `forget` can name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from shp_miner.export.pushed import PushedTo, known_push, note_push, pushed_to
from shp_miner.publishing.outgoing import Export, Outgoing
from shp_miner.store import Store


class Note:
    """Reads and changes the note of a branch; without a store there is none."""

    def __init__(self, store: Store | None, repo: str, endpoint: str, revision: str) -> None:
        self._store, self._key = store, (repo, endpoint, revision)
        #: What was noted before this push.
        self.known = None if store is None else known_push(store, *self._key)

    @property
    def owes(self) -> bool:
        """Whether the branch still served what was forgotten when this push began."""
        return self.known is not None and self.known.owes

    def before_sending(self, folder: Path, export: Export, sent: Iterable[Outgoing]) -> bool:
        """Note what is about to be sent; return whether a store has the note."""

        def change(note: PushedTo) -> None:
            note.path = str(folder)
            note.paths = sorted({*note.paths, note.path})
            note.manifests = sorted({*note.manifests, *export.manifests})
            note.sent = sorted({*note.sent, *(file.sha256 for file in sent)})

        return self._change(change)

    def after_commits(self, commits: Iterable[str]) -> None:
        """Note commits, which the Hub may serve by their ids from now on."""

        def change(note: PushedTo) -> None:
            note.commits = [*note.commits, *commits]

        self._change(change)

    def after_purge(self, export: Export) -> None:
        """Note that nothing of before is served any more. A request that came during this push stays open."""

        def change(note: PushedTo) -> None:
            note.sent, note.commits = sorted(file.sha256 for file in export.files.values()), []
            note.paths, note.manifests = [note.path], sorted(export.manifests)
            note.owes = note.owes and not self.owes

        self._change(change)

    def other_branches(self) -> dict[str, bool]:
        """Return the other branches that the store has a note of, and whether each still serves what was forgotten."""
        repo, endpoint, revision = self._key
        known = [] if self._store is None else pushed_to(self._store)
        ours = [note for note in known if (note.repo, note.endpoint) == (repo, endpoint)]
        return {note.revision: note.owes for note in ours if note.revision != revision}

    def _change(self, change: Callable[[PushedTo], None]) -> bool:
        """Change the note as it is now: `forget` may have changed it in the meantime."""
        if self._store is None:
            return False
        note = known_push(self._store, *self._key) or PushedTo(*self._key, path="")
        change(note)
        with suppress(OSError):  # a store that is not writable: the push itself is right
            note_push(self._store, note)
            return True
        return False
