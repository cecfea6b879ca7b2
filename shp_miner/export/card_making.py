"""The parts of a card that count: lengths, sites, communities, parameters, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from shp_miner.clean.cleaning import Cleaning, changes
from shp_miner.clean.evaluation import Decontamination
from shp_miner.clean.overlap import LEAST_SHARE, WORDS_IN_A_ROW
from shp_miner.export.facts import written_between
from shp_miner.export.markdown import bar, code, percent, plain, table
from shp_miner.rules.fields import PARAMETERS, fields
from shp_miner.rules.hashing import SPLITS
from shp_miner.rules.presets import Rule, duration_text
from shp_miner.rules.reasons import EDITED, REASONS
from shp_miner.units import written_moment

#: Communities, and sites, that a card lists.
_SHOWN = 100

#: Values of a list that a card names; of a longer one it says how many there are.
_LISTED = 10

#: The share of the answers from which a card names a language.
_SHARE_SHOWN = 0.01

#: Lengths in words of which the card says how many rows are longer.
_LIMITS = (512, 1024, 2048)


def lengths(facts: Mapping[str, Any]) -> str:
    """Return a picture of the rows by words, and the shares that trainers may drop."""
    counts = {name: int(count) for name, count in facts.get("rows_by_words", {}).items()}
    rows = sum(counts.values())
    if not rows:
        return "Not measured."
    largest, shown, before = max(counts.values()), [], 0
    for name, count in counts.items():
        words = f"{before + 1:,} to {int(name):,}" if name.isdigit() else f"more than {before:,}"
        before = int(name) if name.isdigit() else before
        shown.append((words, f"{count:,}", percent(count, rows), bar(count / largest)))
    limits = [int(name) for name in counts if name.isdigit() and int(name) in _LIMITS]
    longer = [sum(n for name, n in counts.items() if not name.isdigit() or int(name) > limit) for limit in limits]
    shares = ", ".join(
        f"{percent(count, rows)} more than {limit:,}" for limit, count in zip(limits, longer, strict=True)
    )
    return (
        "Words of the question and the longest answer of each row:\n\n"
        + table(("words", "rows", "share", ""), shown, numbers=(1, 2))
        + f"\n\nRows by words: {shares}. Trainers count tokens, about a third more than words in English. "
        "TRL's RewardTrainer drops rows with more tokens than its `max_length` without a message, and DPOTrainer cuts "
        "answers: set `max_length`, and compare the row counts."
    )


def languages(facts: Mapping[str, Any]) -> str:
    """Return the languages of the answers with their shares, and what is left."""
    measured = facts.get("languages", {})
    read, shares = int(measured.get("answers", 0)), dict(measured.get("share", {}))
    if not read:
        return "not measured"
    told = [f"`{code}` {100 * share:.1f} %" for code, share in shares.items() if share >= _SHARE_SHOWN]
    rest = sum(share for share in shares.values() if share < _SHARE_SHOWN)
    told += [f"others {100 * rest:.1f} %"] if rest else []
    told += [f"not clear {100 * measured['unclear']:.1f} %"] if measured["unclear"] else []
    return f"{', '.join(told)} (of {read:,} answers, told by a model)"


def sites(facts: Mapping[str, Any]) -> str:
    """Return a table of the sites: their threads in the rows, and when the answers were written."""
    known = facts.get("sites", {})
    largest = sorted(known, key=lambda name: (-known[name]["threads"], name))
    rows = [(plain(name), f"{known[name]['threads']:,}", written_between([known[name]])) for name in largest[:_SHOWN]]
    if len(largest) > _SHOWN:
        rows.append((f"and {len(largest) - _SHOWN:,} more (see manifest.json)", "", ""))
    return table(("site", "threads", "answers written"), rows, numbers=(1,))


def communities(files: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the rows by community and split, and the communities with another configuration name."""
    counts: dict[str, dict[str, int]] = {}
    for file in files:
        counts.setdefault(file["community"], dict.fromkeys(SPLITS, 0))[file["split"]] += file["rows"]
    largest = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    rows = [(plain(name), *(f"{counts[name][split]:,}" for split in SPLITS)) for name in largest[:_SHOWN]]
    if len(largest) > _SHOWN:
        rows.append((f"and {len(largest) - _SHOWN:,} more (see manifest.json)", "", "", ""))
    lines = [table(("community", *SPLITS), rows, numbers=(1, 2, 3))]
    renamed = {file["community"]: file["config"] for file in files if file["config"] != file["community"]}
    if renamed:
        named = [f"- {plain(name)}: `{config}`" for name, config in sorted(renamed.items())[:_SHOWN]]
        if len(renamed) > _SHOWN:
            named.append(f"- and {len(renamed) - _SHOWN:,} more (see manifest.json)")
        other = "Names that `datasets` does not take, or that mean something else there, and their configurations:"
        lines += ["", other, "", *named]
    return "\n".join(lines)


