"""What a push would change: which files travel, which are the same there, and which of ours are deleted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from msgspec import Struct

from shp_miner.errors import UsageError
from shp_miner.export.owned import MANIFEST, README
from shp_miner.publishing.cards import merged_card
from shp_miner.publishing.hub import Hub
from shp_miner.publishing.outgoing import Export, Outgoing
from shp_miner.publishing.remote import Owned, Remote, RemoteFile, owned_at, text_at

#: The rows of an export are in files with this ending.
_ROWS = ".parquet"


class Plan(Struct):
    """The changes of a push. `old_rows`: data files that a revision of before still serves afterwards."""

    repo: str
    remote: Remote | None
    added: list[Outgoing]
    replaced: list[Outgoing]
    deleted: list[str]
    same: list[str]
    old_rows: list[str]

    @property
    def sent(self) -> list[Outgoing]:
        """The files that travel."""
        return [*self.added, *self.replaced]

    @property
    def size_bytes(self) -> int:
        """The bytes of the files that travel."""
        return sum(file.size for file in self.sent)

    @property
    def has_changes(self) -> bool:
        """Whether a commit is needed."""
        return bool(self.sent or self.deleted)


def plan_push(hub: Hub, repo: str, remote: Remote | None, export: Export) -> Plan:
    """Return what pushing an export to a data set changes there (None: it does not exist yet).

    Raises UsageError if a file there is in the way that no manifest of ours names.
    """
    there = remote.files if remote is not None else {}
    owned = owned_at(hub, repo, remote.head) if remote is not None else Owned(set(), {})
    folders = _folders(there, owned)
    plan = Plan(repo, remote, [], [], [], [], [])
    for path, outgoing in _in_order(export):
        file = _with_card(hub, repo, remote, outgoing)
        known = there.get(path)
        if known is not None and is_same(file, known):
            plan.same.append(path)
            continue
        _check_free(path, owned, there, folders, repo)
        (plan.added if known is None else plan.replaced).append(file)
    plan.deleted = sorted(path for path in owned.paths & there.keys() if path not in export.files)
    gone = [*plan.deleted, *(file.path for file in plan.replaced)]
    plan.old_rows = [path for path in gone if path.endswith(_ROWS)]
    return plan


def is_same(file: Outgoing, known: RemoteFile) -> bool:
    """Return whether a file on the Hub has this content."""
    if known.sha256 is not None:
        return known.sha256 == file.sha256
    return known.size == file.size and known.blob_id == file.blob_id()


def is_data(path: str) -> bool:
    """Return whether a file of an export is neither a card nor a manifest."""
    return PurePosixPath(path).name not in (README, MANIFEST)


def _in_order(export: Export) -> list[tuple[str, Outgoing]]:
    """Return the files by path: data first, then cards and manifests, the top ones last."""

    def turn(path: str) -> tuple[bool, int, str]:
        parts = PurePosixPath(path).parts
        return not is_data(path), -len(parts), path

    return sorted(export.files.items(), key=lambda item: turn(item[0]))


def _with_card(hub: Hub, repo: str, remote: Remote | None, file: Outgoing) -> Outgoing:
    """Return the file; a card with its data set's name and what people added on the Hub."""
    if PurePosixPath(file.path).name != README or file.file is None:
        return file
    text = file.file.read_text(encoding="utf-8").replace('load_dataset("PATH"', f'load_dataset("{repo}"')
    theirs = None
    if remote is not None and file.path in remote.files:
        theirs = text_at(hub, repo, remote.head, file.path)
    return file.with_content(merged_card(text, theirs, f"{file.path} of {repo}").encode())


def _check_free(
    path: str, owned: Owned, there: Mapping[str, RemoteFile], folders: Mapping[str, str], repo: str
) -> None:
    """Raise UsageError for a file there that is in the way and not ours. Cards are merged instead.

    `folders` has a file of people for each folder that has one.
    """
    parents = [str(parent) for parent in PurePosixPath(path).parents]
    hint = "Move it there, or push to another data set."
    for name in (path, *parents):
        if name in there and name not in owned.paths and PurePosixPath(path).name != README:
            raise UsageError(f"{repo} has a file {name} that is not shp-miner's: {path} would replace it.", hint)
    if path in folders:
        raise UsageError(f"{repo} has a folder {path}, with {folders[path]}: a file would replace it.", hint)


def _folders(there: Mapping[str, RemoteFile], owned: Owned) -> dict[str, str]:
    """Return each folder in which people have a file, with one of its files."""
    return {str(parent): name for name in there if name not in owned.paths for parent in PurePosixPath(name).parents}
