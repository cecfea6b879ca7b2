"""What a report says of one export: facts at its head, figures, pairs to read, and notes on what it cannot show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from shp_miner.checking.opened import Opened
from shp_miner.export.facts import written_between
from shp_miner.export.owned import export_fingerprint
from shp_miner.report.exported import best_of, count_pairs
from shp_miner.report.figure import Part
from shp_miner.report.flow import flow_part
from shp_miner.report.parts import pair_parts
from shp_miner.report.readings import count_readings
from shp_miner.report.stored import arrival_part, presets_part, reading_parts
from shp_miner.rules.presets import PRESETS, rule_summary
from shp_miner.rules.reasons import EDITED
from shp_miner.rules.written import rule_of_manifest
from shp_miner.show.compare import overview
from shp_miner.show.parts import Shown
from shp_miner.show.rows import Export, export_at, sampled
from shp_miner.store import Store

#: Pairs to read: of each community, and of all.
_EACH, _ALL = 12, 240


class Told(Struct):
    """What a report says of one export or store. `of` is a hash of what it was made of."""

    name: str
    kind: str
    of: str
    about: list[tuple[str, str]]
    parts: list[Part]
    samples: dict[str, list[Shown]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def of_export(out: Path, *, texts: bool, advance: Callable[[int, int], None] | None = None) -> Told:
    """Return what a report says of an export; of several formats, the one whose rows say the most.

    Raises BadInput if it is not an export, or damaged.
    """
    export = best_of(out)
    rule = rule_of_manifest(export.manifest)
    counts = count_pairs(export, advance)
    drawn = export.form.balance is not None
    parts = list(pair_parts(counts, rule.min_score_age_s, drawn=drawn))
    more = [flow_part(export.manifest["counts"]), arrival_part(_arrival_of(export))]
    communities = sorted(counts.by_community, key=lambda name: (-counts.by_community[name], name))
    sites = export.manifest.get("facts", {}).get("sites", {})
    about = [
        ("Export", out.absolute().name),
        ("Rule", f"{rule.name}: {rule_summary(rule)}"),
        ("Format", export.form.name),
        ("Rows", f"{counts.pairs:,} of {sum(counts.threads().values()):,} threads"),
        ("Communities", _named(communities)),
    ]
    if edits := _edits(export.manifest["counts"]):
        about.append(("Changed in its texts", edits))
    if sites:
        about.append(("Answers written", written_between(sites.values())))
    about += [
        ("Votes last read", (export.manifest["input"].get("newest_observation") or "unknown")[:10]),
        ("Made with", f"shp-miner {export.manifest['versions']['shp-miner']}"),
    ]
    return Told(
        name=out.absolute().name,
        kind="export",
        of=export_fingerprint({export.form.name: export.folder}),
        about=about,
        parts=[*filter(None, more), *parts],
        samples=_sampled(out, export, communities) if texts else {},
        notes=_notes(export),
    )


def _arrival_of(export: Opened) -> list[dict[str, Any]]:
    """Return the votes by arrival of a manifest; those of earlier versions have none."""
    found = export.manifest.get("arrival")
    return found if isinstance(found, list) else []


def _edits(counts: Mapping[str, Any]) -> str:
    """Return what cleaning changed in texts, in words; "" if nothing."""
    found: Counter[str] = Counter()
    for reasons in counts.get("changed", {}).values():
        found.update({reason: count for reason, count in reasons.items() if reason in EDITED})
    return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in sorted(found.items()))


def of_store(store: Store, *, advance: Callable[[int, int], None] | None = None) -> Told:
    """Return what a report says of a store: its months and readings, and what the presets make of it.

    No text is read. What the default preset leaves out is shown step by step.
    """
    snapshot = store.snapshot()
    rule = next(iter(PRESETS.values()))
    found = overview(store, snapshot, advance=advance)
    counts = count_readings(snapshot, rule.min_score_age_s)
    communities = sorted({name for name, _ in counts.answers})
    flow = flow_part(found.tally.to_dict())
    parts = [*reading_parts(counts, rule.min_score_age_s), presets_part(found.compared)]
    parts += filter(None, [flow, arrival_part(found.arrival.data())])
    about = [
        ("Store", store.path.absolute().name),
        ("Version", snapshot.version),
        ("Observations", f"{snapshot.rows('posts'):,} of posts, {snapshot.rows('answers'):,} of answers"),
        ("Communities", _named(communities)),
        ("Rule of the steps", f"{rule.name}: {rule_summary(rule)}"),
        ("Made with", f"shp-miner {version('shp-miner')}"),
    ]
    notes = ["The report of a store quotes nobody. The report of an export also has pairs to read."]
    if not counts.answers:
        notes.append("The store has no answers with scores yet: import or crawl some.")
    elif not counts.newest:
        notes.append(
            "Nobody knows when the scores of this store were read. Rules leave such scores out, unless an export is "
            "made with --allow-unknown-age."
        )
    return Told(store.path.absolute().name, "store", snapshot.version, about, parts, notes=notes)


def _named(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{len(names):,}: {', '.join(names[:most])}{more}"


def _notes(export: Opened) -> list[str]:
    if not export.rows:
        return ["This export has no rows. The steps from posts to pairs say why."]
    name, schema = export.form.name, export.form.schema.names
    lacking = []
    if export.form.answers is None:
        lacking.append("pairs of answers")
    if not {"created_at1", "created_at_utc_A"} & set(schema):
        lacking.append("times")
    if "observed_at1" not in schema:
        lacking.append("times at which votes were read")
    if "confidence" not in schema:
        lacking.append("confidences")
    if not lacking:
        return []
    told = f"Rows of the format {name} have no {', no '.join(lacking)}, so the figures on these are missing."
    return [f"{told} An export in the format pairs has all of them."]


def _sampled(out: Path, export: Opened, communities: list[str]) -> dict[str, list[Shown]]:
    """Return pairs of the largest communities: a dozen of each, or fewer of each where there are many."""
    whole = export_at(out, export.form.name)
    shown = communities[:_ALL]
    each = max(1, min(_EACH, _ALL // max(1, len(shown))))
    return {name: sampled(_of_community(whole, name), each) for name in shown}


def _of_community(export: Export, community: str) -> Export:
    return structs.replace(export, files=[file for file in export.files if file["community"] == community])
