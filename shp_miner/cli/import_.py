"""`shp-miner import`: dump files into the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypedDict, Unpack

import click

from shp_miner.cli.options import FilePath, Moment, common, example, work
from shp_miner.cli.output import complete, progress, reasons, show, table
from shp_miner.cli.saying import say
from shp_miner.tally import Tally

_PATH = FilePath(readable=False)
_FILES = click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH...")


class _Reader(TypedDict, total=False):
    """Options of the readers, each of which has some of them."""

    communities: tuple[str, ...]
    thorough: bool
    site: str | None
    observed_at: datetime | None
    vote_history: bool
    workers: int | None
    memory: int | None


class _Options(_Reader):
    """Those of a reader and those of every command."""

    store: Path
    as_json: bool
    quiet: bool


@click.group("import")
def command() -> None:
    """Read dump files that you hold into a store.

    Importing the same files again, in another order or in pieces changes no export. If a file is damaged, everything
    whole before the damage is kept and the exit code is 3. A folder is looked through to its depth. PATH may be
    a pipe, or - for standard input; what comes through is kept in TMPDIR until it is imported.
    """


@command.command(
    "reddit-dump",
    epilog=example(
        "shp-miner import reddit-dump RS_2024-01.zst RC_2024-01.zst --community explainlikeimfive",
        "shp-miner import reddit-dump ~/dumps --community askculinary --community askbaking",
        "tar -xOf dumps.tar.gz | shp-miner import reddit-dump -",
    ),
)
@_FILES
@click.option(
    "--community",
    "communities",
    multiple=True,
    help="Keep only this subreddit (NAME or r/NAME, in any letter case). Repeatable.",
)
@click.option("--thorough", is_flag=True, help="Parse every line instead of searching for the wanted ones first.")
@work
@common
def reddit_dump(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Reddit's monthly files: RS_* (submissions) and RC_* (comments), plain or .zst, .bz2, .xz, .gz, or folders."""
    return _import("reddit-dump", paths, **options)


@command.command(
    "stackexchange-dump",
    epilog=example(
        "shp-miner import stackexchange-dump cooking.stackexchange.com.7z",
        "shp-miner import stackexchange-dump extracted/Posts.xml --site cooking.stackexchange.com",
    ),
)
@_FILES
@click.option("--site", help="The site's host, where neither archive nor folder is named by it.")
@click.option(
    "--observed-at", type=Moment(), help="When the scores were read; by default the newest date in the files."
)
@click.option(
    "--vote-history",
    is_flag=True,
    help="Store also what the scores were 1, 2, 3, 7, 14, 30, 90 and 365 days after writing, rebuilt from Votes.xml.",
)
@common
def stackexchange_dump(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Stack Exchange sites: .7z as published, folders of them, or Posts.xml with or without Users.xml and Votes.xml."""
    return _import("stackexchange-dump", paths, **options)


@command.command(
    "discourse-json",
    epilog=example(
        "shp-miner import discourse-json topics.ndjson.zst --site forum.example.org",
        "shp-miner import discourse-json mirror/forum.example.org",
    ),
)
@_FILES
@click.option("--site", help="The site's host, where no folder is named by it.")
@click.option(
    "--observed-at", type=Moment(), help="When the topics were read, for those that have no key `observed_at`."
)
@common
def discourse_json(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Saved topics of a Discourse forum: /t/{id}.json one a line, compressed or not, or a folder of such files.

    A site.json or categories.json beside them gives the categories their names.
    """
    return _import("discourse-json", paths, **options)


@command.command("threads", epilog=example("shp-miner import threads my-forum.jsonl.zst"))
@_FILES
@common
def threads(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Threads of any other forum, as JSONL, Parquet or folders of them, in the layout of docs/threads.md."""
    return _import("threads", paths, **options)


def _import(
    kind: str, paths: tuple[Path, ...], *, store: Path, as_json: bool, quiet: bool, **options: Unpack[_Reader]
) -> int:
    from shp_miner.dumps.importing import import_dump

    complete(store)
    with progress(f"Importing {kind}", _size(kind, paths, options.get("site")), quiet=quiet) as advance:
        done = import_dump(kind, paths, store, advance=advance, **options)
    tally = done.tally
    data = {"store": str(store), "version": done.version, "complete": tally.complete, **tally.to_dict()}
    show(data, _people(tally, store, done.version), as_json=as_json, quiet=quiet)
    for sentence in [*_passed(tally), *(one.sentence() for one in [*tally.damages, *tally.examples])]:
        say(sentence, err=True)
    if not tally.complete:
        for sentence in [_incomplete(tally.lost, len(tally.damages)), *tally.hints]:
            say(sentence, err=True)
    if done.missing:
        say(done.missing, err=True)
    return 0 if tally.complete and not done.missing else 3


def _people(tally: Tally, store: Path, version: str) -> Callable[[], None]:
    def people() -> None:
        table(f"Imported into {store}, version {version}", ("kept", "count"), sorted(tally.read.items()))
        reasons("Left out", tally)

    return people


def _incomplete(lost: int, damaged: int) -> str:
    what = [f"{lost:,} record{'s' * (lost != 1)} could not be used"] if lost else []
    what += [f"{damaged} file{'s' * (damaged != 1)} could not be read to the end"] if damaged else []
    return f"{' and '.join(what)}; everything else is in the store."


def _passed(tally: Tally) -> list[str]:
    """Which files of a folder were passed over: the first by name, the others by their number."""
    from shp_miner.tally import NOT_THIS_KIND, counted

    named = list(tally.passed)
    more = tally.dropped["file", NOT_THIS_KIND] - len(named)
    return [*named, f"Passed over likewise: {counted(more, 'more file')}."] if more > 0 else named


def _size(kind: str, paths: tuple[Path, ...], site: str | None) -> int:
    """Bytes that the reader will go through, for the progress bar; what is wrong with a path is said by the reader."""
    from shp_miner.dumps.pipes import is_read_once

    if any(is_read_once(path) for path in paths):
        return 0  # nobody knows how much comes
    if kind == "stackexchange-dump":
        from shp_miner.dumps.stackexchange import size_bytes

        return size_bytes(paths, site)
    from shp_miner.dumps.inputs import size_bytes as size_of_files

    return size_of_files(paths)
