"""Removes earlier revisions of pushed exports from the Hub: the history is squashed, its large files are deleted.

A commit on the Hub keeps serving its rows under its id, whatever is committed later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from shp_miner.export.owned import MANIFEST
from shp_miner.export.pushed import PushedTo
from shp_miner.publishing.hub import Hub
from shp_miner.publishing.remote import KIND, PENDING, RemoteFile, files_at, owned_at, text_at

#: Large files that the Hub itself makes of a data set, for its viewer, are noted under such a branch.
_CONVERTED = "refs/convert/"


class Ref(Struct):
    """A branch, tag or pull request: its full name, the name to ask for, its newest commit, and all its commits."""

    name: str
    ask: str
    kind: str
    head: str
    commits: list[str]
    newest: datetime | None


class History(Struct):
    """What a data set still serves of earlier pushes.

    `commits`: earlier commits of the branch. `ours`: SHA-256 of the data files that manifests of ours name in any
    commit. `refs`: the other branches, tags and pull requests with an export of ours; `others`: all of them. `earlier`:
    commits that the branch had. `newest`:
    the time of the branch's newest commit.
    """

    branch: Ref | None
    commits: int
    ours: set[str]
    refs: list[Ref]
    others: list[Ref]
    earlier: list[str]
    newest: datetime | None


class Purge(Struct):
    """The large files that are deleted, or would be: how many and their bytes; and sentences on what stays.

    `ended`: nothing of the branch itself stays; other branches in `left` have notes of their own.
    """

    commits: int
    files: int = 0
    bytes: int = 0
    refs: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ended: bool = False


def read_history(
    hub: Hub, repo: str, revision: str, noted: PushedTo | None, advance: Callable[[int, int], None]
) -> History:
    """Return what a data set serves of earlier pushes; `noted` is what a store knows of them.

    Reads the manifests of every commit once. `advance(done, total)` reports commits.
    """
    refs = _refs(hub, repo)
    commits = list(dict.fromkeys(commit for ref in refs for commit in ref.commits))
    held: dict[str, set[str]] = {}
    for number, commit in enumerate(commits, 1):
        held[commit] = set(owned_at(hub, repo, commit).data.values())
        advance(number, len(commits))
    branch = next((ref for ref in refs if ref.kind == "branch" and ref.ask == revision), None)
    others = [ref for ref in refs if ref is not branch]
    ours = set(noted.sent if noted else ()).union(*held.values())
    earlier = list(dict.fromkeys([*(branch.commits if branch else []), *(noted.commits if noted else [])]))
    with_ours = [ref for ref in others if any(held[commit] for commit in ref.commits)]
    newest = branch.newest if branch else None
    return History(branch, len(branch.commits) if branch else 0, ours, with_ours, others, earlier, newest)


def _refs(hub: Hub, repo: str) -> list[Ref]:
    def commits(ask: str) -> list[Any]:
        return hub.ask(
            f"listing the commits of {repo}", lambda: hub.api.list_repo_commits(repo, repo_type=KIND, revision=ask)
        )

    def listed() -> Any:
        return hub.api.list_repo_refs(repo, repo_type=KIND, include_pull_requests=True)

    refs = hub.ask(f"listing the branches of {repo}", listed)
    kinds = (
        ("branch", refs.branches),
        ("tag", refs.tags),
        ("conversion", refs.converts),
        ("pull request", refs.pull_requests or []),
    )
    return [
        Ref(
            f"{kind} {ref.name}",
            ask,
            kind,
            ref.target_commit,
            [commit.commit_id for commit in listed_commits],
            max((commit.created_at for commit in listed_commits), default=None),
        )
        for kind, found in kinds
        for ref in found
        for ask in [ref.name if kind in ("branch", "tag") else ref.ref]
        for listed_commits in [commits(ask)]
    ]


def would_purge(hub: Hub, repo: str, history: History, kept: set[str]) -> Purge:
    """Return what `purge_history` would delete if the branch had only the large files `kept` (SHA-256)."""
    files = _deletable(hub, repo, history, kept)
    return Purge(history.commits, len(files), sum(file.size for file in files), [ref.name for ref in history.refs])


def purge_history(hub: Hub, repo: str, revision: str, history: History, noted: Mapping[str, bool]) -> Purge:
    """Delete the large files of earlier pushes for good, squash the branch, and return what was done and what stays.

    `noted` are other branches of which it is known whether they still serve what was forgotten: those that do not are
    not named.
    The files are deleted before the history that names them is squashed: if this is killed, the next call still finds
    them. Files of people, and files of the newest commit of any branch, stay.
    """
    api = hub.api
    kept = large_files(files_at(hub, repo, revision))
    files = _deletable(hub, repo, history, kept)
    done = Purge(history.commits, len(files), sum(file.size for file in files), [ref.name for ref in history.refs])
    if files:
        hub.ask(
            f"deleting large files of {repo}",
            lambda: api.permanently_delete_lfs_files(repo, files, rewrite_history=True, repo_type=KIND),
        )
    hub.ask(
        f"squashing the history of {repo}",
        lambda: api.super_squash_history(
            repo, branch=revision, commit_message="Remove earlier revisions", repo_type=KIND
        ),
    )
    others = [ref for ref in _refs(hub, repo) if (ref.kind, ref.ask) != ("branch", revision)]
    own = _left(hub, repo, revision, history, {file.file_oid for file in files}, others)
    branches = {ref.name for ref in others if ref.kind == "branch" and ref.ask in noted}
    refs = _left_refs(hub, repo, history, others)
    done.ended = not own and refs.keys() <= branches
    clean = {ref.name for ref in others if ref.name in branches and not noted[ref.ask]}
    done.left = [*own, *(sentence for name, sentence in refs.items() if name not in clean)]
    return done


def large_files(files: dict[str, RemoteFile]) -> set[str]:
    """Return the SHA-256 of the large files among these."""
    return {file.sha256 for file in files.values() if file.sha256 is not None}


def _deletable(hub: Hub, repo: str, history: History, kept: set[str]) -> list[Any]:
    """Return the stored large files of earlier pushes that no branch has at its newest commit."""
    living = [ref for ref in history.others if ref.kind == "branch"]
    kept = kept.union(*(large_files(files_at(hub, repo, ref.head)) for ref in living))
    return [
        file
        for file in _stored(hub, repo)
        if file.file_oid not in kept and (file.file_oid in history.ours or _is_old_conversion(file, history))
    ]


def _is_old_conversion(file: Any, history: History) -> bool:
    """Return whether the Hub made a file for its viewer before the branch's newest commit."""
    return _CONVERTED in (file.ref or "") and (history.newest is None or file.pushed_at < history.newest)


