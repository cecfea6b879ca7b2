"""`shp-miner status`: show a store's runs, failures and overdue work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.options import Duration, Size, common, example
from shp_miner.cli.output import Marked, print_marked, print_table, show_result
from shp_miner.errors import EXIT_CODES
from shp_miner.tally import counted
from shp_miner.units import rounded_duration, sized

if TYPE_CHECKING:
    from shp_miner.crawling.look import ThreadSeen
    from shp_miner.health.status import RunShown, Status

#: Columns that leave a narrow terminal, in this order.
_LEAVE_RUNS = ("requests", "deleted", "changed", "new", "code", "took", "pairs")
_LEAVE_CRAWLED = ("source", "unreadable", "given up", "due", "failing", "site")
_LEAVE_GIVEN_UP = ("site", "community")
_LEAVE_TABLES = ("oldest version", "files", "version", "size")

#: What an outcome of a run means for whoever looks.
_MEANINGS = {"done": "good", "failed": "wrong", "killed": "wrong"}

#: The counts shown of the threads of a community.
_THREADS = ("threads", "waiting", "due", "failing", "given_up", "unreadable")


@click.command("status", epilog=example("shp-miner status", "shp-miner status --stale 36h --quiet || mail-somebody"))
@click.option(
    "--stale", type=Duration(), default="2d", show_default=True, help="Exit with 3 if a problem lasts longer than this."
)
@click.option(
    "--min-free",
    type=Size(),
    default="1GB",
    show_default=True,
    help="Exit with 3 if less than this is free on the store's disk.",
)
@common
def command(stale: float, min_free: int, store: Path, as_json: bool, quiet: bool) -> int:
    """Show a store's last runs, how far communities are read, due visits, failing threads, and sizes.

    The exit code is 3 if the last run was killed, the disk is nearly full, or a forget request is not finished. It is
    also 3 if one of these lasts longer than --stale: no run ended well, a thread fails, a visit is overdue, or a site
    refuses its threads. You may call it during a run.
    """
    from shp_miner.health.status import status

    found = status(store, stale_s=stale, min_free_bytes=min_free)
    show_result(found.plain(), lambda: _people(found), as_json=as_json, quiet=quiet)
    return 3 if found.wrong else 0


def _people(found: Status) -> None:
    from shp_miner.health.status import moment_from_us

    def ago(moment: datetime | None) -> str:
        return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M} ({_ago((found.at - moment).total_seconds())})"

    def at(microseconds: int | None) -> str:
        return "-" if microseconds is None else ago(moment_from_us(microseconds))

    print_marked(verdict_of(found))
    for problem in found.wrong:
        since = "" if problem.since is None else f"Since {ago(problem.since)}: "
        print_marked(Marked(f"! {since}{problem.says}", "wrong"))
    runs = [
        (run.pipeline, ago(run.started_at), _took(run), _outcome(run), run.exit_code, *run.counts.values())
        for run in found.runs
    ]
    if runs:
        columns = ("pipeline", "started", "took", "outcome", "code", *found.runs[0].counts)
        print_table("Last runs", columns, runs, leave=_LEAVE_RUNS)
    crawled = [
        (
            cursor.source,
            cursor.site,
            cursor.community,
            at(cursor.complete_to),
            *(getattr(cursor, name) for name in _THREADS),
        )
        for cursor in found.cursors
    ]
    if crawled:
        columns = ("source", "site", "community", "complete to", *(name.replace("_", " ") for name in _THREADS))
        print_table("Crawled", columns, crawled, leave=_LEAVE_CRAWLED)
    if found.given_up_last:
        rows = [(seen.post_id, seen.community, seen.site, at(seen.since), seen.error) for seen in found.given_up_last]
        title = f"Given up, the last {len(rows)} of {found.given_up:,}"
        columns = ("thread", "community", "site", "failing since", "reason")
        print_table(title, columns, rows, leave=_LEAVE_GIVEN_UP)
    tables = []
    for name, shown in found.tables.items():
        sizes = (shown.observations, shown.files, sized(shown.bytes), sized(shown.disk_bytes))
        tables.append((name, *sizes, shown.version, f"{shown.oldest_version}, of {ago(shown.oldest_version_at)}"))
    columns = ("table", "observations", "files", "size", "with old versions", "version", "oldest version")
    print_table(f"Store {found.store}", columns, tables, leave=_LEAVE_TABLES)
    print_table("Current state", ("what", "state"), _now(found, ago, at))


def verdict_of(found: Status) -> Marked:
    """Return in a line whether anything is wrong."""
    if found.wrong:
        return Marked(f"Wrong: {', '.join(problem.what for problem in found.wrong)}. Exit code 3.", "wrong")
    if found.running is not None:
        now = f"{found.running['doing']} now, for {_ago((found.at - found.running['since']).total_seconds())}"
        return Marked(f"All is well: {now.removesuffix(' ago')}.", "good")
    ended = next((run for run in found.runs if run.ended_at is not None), None)
    if ended is None or ended.ended_at is None:
        return Marked("All is well: no pipeline has run on this store.", "good")
    when = _ago((found.at - ended.ended_at).total_seconds())
    if ended.outcome == "done":
        return Marked(f"All is well: last run {when}.", "good")
    longest = rounded_duration(found.stale_s)
    how = {"in part": "was done in part", "later": "had to stop early"}.get(ended.outcome)
    if how is None:
        means = EXIT_CODES.get(ended.exit_code or 1, "").partition(":")[0]
        failed = f"Failed: the last run, {when}, with exit code {ended.exit_code} ({means[:1].lower()}{means[1:]})"
        return Marked(f"{failed}; its log says why. Exit code 3 after {longest} without a good run.", "waiting")
    ended_so = f"the last run {how} {when} (exit code {ended.exit_code})"
    return Marked(f"No problem yet: {ended_so}; none has lasted longer than {longest}.", "waiting")


def _outcome(run: RunShown) -> Marked:
    return Marked(run.outcome, _MEANINGS.get(run.outcome, "waiting"))


def _now(
    found: Status, ago: Callable[[datetime | None], str], at: Callable[[int | None], str]
) -> list[tuple[str, str]]:
    def thread(seen: ThreadSeen | None) -> str:
        return "-" if seen is None else f"{seen.post_id} of {seen.community} ({seen.site}), since {at(seen.since)}"

    going, failing = found.running, found.failing_longest
    return [
        (
            "run",
            "none" if going is None else f"process {going['process']}: {going['doing']}, since {ago(going['since'])}",
        ),
        ("visits due now", f"{found.due:,}"),
        ("longest overdue visit", thread(found.unchecked_longest)),
        ("thread read longest ago", thread(found.oldest_unchecked)),
        (
            "threads that cannot be read",
            f"{found.unreadable:,}" + "; left out of exports" * bool(found.unreadable),
        ),
        ("next visit", "-" if found.next_visit is None else ago(found.next_visit)),
        ("threads to read", f"{found.waiting:,}"),
        ("failing threads", f"{found.failing:,}"),
        ("thread failing longest", thread(failing) + (f": {failing.error}" if failing is not None else "")),
        (
            "threads given up",
            f"{found.given_up:,}" + ("; `shp-miner recheck --given-up` retries them" * bool(found.given_up)),
        ),
        ("forget requests", _forgetting(found, ago)),
        ("free on the disk", sized(found.free_bytes)),
        *(("report", Path(page).as_uri()) for page in found.reports),
    ]


def _forgetting(found: Status, ago: Callable[[datetime | None], str]) -> str:
    pushed = counted(len(found.forgetting_pushed), "pushed data set")
    if found.forgetting_since is None:
        return f"finished here; {pushed} to purge: see `forget`" if found.forgetting_pushed else "all finished"
    count = len(found.forgetting_waits)
    exports = f", waiting for {count:,} export{'s' * (count != 1)}" if count else ""
    return f"not finished since {ago(found.forgetting_since)}{exports}"


def _took(run: RunShown) -> str:
    return "-" if run.ended_at is None else rounded_duration((run.ended_at - run.started_at).total_seconds())


def _ago(seconds: float) -> str:
    return f"in {rounded_duration(seconds)}" if seconds < 0 else f"{rounded_duration(seconds)} ago"
