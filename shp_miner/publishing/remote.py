"""A data set on the Hub as it is now: its files, its visibility, and which of its files are an export's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.owned import MANIFEST, README, is_inside
from shp_miner.publishing.hub import Hub, NotThere

KIND = "dataset"

#: Names files of a push that needs several commits, until the last of them: they are ours before a manifest says so.
PENDING = ".shp-miner/pending.json"

#: Larger manifests and cards are not ours.
_TEXT_BYTES_MAX = 256 * 1024 * 1024

_FORMAT_NAME = re.compile(r"[\w.-]+")


class RemoteFile(Struct, frozen=True):
    """A file on the Hub: its size in bytes, git's id of it, and its SHA-256 where it is a large file (else None)."""

    size: int
    blob_id: str
    sha256: str | None


class Remote(Struct):
    """A data set on the Hub at one commit. `branch`: whether the asked branch exists; if not, the commit is main's."""

    repo: str
    private: bool
    head: str
    branch: bool
    files: dict[str, RemoteFile]


def full_name(hub: Hub, repo: str) -> str:
    """Return "owner/name" of a data set. Raises UsageError for a name that the Hub does not take."""
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415
    from huggingface_hub.utils import validate_repo_id  # noqa: PLC0415

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(
            f"{repo!r} is not the name of a data set on the Hub.",
            "Write it like user/name: letters, digits, '-', '_' and '.', at most 96.",
        ) from error
    if "/" in repo:
        return repo
    return f"{hub.ask('reading who the token belongs to', hub.api.whoami)['name']}/{repo}"


def look(hub: Hub, repo: str, revision: str) -> Remote | None:
    """Return a data set at the newest commit of a branch; None if it is not there, or the token may not see it."""
    from huggingface_hub.errors import RevisionNotFoundError  # noqa: PLC0415

    def info(at: str | None) -> Any:
        return hub.api.repo_info(repo, repo_type=KIND, revision=at)

    def at_branch() -> Any:
        with suppress(RevisionNotFoundError):
            return info(revision)
        return None

    doing = f"reading {repo}"
    try:
        found = hub.ask(doing, at_branch)
        newest = found if found is not None else hub.ask(doing, lambda: info(None))
    except NotThere:
        return None
    files = files_at(hub, repo, newest.sha)
    return Remote(repo, bool(newest.private), newest.sha, found is not None, files)


def files_at(hub: Hub, repo: str, revision: str) -> dict[str, RemoteFile]:
    """Return the files of a data set at a revision, by path."""
    from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415

    def tree() -> dict[str, RemoteFile]:
        entries = hub.api.list_repo_tree(repo, repo_type=KIND, revision=revision, recursive=True)
        return {
            entry.path: RemoteFile(entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    return hub.ask(f"listing the files of {repo}", tree)


def text_at(hub: Hub, repo: str, revision: str, path: str) -> str | None:
    """Return the text of a file at a revision; None if it is not there. It is not kept in any cache."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError  # noqa: PLC0415

    url = f"{hub.endpoint}/{KIND}s/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"

    def read() -> bytes | None:
        with suppress(EntryNotFoundError, RevisionNotFoundError):
            content: bytes = hub.get(url).content
            return content
        return None

    content = hub.ask(f"reading {path} of {repo}", read)
    if content is not None and len(content) > _TEXT_BYTES_MAX:
        raise BadInput(f"{path} of {repo} is too large to be an export's.", "Delete it there, and push again.")
    return None if content is None else content.decode("utf-8", errors="replace")


class Owned(Struct):
    """Files of an earlier export in a data set: their paths, and the SHA-256 of its data files by path."""

    paths: set[str]
    data: dict[str, str]


def owned_at(hub: Hub, repo: str, revision: str) -> Owned:
    """Return the files at a revision that manifests of ours name there, with cards and manifests."""
    owned = Owned(set(), {})
    root = _manifest(text_at(hub, repo, revision, MANIFEST))
    if root is not None and "format" in root:
        _add(owned, root, "")
    elif root is not None:
        owned.paths |= {MANIFEST, README}
        for name in root["formats"]:
            if _FORMAT_NAME.fullmatch(name):
                manifest = _manifest(text_at(hub, repo, revision, f"{name}/{MANIFEST}"))
                if manifest is not None and "format" in manifest:
                    _add(owned, manifest, f"{name}/")
    owned.paths |= set(_pending(text_at(hub, repo, revision, PENDING)))
    return owned


def _add(owned: Owned, manifest: dict[str, Any], folder: str) -> None:
    owned.paths |= {folder + MANIFEST, folder + README}
    for file in manifest["files"]:
        name = file.get("path") if isinstance(file, dict) else None
        if isinstance(name, str) and is_inside(name):
            owned.paths.add(folder + name)
            owned.data[folder + name] = str(file.get("sha256", ""))


def _manifest(text: str | None) -> dict[str, Any] | None:
    """Return a manifest of ours, of one format or of several; None for anything else."""
    try:
        read = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or "layout" not in read:
        return None
    is_one = isinstance(read.get("format"), str) and isinstance(read.get("files"), list)
    return read if is_one or ("format" not in read and isinstance(read.get("formats"), dict)) else None


def _pending(text: str | None) -> Iterator[str]:
    try:
        read = json.loads(text or "")
    except (ValueError, RecursionError):
        return
    files = read.get("files") if isinstance(read, dict) else None
    if isinstance(files, list):
        yield PENDING
        yield from (name for name in files if isinstance(name, str) and is_inside(name))
