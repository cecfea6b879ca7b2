"""What made an export smaller than its store: each filter of rule and cleaning, with its parameters and counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from shp_miner.clean.cleaning import Cleaning, changes
from shp_miner.export.opening import known_formats_in, read_manifest
from shp_miner.mining.cleaned import IN_EVALUATION_SET
from shp_miner.rules.reasons import CLEANED, EDITED, PARAMETERS_OF, sentence


class FilterCount(Struct):
    """A reason, what it means, the parameters that it follows with their values, and its counts by kind of item.

    `of` is the rule, the cleaning or the screening for evaluation sets. A reason of "" is a parameter without counts.
    """

    of: Literal["rule", "cleaning", "screening"]
    reason: str
    meaning: str
    parameters: dict[str, Any]
    counts: dict[str, int] = {}


class ExportFilters(Struct):
    """The filters of an export with what each left out or changed; its rule, profile of cleaning and pairs."""

    path: str
    rule: str
    clean: str
    pairs: int
    filters: list[FilterCount]


def export_filters(path: Path) -> ExportFilters:
    """Return the filters of the export in a folder. Raises BadInput for what is not one."""
    manifest = read_manifest(next(iter(known_formats_in(path).values())))
    about, counts = manifest["configuration"], manifest["counts"]
    rule, cleaning = about["rule"], msgspec.convert(about.get("clean") or {}, Cleaning)
    by_reason: dict[str, dict[str, int]] = {}
    for kinds in (counts.get("dropped", {}), counts.get("changed", {})):
        for kind, reasons in kinds.items():
            for reason, count in reasons.items():
                by_reason.setdefault(reason, {})[kind] = count
    cleaned = {*CLEANED, *EDITED} - {IN_EVALUATION_SET}
    found = [
        FilterCount("rule", reason, sentence(reason), {key: rule.get(key) for key in PARAMETERS_OF.get(reason, ())}, by)
        for reason, by in by_reason.items()
        if reason not in {*cleaned, IN_EVALUATION_SET}
    ]
    found += _cleaned(cleaning, by_reason)
    if screened := about.get("decontaminate"):
        files = {"decontaminate": [file["name"] for file in screened["files"]], "preset": screened.get("preset")}
        by = by_reason.get(IN_EVALUATION_SET, {})
        found.append(FilterCount("screening", IN_EVALUATION_SET, sentence(IN_EVALUATION_SET), files, by))
    pairs = counts.get("kept", {}).get("pair", 0)
    return ExportFilters(str(path), rule["name"], cleaning.name, pairs, found)


def _cleaned(cleaning: Cleaning, by_reason: dict[str, dict[str, int]]) -> list[FilterCount]:
    """Each parameter that is on, in the order of `Cleaning`, with each of its reasons that has counts, or the first."""
    on = changes(cleaning)
    found: dict[str, FilterCount] = {}
    for name, value in on.items():
        own = [reason for reason, names in PARAMETERS_OF.items() if name in names and reason in {**CLEANED, **EDITED}]
        counted = [reason for reason in own if reason in by_reason]
        for reason in counted or own[:1]:
            values = {key: on[key] for key in PARAMETERS_OF[reason] if key in on}
            found[reason] = FilterCount("cleaning", reason, sentence(reason), values, by_reason.get(reason, {}))
        if not own:
            found[name] = FilterCount("cleaning", "", "", {name: value})
    return list(found.values())
