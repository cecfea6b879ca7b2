"""`shp-miner import`: read dump files into the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from shp_miner.cli.choosing import unread_communities_option
from shp_miner.cli.estimates import show_import_estimate
from shp_miner.cli.following import command as called
from shp_miner.cli.following import show_next
from shp_miner.cli.grouped import GroupedCommand, option_of
from shp_miner.cli.interrupted import unless_committed
from shp_miner.cli.kinds import ImportGroup
from shp_miner.cli.leading import WORDS
from shp_miner.cli.options import SPEED, FilePath, Moment, common, example, work
from shp_miner.cli.output import complete_unfinished, print_reasons, print_table, progress, show_result
from shp_miner.cli.saying import say
from shp_miner.errors import Error
from shp_miner.tally import Tally

if TYPE_CHECKING:
    from shp_miner.cli.import_table import TableOptions
    from shp_miner.dumps.halves import Half
    from shp_miner.dumps.importing import Imported
    from shp_miner.dumps.table_map import TableMap

#: Headings of the help.
_WHAT = "What to read"
_MAP, _KEYS = "The map", "Keys of the map that are told here"

_PATH = FilePath(readable=False)
_FILES = click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH...")
_DRY = option_of(_WHAT, "--dry-run", is_flag=True, help="Estimate time, memory, space and requests by a short probe.")


class _Reader(TypedDict, total=False):
    """Options of the readers; each reader has some of them."""

    communities: tuple[str, ...]
    thorough: bool
    site: str | None
    observed_at: datetime | None
    vote_history: bool
    workers: int | None
    memory: int | None
    engine: str
    address: str | None
    map: TableMap
    utc: bool


class _Options(_Reader):
    """Options of a reader and of every command."""

    store: Path
    as_json: bool
    quiet: bool
    dry_run: bool


@click.group("import", cls=ImportGroup)
def command() -> None:
    """Read dump files into a store.

    Without COMMAND, the contents of the files decide what kind of dump they are. Importing the same files
    again, in another order or in pieces changes no export. If a file is damaged, all complete
    records before the damage are kept, and the exit code is 3. Folders are searched with all their subfolders. PATH
    may be a pipe, or - for standard input; its data are kept in TMPDIR until they are imported.
    """


@command.command(
    "reddit-dump",
    cls=GroupedCommand,
    epilog=example(
        "shp-miner import reddit-dump RS_2024-01.zst RC_2024-01.zst --community explainlikeimfive",
        "shp-miner import reddit-dump ~/dumps --community askculinary --community askbaking",
        "tar -xOf dumps.tar.gz | shp-miner import reddit-dump -",
    ),
)
@_FILES
@_DRY
@unread_communities_option("Keep only this subreddit (NAME or r/NAME, in any letter case).", _WHAT)
@option_of(
    SPEED, "--thorough", is_flag=True, help="Parse every line; slower than searching for the wanted lines first."
)
@work
@common
def reddit_dump(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Read Reddit's monthly files: RS_* (submissions), RC_* (comments), or folders; plain, .zst, .bz2, .xz or .gz."""
    return _import("reddit-dump", paths, **options)


