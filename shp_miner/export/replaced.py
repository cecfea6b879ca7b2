"""What an export would replace in its folder, where that is not an earlier export of the same selection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.compact import row_files
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import formats_in, replaced_folders, several_in
from shp_miner.export.publish import place_of
from shp_miner.mining.mine import Selection
from shp_miner.paths import STORE_MARK, on_disk
from shp_miner.tally import counted

#: Names listed before the rest is only counted.
_NAMED = 3


def other_export(out: Path, formats: Sequence[str], selection: Selection) -> str:
    """Return a sentence on the export in `out` that differs from the new one in rule, format, communities or sites.

    Empty if there is none, if it is of the same selection, or if its manifest cannot be read.
    """
    there = formats_in(out)
    if not there:
        return ""
    folders = replaced_folders(out, formats)
    try:
        manifests = [read_manifest(folder) for folder in folders]
    except BadInput:
        return ""
    before = [manifest.get("configuration") for manifest in manifests]
    differences = [] if set(there) == set(formats) else [f"format {', '.join(there)}"]
    for configuration in before:
        if isinstance(configuration, dict):
            differences += [told for told in _differences(configuration, selection) if told not in differences]
    if not differences:
        return ""
    rows = sum(
        file["rows"]
        for manifest in manifests
        for file in row_files(manifest["files"])
        if isinstance(file.get("rows"), int)
    )
    return f"{out} holds another export ({'; '.join(differences)}; {counted(rows, 'row')}), which would be replaced."


def refuse_other_export(out: Path, formats: Sequence[str], selection: Selection) -> None:
    """Raise UsageError where `other_export` finds one, with what a Python caller writes to replace it."""
    try:
        other = other_export(out, formats, selection)
    except OSError:  # a path that cannot be; the export says why
        return
    if other:
        raise UsageError(other, "Name another folder, or give replace=True.")


def dropped_folder(dropped: str | os.PathLike[str] | None, out: Path) -> Path | None:
    """Return the absolute folder for the dropped rows of the export to `out`; None where none is asked for.

    Raises UsageError where it would lie among the files of a store, of that export, or of another one.
    """
    if dropped is None:
        return None
    folder = on_disk(dropped, "dropped posts and answers are written").absolute()
    place = place_of(folder)
    around = [place, *place.parents]
    if place_of(out) in around or place in formats_in(place).values() or several_in(place):
        inside = "an export"
    elif any((above / STORE_MARK).exists() for above in around):
        inside = "the store"
    else:
        return folder
    raise UsageError(f"The folder for dropped rows, {dropped}, would be in {inside}.", "Name a folder of its own.")


def _differences(before: dict[str, Any], selection: Selection) -> list[str]:
    """What was selected before, in words, where it differs."""
    now = msgspec.to_builtins(selection)
    found = []
    rule = before.get("rule")
    # The name says who wins. Other parameters, such as `until`, move from day to day and make no other data set.
    if isinstance(rule, dict) and rule.get("name") != selection.rule.name:
        found.append(f"rule {rule.get('name')}")
    for key, one, all_of in (("communities", "community", "all communities"), ("sites", "site", "all sites")):
        was, is_now = before.get(key) or (), now.get(key) or ()
        if sorted(map(str, was)) != sorted(is_now):
            found.append(f"{one if len(was) == 1 else key} {_listed(was)}" if was else all_of)
    if before.get("margin", False) != now.get("margin", False):
        found.append("with a margin" if before.get("margin") else "without a margin")
    cleaned_before, cleaned_now = ((of.get("clean") or {}).get("name", "none") for of in (before, now))
    if cleaned_before != cleaned_now:
        found.append(f"cleaned by {cleaned_before}" if cleaned_before != "none" else "not cleaned")
    screened_before, screened_now = (_screened(of) for of in (before, now))
    if screened_before != screened_now:
        found.append(f"screened for {_listed(screened_before)}" if screened_before else "not screened")
    if (before.get("places") or None) != (now.get("places") or None):
        found.append("other places")
    return found


def _screened(configuration: dict[str, Any]) -> list[str]:
    """The names of the evaluation sets that an export was screened for."""
    return [str(file.get("name")) for file in (configuration.get("decontaminate") or {}).get("files", [])]


def _listed(names: Sequence[object]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
