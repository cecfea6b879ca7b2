"""What `shp-miner export` does beside exporting: ask before it replaces, count without writing, and show a pair."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click
from msgspec import structs

from shp_miner.cli.asking import confirmed
from shp_miner.cli.estimates import export_work_rows
from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next, say_recommended
from shp_miner.cli.grouped import GroupedCommand
from shp_miner.cli.layout import joined, say_lines, wrapped
from shp_miner.cli.output import print_reasons, print_table, show_result, steps
from shp_miner.cli.saying import harmless_text, say
from shp_miner.errors import BadInput, Error, UsageError
from shp_miner.units import sized

if TYPE_CHECKING:
    from shp_miner.clean.cleaning import Cleaning
    from shp_miner.export.dataset import Exported
    from shp_miner.export.dry_run import Estimate
    from shp_miner.export.screens import EvaluationSets
    from shp_miner.rules.presets import Rule
    from shp_miner.tally import Tally

#: Communities shown to people, those with the most pairs first; `--json` has all.
_SHOWN = 20

#: Lines of each text of the example.
_EXAMPLE_LINES = 2

#: The steepest confidence that a rule can have.
_STEEPEST = 10.0

#: Where the words of the command line are kept for the command that comes next.
_WORDS = "shp_miner.words"


class Asked(TypedDict):
    """What to export, as `export_dataset` and `estimate` take it."""

    rule: Rule
    formats: tuple[str, ...]
    communities: tuple[str, ...]
    sites: tuple[str, ...]
    validation: float
    test: float
    layout: str
    margin: bool
    clean: Cleaning
    decontaminate: EvaluationSets | None
    as_of: str | None
    workers: int | None
    memory: int | None
    engine: str
    address: str | None
    refit: bool
    keep_dropped: Path | None


class Repeatable(GroupedCommand):
    """A command that remembers its words, to name the same command without one of them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after keeping them."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)


def judged_slope(audit: Path, given: object, *, quiet: bool) -> float:
    """Return how steep the confidence is by the judgments of an audit, whose file lies in the judged export.

    Raises UsageError where a slope is `given`, too, and BadInput where the judgments tell none.
    """
    from shp_miner.export.opening import read_manifest
    from shp_miner.web.audit import audited_export
    from shp_miner.web.judgments import read_judgments
    from shp_miner.web.results import results
    from shp_miner.web.told import shown

    if given is not None:
        raise UsageError("--audit and --confidence-slope both say how steep the confidence is.", "Leave one out.")
    judgments = read_judgments(audit)
    export = audited_export(audit.parent)
    slope = results(judgments, export).slope
    if slope.value is None or slope.value <= 0:
        raise BadInput(
            f"The judgments in {audit} give no slope: they are too few, or speak against the confidences.",
            f"Judge more pairs: `{called('audit', audit.parent)}`.",
        )
    if not quiet:
        say(f"Slope of the confidence, by {len(judgments):,} judgments: {shown(slope, 2)}.")
    # The judged export may have had a slope of its own.
    before = read_manifest(export.folder)["configuration"]["rule"].get("confidence_slope", 1.0)
    return min(slope.value * float(before), _STEEPEST)


def ask_to_replace(out: Path, store: Path, asked: Asked, *, quiet: bool) -> None:
    """Ask on a terminal whether another export in `out` may be replaced.

    Raises UsageError if the answer is no, or if nobody can be asked.
    """
    from msgspec import structs

    from shp_miner.clean.cleaning import as_cleaning
    from shp_miner.export.owned import formats_in
    from shp_miner.export.replaced import other_export
    from shp_miner.export.selected import known_formats, selected
    from shp_miner.store import Store

    try:
        if not formats_in(out):
            return
    except OSError:  # a path that cannot be; the export says why
        return
    selection, _ = selected(
        Store(store).snapshot(asked["as_of"]),
        asked["rule"],
        communities=asked["communities"],
        sites=asked["sites"],
        clean=as_cleaning(asked["clean"]),
    )
    if asked["decontaminate"]:
        selection = structs.replace(selection, decontaminate=asked["decontaminate"].about)
    other = other_export(out, known_formats(asked["formats"]), selection)
    if not other:
        return
    hint = "Name another folder, or give --replace."
    if quiet or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(other, hint)
    say(other, err=True)
    if not confirmed("Replace it?"):
        raise UsageError(f"Nothing was written: the export in {out} stays.", hint)


