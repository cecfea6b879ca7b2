"""Sends a planned push: uploads what is new there, then commits it in one step, or in several where it is too much.

Each commit names the commit that it was planned on, so that nothing of anybody else is overwritten.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shp_miner.errors import BadInput, Incomplete, TryLater
from shp_miner.paths import is_remote
from shp_miner.publishing.hub import Hub, Overtaken
from shp_miner.publishing.outgoing import Outgoing
from shp_miner.publishing.plan import Plan, is_data, is_same
from shp_miner.publishing.remote import KIND, PENDING, files_at

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

#: Changes of one commit: what the Hub takes without running into its own time limit.
CHANGES_MOST = 500

#: Files that are uploaded between two reports of progress, and how many at a time.
_BATCH, _THREADS = 16, 4

#: How often a commit is tried, and the first wait in seconds.
_TRIES, _WAIT_S = 4, 2.0


class Commit(Struct):
    """One commit: files to write and paths to delete."""

    write: list[Outgoing]
    delete: list[str]


def planned_commits(plan: Plan) -> list[Commit]:
    """Return the commits of a push: one if it fits.

    If it does not, new data files come first, then replaced ones, and the last commit has the cards, the manifests and
    the deletions. A file names beforehand what is to come, so that a push that was interrupted leaves nothing behind
    that the next one does not know.
    """
    if len(plan.sent) + len(plan.deleted) <= CHANGES_MOST:
        return [Commit(plan.sent, plan.deleted)]
    data = [file for files in (plan.added, plan.replaced) for file in files if is_data(file.path)]
    last = [file for file in plan.sent if not is_data(file.path)]
    names = sorted({*(file.path for file in plan.sent), *plan.deleted, *plan.same} - {PENDING})
    content = (json.dumps({"files": names}, indent=0) + "\n").encode()
    pending = Outgoing(PENDING, None, len(content), sha256(content).hexdigest(), content)
    groups = [data[start : start + CHANGES_MOST] for start in range(0, len(data), CHANGES_MOST)] or [[]]
    groups[0] = [pending, *groups[0]]
    return [*(Commit(group, []) for group in groups), Commit(last, sorted({*plan.deleted, PENDING}))]


class Sending:
    """Sends the commits of a plan to a branch. `advance(done, total)` reports bytes."""

    def __init__(
        self,
        hub: Hub,
        plan: Plan,
        revision: str,
        message: str,
        advance: Callable[[int, int], None],
    ) -> None:
        assert plan.remote is not None
        self._hub, self._plan, self._revision, self._message = hub, plan, revision, message
        self._repo, self._parent = plan.repo, plan.remote.head
        self._advance = advance
        self._sent = 0

    def send(self) -> list[str]:
        """Upload and commit everything; return the ids of the commits. Raises Overtaken if somebody else came first."""
        commits = planned_commits(self._plan)
        done = []
        for number, commit in enumerate(commits, 1):
            part = f" (part {number} of {len(commits)})" if len(commits) > 1 else ""
            additions = self._upload(commit.write)
            self._parent = self._commit(commit, additions, self._message + part)
            done.append(self._parent)
        return done

    def _upload(self, files: Sequence[Outgoing]) -> list[CommitOperationAdd]:
        """Upload the large files among these; small ones travel in the commit itself."""
        operations = []
        for batch in _batches(files):
            additions = [_addition(file) for file in batch]
            self._hub.ask(f"sending files to {self._repo}", partial(self._preupload, additions), tries=2)
            operations += additions
            self._sent += sum(file.size for file in batch)
            self._advance(self._sent, self._plan.size_bytes)
        return operations

    def _preupload(self, additions: list[CommitOperationAdd]) -> None:
        self._hub.api.preupload_lfs_files(
            self._repo,
            additions,
            repo_type=KIND,
            revision=self._revision,
            num_threads=_THREADS,
            free_memory=False,
        )

    def _commit(self, commit: Commit, additions: list[CommitOperationAdd], message: str) -> str:
        """Commit on the planned parent, and return the new commit. Sees whether a commit without an answer is there."""
        wait_s = _WAIT_S
        for left in reversed(range(_TRIES)):
            try:
                return self._hub.ask(
                    f"committing to {self._repo}", lambda: self._create(commit, additions, message), tries=1
                )
            except TryLater as error:
                head = self._head()
                if head != self._parent:
                    if _is_done(commit, files_at(self._hub, self._repo, head)):
                        return head
                    raise error if isinstance(error, Overtaken) else _overtaken(self._repo) from error
                if not left:
                    raise
            time.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")

    def _create(self, commit: Commit, additions: list[CommitOperationAdd], message: str) -> str:
        from huggingface_hub import CommitOperationDelete  # noqa: PLC0415

        deletions = [CommitOperationDelete(path, is_folder=False) for path in commit.delete]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the Hub's advice on the card's YAML
            try:
                made: Any = self._hub.api.create_commit(
                    self._repo,
                    [*additions, *deletions],
                    commit_message=message,
                    repo_type=KIND,
                    revision=self._revision,
                    parent_commit=self._parent,
                )
            except ValueError as error:
                if "Invalid metadata" not in str(error):
                    raise
                raise BadInput(
                    f"The Hub does not take the YAML at the top of the card: {' '.join(str(error).split())}.",
                    "Correct the keys that were added to the card there, and push again.",
                ) from error
        return str(made.oid)

    def _head(self) -> str:
        api, doing = self._hub.api, f"reading {self._repo}"
        info = self._hub.ask(doing, lambda: api.repo_info(self._repo, repo_type=KIND, revision=self._revision))
        return str(info.sha)


def check_arrived(hub: Hub, repo: str, commit: str, files: Sequence[Outgoing]) -> None:
    """Raise Incomplete if a commit on the Hub lacks files that were sent."""
    there = files_at(hub, repo, commit)
    missing = [file.path for file in files if file.path not in there or not is_same(file, there[file.path])]
    if missing:
        raise Incomplete(
            f"{repo} does not have {len(missing):,} of the files that were sent, for example {missing[0]}.",
            "A .gitignore in the data set may leave them out: remove it there, and push again.",
        )


def _addition(file: Outgoing) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415

    source: object = file.file if file.content is None else file.content
    if file.file is not None and is_remote(file.file):
        source = file.file.open("rb")  # read by ranges while it is sent
    addition = CommitOperationAdd(file.path, source)  # type: ignore[arg-type]
    addition.upload_info.sha256 = bytes.fromhex(file.sha256)  # known already: the library would read the file again
    return addition


def _batches(files: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    for start in range(0, len(files), _BATCH):
        yield files[start : start + _BATCH]


def _is_done(commit: Commit, there: Any) -> bool:
    written = all(file.path in there and is_same(file, there[file.path]) for file in commit.write)
    return written and not set(commit.delete) & there.keys()


def _overtaken(repo: str) -> Overtaken:
    return Overtaken(
        f"Somebody else changed {repo} while this push ran.",
        "Run the same command again: it looks at what is there by then, and sends only what is missing.",
    )