def parameters(rule: Rule) -> str:
    """Return a table of the rule's parameters in words."""
    rows = [
        (f"`{key}`", _value(field.name, getattr(rule, field.name)), field.description.replace("|", "\\|"))
        for key, field in PARAMETERS.items()
    ]
    return table(("parameter", "value", "what it does"), rows)


def cleaned(manifest: Mapping[str, Any]) -> str:
    """Return how the texts were cleaned: the profile, and a table of the parameters that are on; "" if nothing was."""
    given = manifest["configuration"].get("clean")
    if not given:
        return ""
    cleaning = msgspec.convert(given, Cleaning)
    known, on = fields(Cleaning), changes(cleaning)
    rows = [(f"`{key}`", _value(key, value), known[key].description) for key, value in on.items()]
    parts = [f"Cleaned by the profile {code(cleaning.name)}:", table(("parameter", "value", "what it does"), rows)]
    edits = [
        (kind, f"`{reason}`", EDITED[reason], f"{count:,}")
        for kind, reasons in manifest["counts"].get("changed", {}).items()
        for reason, count in reasons.items()
        if reason in EDITED
    ]
    if edits:
        head = ("what", "edit", "meaning", "count")
        parts += ["Changed in the texts that were read:", table(head, edits, numbers=(3,))]
    return "\n\n".join(parts)


def screened(manifest: Mapping[str, Any]) -> str:
    """Return which evaluation sets the texts were screened for, and what that does not see."""
    given = manifest["configuration"].get("decontaminate")
    if not given:
        return "None was screened: rows that are also in a benchmark are still here."
    about = msgspec.convert(given, Decontamination)
    rows = [(code(file.name), f"{file.items:,}", f"{file.too_short:,}", f"`{file.sha256}`") for file in about.files]
    words = WORDS_IN_A_ROW[about.preset]
    columns = f" Items are of {', '.join(map(code, about.columns))}." if about.columns else ""
    return (
        f"Texts that hold an item of these evaluation sets were left out: {words} words in a row in common, and "
        f"{LEAST_SHARE:.0%} of the item's words in all.{columns} Items of fewer than {words} words are not seen, nor "
        "are paraphrases.\n\n" + table(("evaluation set", "items", "not seen", "SHA-256"), rows, numbers=(1, 2))
    )


def _value(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return written_moment(value)
    if isinstance(value, list | tuple):
        return f"{len(value)} values" if len(value) > _LISTED else plain(", ".join(map(str, value)))
    if name.endswith("_s"):
        return duration_text(value)
    return f"{value:g}" if isinstance(value, float) else plain(f"{value:,}" if isinstance(value, int) else str(value))


def left_out(manifest: Mapping[str, Any]) -> str:
    """Return a table of what was left out and why, and how the rows were ordered and made."""
    dropped = manifest["counts"]["dropped"]
    rows = [
        (kind, f"`{reason}`", REASONS.get(reason, ""), f"{count:,}")
        for kind, reasons in dropped.items()
        for reason, count in reasons.items()
    ]
    return (
        "Left out, by the first reason that holds:\n\n"
        + table(("what", "reason", "meaning", "count"), rows, numbers=(3,))
        + "\n\nSides and splits follow a hash of the ids: a thread keeps its split and a pair its sides as data grow. "
        "All pairs of a thread are in one split.\n"
        f"Made with shp-miner {manifest['versions']['shp-miner']}. `manifest.json` has all settings and file hashes."
    )