@command.command(
    "stackexchange-dump",
    cls=GroupedCommand,
    epilog=example(
        "shp-miner import stackexchange-dump cooking.stackexchange.com.7z",
        "shp-miner import stackexchange-dump extracted/Posts.xml --site cooking.stackexchange.com",
    ),
)
@_FILES
@_DRY
@option_of(_WHAT, "--site", help="The site's host, if neither the archive nor the folder has its name.")
@option_of(_WHAT, "--observed-at", type=Moment(), help="When the scores were read. [the newest date in the files]")
@option_of(
    _WHAT,
    "--vote-history",
    is_flag=True,
    help="Also store the scores at 1, 2, 3, 7, 14, 30, 90 and 365 days after writing, rebuilt from Votes.xml.",
)
@common
def stackexchange_dump(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Read Stack Exchange sites: published .7z files, folders of them, or Posts.xml.

    Users.xml and Votes.xml are used if they are beside Posts.xml.
    """
    return _import("stackexchange-dump", paths, **options)


@command.command(
    "discourse-json",
    epilog=example(
        "shp-miner import discourse-json topics.ndjson.zst --site forum.example.org",
        "shp-miner import discourse-json mirror/forum.example.org",
    ),
)
@_FILES
@_DRY
@click.option("--site", help="The site's host, if no folder has its name.")
@click.option(
    "--observed-at", type=Moment(), help="When the topics were read, for topics without the key `observed_at`."
)
@common
def discourse_json(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Read saved topics of a Discourse forum: /t/{id}.json, one per line, compressed or not, or folders of such files.

    A site.json or categories.json beside the topics gives the names of the categories.
    """
    return _import("discourse-json", paths, **options)


@command.command("threads", epilog=example("shp-miner import threads my-forum.jsonl.zst"))
@_FILES
@click.option("--site", help="The site's host, for rows in a published layout; default: the one that they name.")
@click.option("--utc", is_flag=True, help="Read times without a time zone as UTC; without it they are refused.")
@_DRY
@common
def threads(paths: tuple[Path, ...], **options: Unpack[_Options]) -> int:
    """Read threads of any other forum: JSONL, Parquet or folders of them, in the layout of `shp-miner docs threads`."""
    return _import("threads", paths, **options)


@command.command(
    "table",
    cls=GroupedCommand,
    epilog=example(
        "shp-miner import table posts.csv answers.csv --guess --site forum.example",
        "shp-miner import table posts.csv answers.csv --guess > map.toml",
        "shp-miner import table posts.csv answers.csv --map map.toml",
    ),
)
@_FILES
@_DRY
@option_of(_MAP, "--map", "map_file", type=FilePath(), metavar="FILE", help="Read the columns by this map.")
@option_of(
    _MAP,
    "--guess",
    is_flag=True,
    help="Propose a map from the headers and first rows, and show threads as it reads them. On a terminal, ask before"
    " anything is stored; elsewhere print the map only.",
)
@option_of(_MAP, "--yes", is_flag=True, help="Import by the proposed map without asking.")
@option_of(_KEYS, "--site", metavar="HOST", help="The forum's host, such as forum.example.")
@option_of(_KEYS, "--community", metavar="NAME", help="The board or section, if no column has it.")
@option_of(_KEYS, "--zone", metavar="ZONE", help="The zone of times that name none: UTC, or such as Europe/Berlin.")
@option_of(_KEYS, "--encoding", metavar="NAME", help="The encoding, if it is neither UTF-8 nor UTF-16: cp1251, cp932.")
@option_of(
    _KEYS,
    "--dates",
    type=click.Choice(["day-first", "month-first"]),
    help="The order of dates in numbers, such as 02/01/2024.",
)
@common
def table(paths: tuple[Path, ...], **options: Unpack[TableOptions]) -> int:
    """Read tables of posts and answers with columns under any names: CSV, TSV, JSONL or Parquet, compressed or not.

    A map of a few lines says which column holds what (`shp-miner docs tables`). One file may hold both.
    """
    from shp_miner.cli.import_table import mapped

    store, as_json, quiet = options["store"], options["as_json"], options["quiet"]
    chosen = mapped(paths, options)
    if chosen is None:
        return 0
    if options["dry_run"]:
        how = ["--guess", "--yes"] if options["map_file"] is None else ["--map", str(options["map_file"])]
        return show_import_estimate("table", paths, store, {"map": chosen.map}, also=how, as_json=as_json, quiet=quiet)
    return _import("table", paths, store=store, as_json=as_json, quiet=quiet, map=chosen.map, also=chosen.also)


def _import(
    kind: str,
    paths: tuple[Path, ...],
    *,
    store: Path,
    as_json: bool,
    quiet: bool,
    also: Mapping[str, object] | None = None,
    dry_run: bool = False,
    **options: Unpack[_Reader],
) -> int:
    from shp_miner.dumps.halves import missing_half
    from shp_miner.dumps.importing import import_dump

    if dry_run:
        return show_import_estimate(kind, paths, store, dict(options), as_json=as_json, quiet=quiet)
    complete_unfinished(store)
    size = _size(kind, paths, options.get("site"))
    with unless_committed(store), progress("Importing", size, quiet=quiet) as advance:
        done = import_dump(kind, paths, store, advance=advance, **options)
    tally = done.tally
    counts = {"new": done.new, "known": done.known}
    data = {
        "store": str(store),
        "version": done.version,
        "complete": tally.complete,
        **counts,
        **tally.to_dict(),
        **(also or {}),
    }
    half = missing_half(kind, paths, tally, store)
    show_result(data, _people(done, store), as_json=as_json, quiet=quiet)
    for sentence in [*_passed(tally), *(damage.sentence() for damage in [*tally.damages, *tally.examples])]:
        say(sentence, err=True)
    if half is not None:
        say(half.says, err=True)
    if not tally.complete:
        for sentence in [_incomplete(tally), *tally.hints]:
            say(sentence, err=True)
    if {"-v", "--verbose"} & set(click.get_current_context().meta.get(WORDS, ())):
        for defect in tally.defects:
            say(*defect.rstrip().split("\n"), err=True)
    if done.missing:
        say(done.missing, err=True)
    following = _following(done, store, half, options)
    if following and not (as_json or quiet):
        show_next(following)
    return done.exit_code


def _following(done: Imported, store: Path, half: Half | None, options: _Reader) -> list[str]:
    """Return the commands that come next: the other half of the forum, or a look at what there is and an export."""
    tally = done.tally
    if not tally.read:
        return []
    if half is not None:
        chosen = [word for name in options.get("communities", ()) for word in ("--community", name)]
        return [called("import", "reddit-dump", *half.files, *chosen, store=store)] if half.files else []
    ageless = tally.notes["post", "score_age_unknown"] >= tally.read["post"] > 0
    kept = ["--allow-unknown-age"] if ageless else []  # without it, every rule drops all of them
    undated = tally.notes["answer", "time_unknown"] >= tally.read["answer"] > 0
    rule = ["--rule", "votes"] if undated else []  # the other rules use times
    return [called("compare", *kept, store=store), called("export", "data/pairs", *rule, *kept, store=store)]


def _people(done: Imported, store: Path) -> Callable[[], None]:
    def people() -> None:
        tally, into = done.tally, f"{store}, version {done.version}"
        if tally.read:
            print_table(f"Imported into {into}", ("kept", "count"), sorted(tally.read.items()))
        else:
            say(f"Nothing of these files is in {into}.")
        print_reasons("Left out", tally)
        for kind, count in sorted(done.new.items(), reverse=True):
            say(f"{kind.capitalize()}s: {count:,} new, {done.known[kind]:,} known.")

    return people


def _incomplete(tally: Tally) -> str:
    lost, damaged = tally.lost, len(tally.damages)
    what = [f"{lost:,} record{'s' * (lost != 1)} could not be used"] if lost else []
    what += [f"{damaged} file{'s' * (damaged != 1)} could not be read to the end"] if damaged else []
    rest = "all other records are in the store" if tally.read else "the files have no other records to keep"
    return f"{' and '.join(what)}; {rest}."


def _passed(tally: Tally) -> list[str]:
    """Return sentences on the skipped files of a folder: the first by name, the others by their number."""
    from shp_miner.tally import NOT_THIS_KIND, counted

    named = list(tally.passed)
    more = tally.dropped["file", NOT_THIS_KIND] - len(named)
    return [*named, f"Also skipped: {counted(more, 'more file')}."] if more > 0 else named


def _size(kind: str, paths: tuple[Path, ...], site: str | None) -> int:
    """Return the bytes to read, for the progress bar; the reader reports paths that are wrong."""
    from shp_miner.dumps.pipes import is_read_once

    if any(is_read_once(path) for path in paths):
        return 0  # the size is not known
    if kind == "stackexchange-dump":
        from shp_miner.dumps.stackexchange import size_bytes

        with suppress(Error):
            return size_bytes(paths, site)
        return 0
    from shp_miner.dumps.inputs import size_bytes as size_of_files

    return size_of_files(paths)