def show_estimate(out: Path, store: Path, asked: Asked, *, as_json: bool, quiet: bool) -> int:
    """Show what an export to `out` would give and take; return the exit code."""
    from shp_miner.export.dry_run import estimate

    with steps("Counting", quiet=quiet) as step:
        found = estimate(store, **asked, out=out, advance=step)
    words = click.get_current_context().meta.get(_WORDS, [])

    def people() -> None:
        say_counts(f"Rule {found.rule}, store version {found.version}", found.posts, found.pairs)
        print_reasons("Left out", found.tally)
        rows = [(name, count, _about(found, name)) for name, count in found.rows.items()]
        print_table("Would be written; nothing is", ("format", "rows", "size"), rows)
        if found.work is not None:
            print_table("It would take", ("what", "estimate"), export_work_rows(found.work))
        say_recommended(found.recommended)
        say_next([called("export", *(word for word in words if word != "--dry-run"))], after_table=True)

    data = {
        "store": str(store),
        "dry_run": True,
        **export_data(found, found.rule, found.rows),
        "bytes": found.bytes,
        "joined_bytes": found.joined_bytes,
        "work": found.work and structs.asdict(found.work),
        **tally_data(found.tally),
    }
    show_result(data, people, as_json=as_json, quiet=quiet)
    if found.missing:
        say(found.missing, err=True)
        return 3
    return 0


def _about(found: Estimate, name: str) -> str:
    size, joined_size = found.bytes[name], found.joined_bytes[name]
    smaller = f", {1 - size / joined_size:.0%} smaller than joined" if size < joined_size else ""
    return f"about {sized(size)}{smaller}"


def export_data(found: Exported | Estimate, rule: str, rows: Mapping[str, int]) -> dict[str, object]:
    """Return what an export and its dry run tell machines alike; `rows` are by format."""
    return {
        "version": found.version,
        "rule": rule,
        "recommended_rule": found.recommended and found.recommended.rule,
        "posts": dict(sorted(found.posts.items())),
        "pairs": dict(sorted(found.pairs.items())),
        "formats": rows,
    }


def tally_data(tally: Tally) -> dict[str, object]:
    """Return the counts of an export's tally for machines; damage is a matter of imports."""
    return {key: value for key, value in tally.to_dict().items() if key in ("kept", "dropped", "changed")}


def say_counts(title: str, posts: Mapping[str, int], pairs: Mapping[str, int]) -> None:
    """Print posts and pairs by community, those with the most pairs first, and their sums."""
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    rows: list[tuple[str, int, int]] = [(name, posts[name], count) for name, count in most[:_SHOWN]]
    if len(most) > _SHOWN:
        rest = [name for name, _ in most[_SHOWN:]]
        rows.append((f"{len(rest):,} more", sum(posts[name] for name in rest), sum(pairs[name] for name in rest)))
    if len(most) > 1:
        rows.append(("all", sum(posts.values()), sum(pairs.values())))
    print_table(title, ("community", "posts", "pairs"), rows)


def fit_data(found: Exported) -> dict[str, object]:
    """Return how far the fit of each community had drifted from the replaced export's, and which were made anew."""
    drift = dict(sorted(found.drift.items()))
    return {"kept_until_drift": found.drift_limit, "drift": drift, "made_anew": found.made_anew}


def say_changes(found: Exported) -> None:
    """Print what is different from the replaced export; nothing if there was none."""
    rows = [
        (name, what, why, count) for name, changes in found.changes.items() for what, why, count in changes.sentences()
    ]
    if rows and all(what == "unchanged" for _, what, _, _ in rows):
        say("Nothing has changed since the earlier export.")
    elif rows:
        several = len(found.changes) > 1
        shown = rows if several else [row[1:] for row in rows]
        print_table("Changed since the earlier export", (*["format"] * several, "rows", "why", "count"), shown)
    if anew := found.made_anew:
        more = f" and {len(anew) - 3:,} more" if len(anew) > 3 else ""
        names = harmless_text(", ".join(anew[:3]))
        say(f"The fit of {names}{more} had drifted by more than {found.drift_limit}: confidences are computed anew.")


def say_example(out: Path) -> None:
    """Print one row of an export, in short; nothing if it cannot be read."""
    from shp_miner.show.rows import export_at, sampled

    with suppress(Error, OSError):  # the export is complete, and `show` tells what is wrong
        for row in sampled(export_at(out), 1):
            say(*joined(["One row", row.community, *row.facts]))
            for part in row.parts[:3]:
                score = "" if part.score is None else f" (score {part.score:,})"
                say(harmless_text(f"{part.label}{score}:"))
                say_lines(wrapped(part.text, indent="  ", lines=_EXAMPLE_LINES, cut="..."))


def has_confidence(formats: Sequence[str]) -> bool:
    """Return whether the format that `show` takes of these has a confidence."""
    from shp_miner.export.formats import FORMATS

    first = next(name for name in FORMATS if name in formats)
    return "confidence" in FORMATS[first].schema.names
