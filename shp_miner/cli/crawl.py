"""`shp-miner crawl` and `shp-miner recheck`: read threads of live forums into the store."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from shp_miner.cli.following import command as called
from shp_miner.cli.following import show_next
from shp_miner.cli.grouped import Command, GroupedCommand, option_of
from shp_miner.cli.interrupted import unless_committed
from shp_miner.cli.names import Commas, SourceName, flat, site_from
from shp_miner.cli.options import Duration, Whole, common, example
from shp_miner.cli.output import complete_unfinished, print_table, progress, show_result
from shp_miner.cli.progress import WatchedClock, crawl_shown
from shp_miner.cli.saying import say
from shp_miner.errors import UsageError
from shp_miner.sources.table import ROWS, source_names
from shp_miner.tally import counted

if TYPE_CHECKING:
    from shp_miner.cli.meter import Meter
    from shp_miner.crawling.result import Crawled
    from shp_miner.sources.registry import Access

#: A heading of the help.
_HOW_MUCH = "How much to do"

#: Columns of the result that leave a narrow terminal, in this order.
_LEAVE = ("site", "restored", "unreadable", "gone", "listed", "new or changed", "waiting", "failed")

_HELP = f"""Read new and changed threads of communities of a live forum.

SOURCE is {source_names()}.
Run the command again to continue where the last run ended. Exit code 3 means that some threads are left.
"""

_NEGATIVE = re.compile(r"-\d+(/.*)?")


class _Budget(TypedDict):
    """The values of --max-requests and --max-seconds."""

    max_requests: int | None
    max_seconds: float | None


def bounded(command: Command) -> Command:
    """Add --limit, --max-requests and --max-seconds to a command."""
    for option in (
        option_of(_HOW_MUCH, "--max-seconds", type=Duration(), help="Stop cleanly after this long (for example 20m)."),
        option_of(_HOW_MUCH, "--max-requests", type=Whole(min=0), help="Send at most N requests, including retries."),
        option_of(_HOW_MUCH, "--limit", type=Whole(min=1), help="Read at most N threads per community."),
    ):
        command = option(command)
    return command


class _Crawl(GroupedCommand):
    """A command whose arguments may be negative numbers, such as ids of categories."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move negative numbers behind "--", so that click does not take them for options."""
        options = [option for option in self.params if isinstance(option, click.Option) and not option.is_flag]
        takes_next = {name for option in options for name in option.opts}
        numbers = [
            place
            for place, word in enumerate(args)
            if _NEGATIVE.fullmatch(word) and not (place and args[place - 1] in takes_next)
        ]
        if numbers and "--" not in args:
            words = [word for place, word in enumerate(args) if place not in numbers]
            args = [*words, "--", *(args[place] for place in numbers)]
        return super().parse_args(ctx, args)


@click.command(
    "crawl",
    cls=_Crawl,
    help=_HELP,
    epilog=example(
        "shp-miner crawl discourse latest --site meta.discourse.org --limit 50",
        "shp-miner crawl stackexchange all --site beer.stackexchange.com --limit 200",
        "shp-miner crawl lemmy asklemmy --site lemmy.world",
    ),
)
@click.argument("source", metavar="SOURCE", type=SourceName())
@click.argument("communities", nargs=-1, required=True, metavar="COMMUNITY...", type=Commas(), callback=flat)
@option_of(
    "Where the forum is", "--site", help="The forum's host, or its whole address if it is not at the root of the host."
)
@option_of(
    "Where the forum is",
    "--url",
    help="The API's address if it differs from the site's (for example a `shp-miner forum`).",
)
@option_of(
    "Where the forum is",
    "--allow-private",
    is_flag=True,
    help="Allow private and loopback addresses (default: refuse).",
)
@bounded
@common
def command(
    source: str,
    communities: tuple[str, ...],
    site: str | None,
    url: str | None,
    allow_private: bool,
    limit: int | None,
    store: Path,
    as_json: bool,
    quiet: bool,
    **budget: Unpack[_Budget],
) -> int:
    """Crawl and show what was read. Return the exit code."""
    from shp_miner.crawling.run import crawl
    from shp_miner.sources.registry import Access

    if site is None and ROWS[source].runs_on_many:
        site_from(source, communities)
    complete_unfinished(store)
    wanted = Access(site=site, url=url, allow_private=allow_private)
    with unless_committed(store), ended_by_sigterm(), progress("Crawling", quiet=quiet, unit="threads") as meter:
        access = _asked(wanted, meter, **budget)
        done = crawl(source, communities, store, access, limit=limit, advance=crawl_shown(meter))
    return _shown(done, store, as_json=as_json, quiet=quiet)


