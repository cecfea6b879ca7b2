"""The lab's results in words and tables: OUT/lab.md for people, OUT/lab.json for machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shp_miner.lab.run import LOOKS_KNOWN, RuleResult, WorldResult
from shp_miner.lab.table import Cell, Table, write_json, write_markdown
from shp_miner.tally import counted

#: From this multiple of SHP's pairs on a world counts as a gain.
GAIN = 2.0

_NONE = "no confidence"


def write_report(out: Path, results: Sequence[WorldResult], charts: Sequence[str]) -> list[Table]:
    """Write lab.md and lab.json; gives the tables. `charts` are names of files beside them."""
    tables = [summary(results), *details(results)]
    first = results[0]
    answers, votes = sum(result.answers for result in results), sum(result.votes for result in results)
    about = (
        f"{counted(len(results), 'simulated world')} of {counted(first.threads, 'thread')} each (seed {first.seed}): "
        f"{answers:,} answers of known quality, {votes:,} votes. A simulation with its own assumptions: "
        "`shp-miner docs lab` says which."
    )
    pictures = [f"![{name}]({name})" for name in charts]
    write_markdown(out / "lab.md", "Results by rule", [about, *tables, *pictures])
    write_json(out / "lab.json", to_dict(results))
    return tables


def to_dict(results: Sequence[WorldResult]) -> dict[str, Any]:
    """All numbers, as plain data."""
    return {
        "seed": results[0].seed,
        "threads": results[0].threads,
        "summary": summary(results).to_dict(),
        "worlds": {result.world.name: result for result in results},
    }


def summary(results: Sequence[WorldResult]) -> Table:
    """One row a rule: over all worlds, how right it is and how many pairs it gives at SHP's accuracy."""
    rows = []
    for name in (*(rule_result.rule for rule_result in results[0].rules), LOOKS_KNOWN):
        of_worlds = {
            result.world.name: result.looks_known if name == LOOKS_KNOWN else result.rule(name) for result in results
        }
        shares = [rule.accuracy for rule in of_worlds.values() if rule.accuracy is not None]
        known = {world: rule.multiple for world, rule in of_worlds.items() if rule.multiple is not None}
        gains = [world for world, times in known.items() if times >= GAIN]
        rows.append(
            (
                name,
                f"{min(shares):.3f} to {max(shares):.3f}" if shares else None,
                geometric_mean([rule.pairs_per_thread for rule in of_worlds.values()]),
                geometric_mean(list(known.values())) if known else _NONE,
                f"{len(gains)} of {len(results)}" if known else None,
                _named([world for world in of_worlds if world not in gains]) if known else None,
            )
        )
    columns = ("rule", "right", "pairs a thread", "multiple", f"worlds with {GAIN:g} or more", "not in")
    return Table(
        "Summary",
        "right: lowest and highest share of right labels over the worlds. pairs a thread and multiple: geometric means "
        "over the worlds. multiple: how many of the rule's most confident pairs can be kept before fewer of them are "
        "right than of SHP's, for each pair of SHP. "
        f"{LOOKS_KNOWN} is a yardstick, not a rule: it ranks by how often each answer was looked at, which only a "
        "simulation knows.",
        columns,
        rows,
    )


def details(results: Sequence[WorldResult]) -> list[Table]:
    """Tables of worlds x rules, one for each measure."""
    return [
        _table(results, "Right labels", "Share of pairs whose winner is the better answer, with its standard error.",
               lambda rule: _with_error(rule.accuracy, rule.accuracy_se)),
        _table(results, "Pairs a thread", "", lambda rule: f"{rule.pairs_per_thread:.2f}"),
        _table(results, "Multiple of SHP's pairs at SHP's accuracy", "With its standard error (bootstrap of threads).",
               _by_confidence(lambda rule: _with_error(rule.multiple, rule.multiple_se, 2)), known=True),
        _table(results, "Right labels at SHP's count", "Among as many of the most confident pairs as SHP has pairs; "
               "- where the rule has fewer.", _by_confidence(lambda rule: rule.accuracy_at_shp), known=True),
        _table(results, "Calibration error", "Mean distance between confidence and share right, by bins of 0.05.",
               _by_confidence(lambda rule: rule.calibration_error)),
        _table(results, "Length bias", "Share of pairs that the longer answer wins, minus the share that it should.",
               lambda rule: _with_error(rule.length_bias, rule.length_bias_se)),
    ]  # fmt: skip


def _by_confidence(cell: Callable[[RuleResult], Cell]) -> Callable[[RuleResult], Cell]:
    return lambda rule: cell(rule) if rule.ranked_pairs else _NONE


def geometric_mean(values: Sequence[float]) -> float:
    """Exp of the mean logarithm; 0 if any value is 0, NaN for none."""
    if not values:
        return math.nan
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if min(values) > 0 else 0.0


def _table(
    results: Sequence[WorldResult], title: str, note: str, cell: Callable[[RuleResult], Cell], *, known: bool = False
) -> Table:
    names = [rule_result.rule for rule_result in results[0].rules] + ([LOOKS_KNOWN] if known else [])
    rows = [
        [result.world.name, *(cell(rule) for rule in (*result.rules, *([result.looks_known] if known else ())))]
        for result in results
    ]
    return Table(title, note, ("world", *names), rows)


def _with_error(value: float | None, error: float | None, decimals: int = 3) -> str | None:
    """The value and its error. An error of exactly 0 is that of one thread, or of pairs that are all alike: unknown."""
    if value is None:
        return None
    return f"{value:.{decimals}f}" + (f" ± {error:.{decimals}f}" if error else "")


def _named(worlds: Sequence[str], most: int = 5) -> str:
    return ", ".join(worlds) if len(worlds) <= most else f"{len(worlds)} worlds"
