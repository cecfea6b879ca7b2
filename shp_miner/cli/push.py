"""`shp-miner push`: push an export to the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.asking import confirmed
from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next
from shp_miner.cli.options import FilePath, common, example
from shp_miner.cli.output import complete_unfinished, print_table, progress, show_result
from shp_miner.cli.saying import say
from shp_miner.errors import UsageError
from shp_miner.tally import counted
from shp_miner.units import sized

if TYPE_CHECKING:
    from shp_miner.publishing.push import Pushed

#: Paths that a table of changes lists.
_SHOWN = 20


@click.command(
    "push",
    epilog=example(
        "shp-miner push data/eli5 my-name/eli5 --dry-run",
        "shp-miner push data/eli5 my-name/eli5",
        "shp-miner push data/eli5 my-name/eli5 --purge-history",
    ),
)
@click.argument("out", type=FilePath())
@click.argument("repo")
@click.option("--public", is_flag=True, help="Make a new data set public; allow to push to a public one.")
@click.option("--dry-run", is_flag=True, help="Show what would change and how many bytes travel; change nothing.")
@click.option(
    "--purge-history", is_flag=True, help="Delete earlier revisions and their large files for good; asks first."
)
@click.option("--revision", metavar="BRANCH", default="main", show_default=True, help="Push to this branch.")
@click.option("--message", metavar="TEXT", help="Use this commit message. [Update the export]")
@click.option("--yes", is_flag=True, help="Purge without asking.")
@common
def command(
    out: Path,
    repo: str,
    public: bool,
    dry_run: bool,
    purge_history: bool,
    revision: str,
    message: str | None,
    yes: bool,
    store: Path,
    as_json: bool,
    quiet: bool,
) -> int:
    """Push the export OUT to the data set REPO (user/name) on the Hugging Face Hub.

    A new data set is private without --public, and one that exists keeps its visibility. All changes appear in one
    commit. Files that are there already are not sent again, and only files of earlier pushes are replaced or deleted;
    what people added to the card stays. The token comes from `hf auth login` or HF_TOKEN, the address from HF_ENDPOINT.

    Earlier revisions on the Hub still serve the rows that they had. After `shp-miner forget`, push with
    --purge-history: it squashes the history and deletes the large files of earlier pushes. Branches, tags and pull
    requests that still have an export are named, with exit code 3. --store names the store that made the export; it
    notes the data set, so that `forget` can name it.
    """
    import msgspec

    from shp_miner.publishing.push import push

    asks = not (quiet or as_json) and sys.stdin.isatty() and sys.stderr.isatty()
    if purge_history and not (yes or dry_run or asks):
        raise UsageError(
            "--purge-history deletes earlier revisions for good, and nobody can be asked here.",
            "Look with --dry-run, then give --yes.",
        )
    if not dry_run:
        complete_unfinished(store)
    with progress("Pushing", quiet=quiet) as meter:
        doing = ""

        def show(step: str, done: int, total: int) -> None:
            nonlocal doing
            if step != doing:
                doing = step
                meter.begin(step, unit="commits" if step == "reading the history" else "bytes")
            meter.reached(done, total)

        done = push(
            out,
            repo,
            public=public,
            dry_run=dry_run,
            purge_history=purge_history,
            revision=revision,
            message=message,
            store=store,
            confirm=_confirm(yes=yes) if asks else None,
            advance=show,
        )
    show_result(msgspec.to_builtins(done), lambda: _show(done, out), as_json=as_json, quiet=quiet)
    if public and done.private and not done.created:
        say(f"{done.repo} exists and stays private: change its visibility on the Hub.", err=True)
    left = done.history.left if done.history else []
    for sentence in left:
        say(f"! {sentence}", err=True)
    return 3 if left else 0


def _confirm(*, yes: bool) -> Callable[[str, str], bool]:
    """Return the function that asks on the terminal; --yes answers for the purge alone."""

    def confirm(about: str, question: str) -> bool:
        return (yes and about == "purge") or confirmed(question)

    return confirm


def _show(done: Pushed, out: Path) -> None:
    """Print what a push changed, or would change."""
    kept = "private" if done.private else "public"
    where = f"{done.url} ({kept}, {done.revision})"
    changes = [
        *(("add", path) for path in done.added),
        *(("replace", path) for path in done.replaced),
        *(("delete", path) for path in done.deleted),
    ]
    if not changes:
        say(f"{done.repo} has this export already: {counted(done.same, 'file')} the same.")
    else:
        title = f"Would be pushed to {where}; nothing is" if done.dry_run else f"Pushed to {where}"
        print_table(title, ("change", "file"), changes[:_SHOWN])
        if len(changes) > _SHOWN:
            say(f"and {counted(len(changes) - _SHOWN, 'more change')}", "")
        say(f"{sized(done.bytes)} to send; {counted(done.same, 'file')} the same there.")
    if done.dry_run and done.created:
        say(f"The data set does not exist yet, or the token may not see it: it would be made, {kept}.")
    if done.history is not None:
        words = "Would be deleted for good" if done.dry_run else "Deleted for good"
        files = f"{counted(done.history.files, 'large file')} of earlier pushes ({sized(done.history.bytes)})"
        say(f"{words}: {files}, and the history of {done.revision} ({counted(done.history.commits, 'commit')}).")
        if done.history.refs:
            say(f"These have an export, too, and lose its earlier files: {', '.join(done.history.refs)}.")
    elif done.owes:
        say(
            "Earlier revisions there still serve what was forgotten. Push with --purge-history to delete them for good."
        )
    elif done.old_rows:
        say("Earlier revisions there still serve the rows that were replaced or deleted: see --purge-history.")
    if not done.dry_run:
        say("", f'  load_dataset("{done.repo}")')
    else:
        say_next([called("push", out, done.repo)])