def _stored(hub: Hub, repo: str) -> list[Any]:
    return hub.ask(f"listing the large files of {repo}", lambda: list(hub.api.list_lfs_files(repo, repo_type=KIND)))


def _left(hub: Hub, repo: str, revision: str, history: History, deleted: set[str], others: Sequence[Ref]) -> list[str]:
    """Return a sentence for what the Hub itself still serves of the branch's earlier commits."""
    left = [
        f"The Hub still stores the large file {file.filename} ({file.file_oid[:12]})."
        for file in _stored(hub, repo)
        if file.file_oid in deleted
    ]
    now = text_at(hub, repo, revision, MANIFEST)
    reachable = {commit for ref in others for commit in ref.commits}
    for commit in history.earlier:
        if commit in reachable:
            continue  # the branch, tag or pull request that has it is named
        before = text_at(hub, repo, commit, MANIFEST)
        if before is not None and before != now:
            left.append(f"The Hub still serves cards and manifests of the earlier commit {commit[:12]} by its id.")
            break
    return left


def _left_refs(hub: Hub, repo: str, history: History, others: Sequence[Ref]) -> dict[str, str]:
    """Return a sentence for each other branch, tag or pull request that has an export now, by name."""
    known = {ref.name for ref in history.refs}
    return {
        ref.name: f"The {ref.name} still has an export: {_ADVICE[ref.kind]}"
        for ref in others
        if ref.name in known and any(text_at(hub, repo, ref.head, path) is not None for path in (MANIFEST, PENDING))
    }


_ADVICE = {
    "branch": "push to it with --revision and --purge-history, or delete it.",
    "tag": "delete it, and run the same command again.",
    "pull request": "ask the Hub's support to delete it.",
    "conversion": "the Hub makes it again from the new files; look at it in an hour.",
}
