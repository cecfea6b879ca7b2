"""`shp-miner demo`: every step from a forum to labels, on a simulated forum."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next
from shp_miner.cli.layout import say_prose, width
from shp_miner.cli.options import FilePath, Whole, example, printing
from shp_miner.cli.output import print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.errors import UsageError

_SHOWN_CHARS = 70

_LESSON = (
    "Votes alone are often wrong: early answers are seen longer. SHP's rule keeps only pairs where the later answer "
    "won anyway. This is a simulation: on real forums nobody knows the true quality."
)


@click.command("demo", epilog=example("shp-miner demo --out data/demo"))
@click.option(
    "--out", type=FilePath(), default=Path("data/demo"), show_default=True, help="Folder for the demo's files."
)
@click.option(
    "--seed",
    type=Whole(min=0),
    default=0,
    show_default=True,
    help="Seed of the simulated forum; another number makes another forum.",
)
@printing
def command(out: Path, seed: int, as_json: bool, quiet: bool) -> None:
    """Try every step on a simulated forum: no network, no keys.

    Simulated readers vote on answers of known quality, in the order in which the forum shows them. The demo crawls
    this forum over loopback through Reddit's API, for six weeks of its own clock; some people delete their posts.
    Then it exports with every rule of votes, loads the exports, and compares each rule's labels with the known quality.
    With the extra `report` it ends with a page of pictures.
    """
    from shp_miner.forum.demo import run_demo

    def said(line: str) -> None:
        if not (quiet or as_json):
            say_prose(line)

    done = run_demo(out, seed=seed, say=said)
    said("Writing a report of the shp export")
    page, lacking = _reported(out / "shp")

    def people() -> None:
        counts = f"{done.threads} threads, {done.answers:,} answers, {done.votes:,} votes;"
        say("", f"{counts} {done.loaded_rows:,} rows loaded.")
        gone = sum(day.gone for day in done.days)
        say_prose(
            f"{done.deleted} items were deleted, {gone} of them after the store read them: none of their text is left."
        )
        say("")
        room = min(width() - len(f"{'Preferred:':<11} ...") - 1, _SHOWN_CHARS)
        for label, text in (("Question", done.question), ("Preferred", done.better), ("Other", done.worse)):
            line = " ".join(text.split())
            say(f"{label + ':':<11}{line if len(line) <= room else line[:room].rpartition(' ')[0] + ' ...'}")
        say("")
        rows = [(r.rule, r.pairs, r.posts, f"{r.accuracy:.1%}") for r in done.rules]
        print_table("Labels compared with the known quality of the answers", ("rule", "pairs", "posts", "right"), rows)
        say_prose(_LESSON)
        say_prose(lacking if page is None else f"Pictures of the shp export, and pairs to read: {page}")
        strict = ("--rule", "shp-strict", "--format", "trl")
        crawled = ("crawl", "discourse", "latest", "--site", "meta.discourse.org", "--limit", "50")
        say_next(
            [
                called("show", store=out / "store"),
                called("export", out / "trl", *strict, store=out / "store"),
                called(*crawled),
            ]
        )

    show_result({**asdict(done), "report": page and str(page)}, people, as_json=as_json, quiet=quiet)


def _reported(export: Path) -> tuple[Path | None, str]:
    """Write the report of an export and return its page; without the extra, None and a sentence on how to get it."""
    from shp_miner.report.write import report

    try:
        return report(export).page, ""
    except UsageError as refused:
        return None, f"{refused.message} {refused.hint}"
