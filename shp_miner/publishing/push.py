"""Pushes an export to the Hugging Face Hub: the function behind the command `push`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from msgspec import Struct, field

from shp_miner.errors import BadInput, Incomplete, NotAllowed, TryLater, UsageError
from shp_miner.export.owned import formats_in
from shp_miner.export.publish import lock_of, place_of
from shp_miner.export.registered import all_exports
from shp_miner.paths import expanded
from shp_miner.publishing.commits import Sending, check_arrived
from shp_miner.publishing.history import History, Purge, purge_history, read_history, would_purge
from shp_miner.publishing.hub import Hub, no_token, quiet_library
from shp_miner.publishing.noted import Note
from shp_miner.publishing.outgoing import Export, checked_export
from shp_miner.publishing.plan import Plan, plan_push
from shp_miner.publishing.remote import KIND, Remote, full_name, look
from shp_miner.store import Store
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.lock import only_one
from shp_miner.store.replacing import is_writable
from shp_miner.tally import counted
from shp_miner.units import sized

Path_ = str | os.PathLike[str]

MAIN = "main"

#: Reports progress: what is done, the amount done, and of how much ("sending", bytes, bytes).
Advance = Callable[[str, int, int], None]


class Pushed(Struct):
    """The result of a push, or in a dry run the expected one.

    `added`, `replaced`, `deleted` and `same` are paths in the data set; `bytes` is the size of the files that travel.
    `commits` are the ids of the commits made. `private`: who may see the data set. `created`: it did not exist before.
    `old_rows`: whether earlier revisions there still serve rows that this one does not have. `owes`: forgotten content
    was pushed before, and nothing was purged there since. `history`: what was purged, None if that was not asked for.
    `noted`: whether a store keeps a note, so that `forget` can name the data set.
    """

    repo: str
    url: str
    revision: str
    dry_run: bool
    private: bool
    created: bool
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    same: int = 0
    bytes: int = 0
    commits: list[str] = field(default_factory=list)
    old_rows: bool = False
    owes: bool = False
    history: Purge | None = None
    noted: bool = False

    def __repr__(self) -> str:
        sent = counted(len(self.added) + len(self.replaced), "file")
        dry = "dry run, " if self.dry_run else ""
        return f"Pushed({dry}{self.repo!r}: {sent}, {sized(self.bytes)}, {len(self.deleted)} deleted, {self.same} same)"


class _Asked(Struct):
    """What a call asks for."""

    repo: str
    revision: str
    public: bool
    purge: bool
    message: str
    confirm: Callable[[str, str], bool] | None
    advance: Advance


def push(  # noqa: PLR0913  (every option of the command, by name)
    out: Path_,
    repo: str,
    *,
    public: bool = False,
    dry_run: bool = False,
    purge_history: bool = False,
    revision: str = MAIN,
    message: str | None = None,
    store: Store | Path_ | None = None,
    confirm: Callable[[str, str], bool] | None = None,
    advance: Advance | None = None,
) -> Pushed:
    """Push an export to the data set `repo` ("user/name") on the Hub, and return what changed there.

    A new data set is private unless `public`; one that exists keeps its visibility, and a public one needs `public`.
    Only files that a manifest of an earlier push names are replaced or deleted; files that are the same are not sent.
    Everything appears in one commit (in several if there are too many files; the card last). `purge_history` deletes
    what earlier revisions served, for good. `store` is the store that made the export: it notes the data set, so that
    `forget` can name it. huggingface_hub finds the token and the endpoint.

    `confirm(about, question)` is asked before a public data set is changed (about "public") and before a purge (about
    "purge"). `advance(doing, done, total)` reports progress. Raises BadInput if the export is damaged, NotAllowed
    without a token that may write, UsageError for names that cannot be, and TryLater if the Hub is away or somebody
    else pushes at the same time: the same call continues then.
    """
    folder = place_of(expanded(out))
    asked = _Asked(
        repo, revision, public, purge_history, message or "Update the export", confirm, advance or (lambda *_: None)
    )
    with ExitStack() as stack:
        if not formats_in(folder):
            checked_export(folder)  # says why it is not an export
        if is_writable(folder.parent):
            # `export` and `forget` would change files that are being sent.
            stack.enter_context(only_one(lock_of(folder), f"The export {folder} is being written", "pushing it"))
        home = _store(store)
        if home is not None and not dry_run:
            _require_forgotten(home, folder)
        export = checked_export(folder, lambda done, total: asked.advance("checking", done, total))
        stack.enter_context(quiet_library())
        hub = Hub()
        if not (dry_run or hub.has_token()):
            raise no_token()
        asked.repo = full_name(hub, asked.repo)
        return _pushed(hub, folder, export, asked, home, dry_run=dry_run)


def _pushed(hub: Hub, folder: Path, export: Export, asked: _Asked, store: Store | None, *, dry_run: bool) -> Pushed:
    remote = look(hub, asked.repo, asked.revision)
    if remote is not None and not remote.private and not (asked.public or dry_run):
        _ask_public(asked)
    plan = plan_push(hub, asked.repo, remote, export)
    note = Note(store, asked.repo, hub.name, asked.revision)
    history = _history(hub, asked, remote, note)
    result = _result(hub, asked, plan, dry_run=dry_run)
    result.owes = note.owes
    if dry_run:
        result.history = _would_purge(hub, plan, history, export)
        return result
    if history is not None and asked.confirm is not None:
        question = _purge_question(asked, _would_purge(hub, plan, history, export))
        if question and not asked.confirm("purge", question):
            raise UsageError(f"Nothing was pushed: the history of {asked.repo} stays.", "Push without --purge-history.")
    plan.remote = _ready(hub, asked, remote)
    result.private = plan.remote.private
    result.noted = note.before_sending(folder, export, plan.sent)
    if plan.has_changes:
        result.commits = _send(hub, plan, asked)
        note.after_commits(result.commits)
    if history is not None:
        result.history = purge_history(hub, asked.repo, asked.revision, history, note.other_branches())
        if result.history.ended:
            note.after_purge(export)
            result.owes = False
    return result


def _require_forgotten(store: Store, folder: Path) -> None:
    """Raise TryLater if an export may have content that a forget request has not removed yet."""
    waits = any(folder == expanded(path) for known in all_exports(store)[0] for path in known.owes)
    if waits or has_pending(store.path):
        raise TryLater(
            f"A forget request is not finished yet: {folder} may have its content.",
            "Run `shp-miner forget` until it is finished, then push.",
        )


def _send(hub: Hub, plan: Plan, asked: _Asked) -> list[str]:
    """Send the planned changes, look whether they arrived, and return the commits."""
    sending = Sending(
        hub, plan, asked.revision, asked.message, lambda done, total: asked.advance("sending", done, total)
    )
    commits = sending.send()
    check_arrived(hub, asked.repo, commits[-1], plan.sent)
    return commits


def _result(hub: Hub, asked: _Asked, plan: Plan, *, dry_run: bool) -> Pushed:
    return Pushed(
        repo=asked.repo,
        url=f"{hub.name}/datasets/{asked.repo}",
        revision=asked.revision,
        dry_run=dry_run,
        private=not asked.public if plan.remote is None else plan.remote.private,
        created=plan.remote is None,
        added=[file.path for file in plan.added],
        replaced=[file.path for file in plan.replaced],
        deleted=plan.deleted,
        same=len(plan.same),
        bytes=plan.size_bytes,
        old_rows=bool(plan.old_rows),
    )


def _ask_public(asked: _Asked) -> None:
    """Raise UsageError unless somebody agrees that a public data set is changed."""
    public = f"{asked.repo} is public: everybody can read what is pushed."
    if asked.confirm is None or not asked.confirm("public", f"{public} Push?"):
        raise UsageError(public, "Push with --public if that is what you want, or to another data set.")


def _ready(hub: Hub, asked: _Asked, remote: Remote | None) -> Remote:
    """Return the data set with the branch, both made if they are missing."""
    if remote is not None and remote.branch:
        return remote
    if remote is None:
        _create(hub, asked)
        remote = _looked(hub, asked)
        if not (remote.private or asked.public):
            raise NotAllowed(
                f"The Hub made {asked.repo} public, although it was asked for a private one. Nothing was pushed.",
                "Make it private there, or push with --public.",
            )
    if not remote.branch:
        head = remote.head
        hub.ask(
            f"making the branch {asked.revision} of {asked.repo}",
            lambda: hub.api.create_branch(
                asked.repo, branch=asked.revision, revision=head, repo_type=KIND, exist_ok=True
            ),
        )
        remote = _looked(hub, asked)
    return remote


def _looked(hub: Hub, asked: _Asked) -> Remote:
    remote = look(hub, asked.repo, asked.revision)
    if remote is None:
        raise Incomplete(f"{asked.repo} was made, and the Hub does not show it yet.", "Run the same command again.")
    return remote


def _create(hub: Hub, asked: _Asked) -> None:
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    def create() -> object:
        try:
            return hub.api.create_repo(asked.repo, repo_type=KIND, private=not asked.public)
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code == 409:
                if look(hub, asked.repo, asked.revision) is not None:  # made just now: the answer was lost
                    return None
                raise UsageError(
                    f"The name {asked.repo} is taken, and not by a data set that this token may see.",
                    "Choose another name, or a token that may read it.",
                ) from error
            raise

    hub.ask(f"making the data set {asked.repo}", create)


# -- the history ------------------------------------------------------------------------------------------------------


def _history(hub: Hub, asked: _Asked, remote: Remote | None, note: Note) -> History | None:
    if not asked.purge or remote is None or not remote.branch:
        return None
    return read_history(
        hub,
        asked.repo,
        asked.revision,
        note.known,
        lambda done, total: asked.advance("reading the history", done, total),
    )


def _would_purge(hub: Hub, plan: Plan, history: History | None, export: Export) -> Purge | None:
    if history is None or plan.remote is None:
        return None
    kept = {file.sha256 for file in export.files.values()}
    gone = {*plan.deleted, *(file.path for file in plan.replaced)}
    kept |= {file.sha256 for path, file in plan.remote.files.items() if file.sha256 and path not in gone}
    return would_purge(hub, plan.repo, history, kept)


def _purge_question(asked: _Asked, purge: Purge | None) -> str:
    """Return what is asked before a purge; "" if there is nothing to purge."""
    if purge is None:
        return ""
    refs = f" {', '.join(purge.refs)} lose earlier files, too." if purge.refs else ""
    return (
        f"The history of {asked.repo} ({asked.revision}: {counted(purge.commits, 'commit')}) is squashed, and "
        f"{counted(purge.files, 'large file')} of earlier pushes ({sized(purge.bytes)}) deleted for good.{refs} Push?"
    )


def _store(store: Store | Path_ | None) -> Store | None:
    """Return the store if it is one: an export can be pushed where its store is not."""
    if store is None:
        return None
    store = store if isinstance(store, Store) else Store(store)
    with suppress(BadInput, UsageError):
        store.require()
        return store
    return None