@click.command(
    "recheck",
    cls=GroupedCommand,
    epilog=example(
        "shp-miner recheck --max-seconds 20m", "shp-miner recheck --older-than 90d", "shp-miner recheck --given-up"
    ),
)
@option_of("Which threads", "--given-up", is_flag=True, help="Also retry threads that were given up.")
@option_of("Which threads", "--all", "everything", is_flag=True, help="Visit every thread, due or not.")
@option_of(
    "Which threads",
    "--older-than",
    type=Duration(),
    help="Also visit threads not read for this long (for example 90d).",
)
@bounded
@common
def recheck_command(
    given_up: bool,
    everything: bool,
    older_than: float | None,
    limit: int | None,
    store: Path,
    as_json: bool,
    quiet: bool,
    **budget: Unpack[_Budget],
) -> int:
    """Visit threads again at set ages: scores change, and people delete posts.

    The ages are 6 hours, 1, 3, 7 and 30 days; after that, the time between visits doubles. Content that
    was deleted on the site is deleted from the store. Content that cannot be read is left out of exports and requested
    again later.
    """
    if everything and older_than is not None:
        raise UsageError("--all and --older-than cannot be used together.", "Give one of them.")
    complete_unfinished(store)
    unseen = 0.0 if everything else older_than
    done = _recheck(store, given_up=given_up, older_than_s=unseen, limit=limit, quiet=quiet, **budget)
    return _shown(done, store, as_json=as_json, quiet=quiet)


def revisit_due(store: Path, *, quiet: bool) -> bool:
    """Return whether every due thread was visited."""
    return all(result.complete for result in _recheck(store, quiet=quiet, max_requests=None, max_seconds=None))


def _recheck(
    store: Path,
    *,
    given_up: bool = False,
    older_than_s: float | None = None,
    limit: int | None = None,
    quiet: bool,
    **budget: Unpack[_Budget],
) -> list[Crawled]:
    from shp_miner.crawling.run import recheck
    from shp_miner.sources.registry import Access

    with unless_committed(store), ended_by_sigterm(), progress("Visiting", quiet=quiet, unit="threads") as meter:
        access = _asked(Access(), meter, **budget)
        shown = crawl_shown(meter)
        return recheck(store, access, given_up=given_up, older_than_s=older_than_s, limit=limit, advance=shown)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: pages that were requested are stored, and the summary is true.

    SIGHUP (the terminal's connection broke) does the same, unless it is ignored (nohup).
    """
    before = {signal_number: signal.getsignal(signal_number) for signal_number in (signal.SIGTERM, signal.SIGHUP)}
    for signal_number, handler in before.items():
        if handler is not signal.SIG_IGN or signal_number is signal.SIGTERM:
            signal.signal(signal_number, signal.default_int_handler)
    try:
        yield
    finally:
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)


def _asked(access: Access, meter: Meter, **budget: Unpack[_Budget]) -> Access:
    """Return `access` with the budget set, and with waits that the meter shows."""
    from shp_miner.sources.http import Budget

    access.budget, access.clock = Budget(**budget), WatchedClock(access.clock, meter)
    return access


def _shown(done: Sequence[Crawled], store: Path, *, as_json: bool, quiet: bool) -> int:
    import msgspec

    whole = all(result.complete for result in done)
    data = {"store": str(store), "complete": whole, "communities": [msgspec.to_builtins(result) for result in done]}
    numbers = ("listed", "fresh", "read", "answers", "gone", "restored", "unreadable", "failed", "waiting")
    columns = ("community", "site", *(name.replace("fresh", "new or changed") for name in numbers))
    rows = [(result.community, result.site, *(getattr(result, name) for name in numbers)) for result in done]

    def people() -> None:
        print_table(f"Crawled into {store}", columns, rows, leave=_LEAVE)
        new, read, answers = (sum(getattr(result, name) for result in done) for name in ("new", "read", "answers"))
        say(f"Threads: {new:,} new, {max(read - new, 0):,} known; {answers:,} answers read.")

    show_result(data, people, as_json=as_json, quiet=quiet)
    for result in done:
        for sentence in (result.capped, result.stopped, result.refused):
            if sentence:
                say(f"{result.community}: {sentence}", err=True)
        if result.lost:
            say(f"{result.community}: {result.lost_in_words()}", err=True)
        if result.incomplete:
            say(
                f"{result.community}: {result.site} did not return all answers "
                f"of {counted(result.incomplete, 'thread')}.",
                err=True,
            )
        if result.given_up:
            say(
                f"{result.community}: {result.given_up:,} threads are given up; `shp-miner status` shows the reasons.",
                err=True,
            )
    if not whole:
        say("Some threads are left; run the same command again to continue.", err=True)
    if done and not (as_json or quiet):
        show_next([called("status", store=store), called("compare", store=store)])
    return 0 if whole else 3
