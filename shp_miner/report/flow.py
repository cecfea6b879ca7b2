"""The way from posts to pairs: what every filter and the rule left out, from the counts that an export keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shp_miner.export.markdown import percent
from shp_miner.report.figure import Cell, Part
from shp_miner.rules.reasons import REASONS

#: What is counted, from the first to the last.
_KINDS = ("post", "answer", "paired post", "paired answer", "pair")


def flow_part(counts: Mapping[str, Any]) -> Part | None:
    """Return the figure of a manifest's `counts` (or those of a `Tally`); None if nothing was counted.

    A row is a step: what is counted, its reason ("" for the first and the last step), how many it takes away, and how
    many are left.
    """
    rows = [row for kind in _KINDS for row in _steps(kind, counts)]
    if not rows:
        return None
    columns = ("what", "step", "left out", "left", "meaning")
    return Part("flow", " ".join(filter(None, (_told(kind, rows) for kind in _KINDS))), columns, rows)


def _steps(kind: str, counts: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    kept, dropped = counts.get("kept", {}), counts.get("dropped", {}).get(kind, {})
    last = kept.get(f"eligible {kind}" if kind in {"post", "answer"} else kind, 0)
    left = last + sum(dropped.values())
    if not left:
        return
    yield (kind, _FIRST[kind], 0, left, "")
    for reason, count in sorted(dropped.items(), key=lambda item: (-item[1], item[0])):
        left -= count
        yield (kind, reason.replace("_", " "), count, left, REASONS.get(reason, ""))
    if kind == "post":
        used = kept.get("post", 0)
        yield (kind, "without a pair", left - used, used, "No two of its answers make a pair under the rule.")
        left = used
    yield (kind, _LAST[kind], 0, left, "")


_FIRST = {
    "post": "posts read",
    "answer": "answers read",
    "paired post": "posts in pairs of the rule",
    "paired answer": "answers in pairs of the rule",
    "pair": "pairs of eligible answers",
}
_LAST = {
    "post": "posts with pairs",
    "answer": "eligible answers",
    "paired post": "posts after cleaning",
    "paired answer": "answers after cleaning",
    "pair": "pairs kept",
}


def _told(kind: str, rows: list[tuple[Cell, ...]]) -> str:
    own = [row for row in rows if row[0] == kind]
    if not own:
        return ""
    what = kind.removeprefix("paired ")
    first, last = own[0], own[-1]
    read, left = int(first[3] or 0), int(last[3] or 0)
    step = str(first[1]).replace(f"{what}s", what if read == 1 else f"{what}s", 1)
    said = f"Of {read:,} {step}, {left:,} ({percent(left, read)}) {'is' if left == 1 else 'are'} {_KEPT[kind]}"
    most = max(own, key=lambda row: int(row[2] or 0))
    if most[2]:
        said += f"; most of the others: {most[1]} ({percent(int(most[2]), read)})"
    return f"{said}."


_KEPT = {
    "post": "in the pairs",
    "answer": "eligible",
    "paired post": "left by cleaning",
    "paired answer": "left by cleaning",
    "pair": "kept",
}
