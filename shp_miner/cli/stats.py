"""`shp-miner stats`: show a store's communities, sizes and version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from shp_miner.cli.choosing import as_of_option
from shp_miner.cli.options import common, example
from shp_miner.cli.output import print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.units import sized

if TYPE_CHECKING:
    from shp_miner.health.cleaned import CleanedExport
    from shp_miner.health.stats import CommunityCounts, EarlyMonth

#: Communities shown to people, the largest first.
_SHOWN = 20

_AGELESS = "Scores read at an unknown time: rules drop them without --allow-unknown-age"
_UNDATED = "Answers written at an unknown time: rules that use times drop them (--rule votes uses none)"


@click.command("stats", epilog=example("shp-miner stats --store data/store --json"))
@as_of_option("Show an earlier version of the store.")
@common
def command(store: Path, as_of: str | None, as_json: bool, quiet: bool) -> None:
    """Show a store's communities, sizes and version, and scores that were read too early or at an unknown time."""
    from shp_miner.health.stats import stats
    from shp_miner.store import Store

    data = stats(Store(store).snapshot(as_of))
    communities: list[CommunityCounts] = data["communities"]

    def people() -> None:
        most = sorted(communities, key=lambda row: (-row["answers"], row["community"]))
        columns = ("community", "site", "posts", "answers", "oldest", "newest", "observed")
        rows = [list(map(row.get, columns)) for row in most[:_SHOWN]]
        leave = ("observed", "oldest", "site", "newest")
        print_table(f"{store}, version {data['version']}", columns, rows, leave=leave)
        if len(most) > _SHOWN:
            say(f"and {len(most) - _SHOWN:,} more; --json has all", "")
        sizes = [
            (name, values["observations"], sized(values["bytes"]), values["unreadable"])
            for name, values in data["tables"].items()
        ]
        print_table("Tables", ("table", "observations", "size", "unreadable"), sizes)
        _early_scores(data["read_too_early"])
        _shares(communities, "share_of_unknown_age", _AGELESS)
        _shares(communities, "share_without_time", _UNDATED)
        _cleaned(data["cleaned_exports"])

    show_result(data, people, as_json=as_json, quiet=quiet)


def _early_scores(months: Sequence[EarlyMonth]) -> None:
    """Print the months whose scores the rules drop because they were read too early."""
    early = [[row["community"], row["month"], row["answers"], f"{row['share']:.0%}"] for row in months]
    if early:
        title = "Scores read within 24 h of writing: every rule drops them as noise"
        print_table(title, ("community", "month", "answers", "share"), early)


def _shares(
    communities: Sequence[CommunityCounts],
    key: Literal["share_of_unknown_age", "share_without_time"],
    title: str,
) -> None:
    """Print the communities that have a share of answers which the rules drop."""
    found = [(row["community"], row["answers"], share) for row in communities if (share := row[key])]
    if found:
        rows = [(community, answers, f"{share:.0%}") for community, answers, share in sorted(found, key=_largest)]
        print_table(title, ("community", "answers", "share"), rows[:_SHOWN])


def _largest(row: tuple[str, int, float]) -> tuple[int, str]:
    return -row[1], row[0]


def _cleaned(exports: Sequence[CleanedExport]) -> None:
    """Print what cleaning left out of each export, and changed in it."""
    for export in exports:
        rows = [
            (kind, reason.replace("_", " "), count)
            for counts in (export["left_out"], export["changed"])
            for kind, reasons in sorted(counts.items())
            for reason, count in sorted(reasons.items())
        ]
        by = "screening" if export["clean"] == "none" else f"cleaning ({export['clean']})"
        title = f"{export['path']}, {export['pairs']:,} pairs: left out or changed by {by}"
        if rows:
            print_table(title, ("what", "reason", "count"), rows)
        else:
            say(f"{export['path']}: {by} found nothing to leave out", "")
