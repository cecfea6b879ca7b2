"""Charts of the lab: small multiples, one panel a world. Need matplotlib, which the extra `lab` brings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shp_miner.errors import UsageError
from shp_miner.lab.run import REFERENCE, RuleResult, WorldResult
from shp_miner.store.replacing import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: One colour a rule, by Okabe and Ito 2008, who chose them for colour-blind readers; the grey is for further rules.
_COLOURS = {
    "calibrated": "#D55E00",
    "shp": "#0072B2",
    "shp-strict": "#56B4E9",
    "time-matched": "#009E73",
    "votes": "#CC79A7",
    "older-winner": "#999999",
    "log-votes": "#E69F00",
    "comparisons": "#F0E442",
    "accepted": "#000000",
    "per-reader": "#7A3B10",
}
_OTHER = "#444444"

#: Curves of more rules than these cannot be told apart.
_CURVES = ("calibrated", "shp", "votes")

_COVERAGE, _RELIABILITY = "coverage.png", "reliability.png"

_COLUMNS = 6
_PANEL_INCHES = (2.3, 2.2)
_LARGE_PANEL_INCHES = (6.0, 4.0)
_DPI = 130

#: Bins with fewer pairs are left out of the chart of reliability: their share of right ones is noise.
_FEW = 50


def require_matplotlib() -> None:
    """Raise UsageError, which names the extra, where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            "Charts need matplotlib, which is not installed.", "pip install 'shp-miner[lab]', or run with --no-charts."
        )


def draw_charts(out: Path, results: Sequence[WorldResult]) -> list[str]:
    """Write the charts as PNG into `out`; gives their names. No reliability where no rule gave a confidence."""
    charts = [_COVERAGE]
    _coverage(results, out / _COVERAGE)
    if any(rule_result.reliability for result in results for rule_result in result.rules):
        _reliability(results, out / _RELIABILITY)
        charts.append(_RELIABILITY)
    return charts


def remove_charts(out: Path) -> None:
    """Take the charts out of `out`, if there are any."""
    for name in (_COVERAGE, _RELIABILITY):
        (out / name).unlink(missing_ok=True)


def _coverage(results: Sequence[WorldResult], path: Path) -> None:
    """Accuracy of the most confident pairs against their number; each rule as it is is a dot."""
    figure, panels = _figure(results, "Coverage against accuracy", "pairs, in multiples of SHP's", "right labels")
    shown: dict[str, Any] = {}
    for axes, result in zip(panels, results, strict=True):
        reference = result.rule(REFERENCE)
        axes.set_xscale("log")
        axes.axvline(1, color="#dddddd", linewidth=0.8, zorder=0)
        if reference.accuracy is not None:
            axes.axhline(reference.accuracy, color=_COLOURS[REFERENCE], linewidth=0.8, linestyle=":", zorder=1)
        for rule_result in result.rules:
            if rule_result.rule in _CURVES and rule_result.coverage:
                x, y = zip(*rule_result.coverage, strict=True)
                axes.plot(x, y, color=_colour(rule_result), linewidth=1.4, zorder=2)
            if reference.pairs and rule_result.pairs and rule_result.accuracy is not None:
                (dot,) = axes.plot(
                    rule_result.pairs / reference.pairs, rule_result.accuracy, "o", color=_colour(rule_result),
                    markersize=5, markeredgecolor="white", markeredgewidth=0.6, zorder=3,
                )  # fmt: skip
                shown.setdefault(rule_result.rule, dot)
        axes.set_ylim(0.4, 1.02)
        axes.set_xlim(0.03, 20)
        axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
        axes.minorticks_off()
    _save(figure, path, shown, "dots: the rules as they are; curves: their most confident pairs")


def _reliability(results: Sequence[WorldResult], path: Path) -> None:
    """Share of right labels against confidence; on the diagonal a confidence is what it says."""
    figure, panels = _figure(results, "Reliability", "confidence", "right labels")
    shown: dict[str, Any] = {}
    for axes, result in zip(panels, results, strict=True):
        axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, zorder=0)
        for rule_result in result.rules:
            bins = [(confidence, right) for confidence, right, pairs in rule_result.reliability if pairs >= _FEW]
            if rule_result.rule in _CURVES and bins:
                x, y = zip(*bins, strict=True)
                (line,) = axes.plot(
                    x, y, "o-", color=_colour(rule_result), markersize=3, linewidth=1.2,
                    zorder=3 if rule_result.rule == "calibrated" else 2,
                )  # fmt: skip
                shown.setdefault(rule_result.rule, line)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    _save(figure, path, shown, f"bins of 0.05 with at least {_FEW} pairs")


def _figure(results: Sequence[WorldResult], title: str, x: str, y: str) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a world. No window system is touched: the figure is only ever saved."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

    columns = min(_COLUMNS, len(results))
    rows = math.ceil(len(results) / columns)
    width, height = _PANEL_INCHES if columns > 2 else _LARGE_PANEL_INCHES
    size = (columns * width + 0.4, rows * height + 1.0)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    panels = list(grid.flat)
    for axes, result in zip(panels, results, strict=False):
        axes.set_title(result.world.name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for spare in panels[len(results) :]:
        spare.set_visible(False)
    # The panels above the spare ones are the last of their columns and show the numbers.
    for axes in panels[max(0, len(results) - columns) : len(results)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(x, fontsize=8)
    for axes in panels[::columns]:
        axes.set_ylabel(y, fontsize=8)
    figure.suptitle(title, fontsize=12)
    return figure, panels[: len(results)]


def _save(figure: Figure, path: Path, shown: dict[str, Any], note: str) -> None:
    names = [name for name in _COLOURS if name in shown] + [name for name in shown if name not in _COLOURS]
    figure.legend(
        [shown[name] for name in names], names, loc="outside lower center", ncols=min(len(names), 7), fontsize=9,
        frameon=False, title=note, title_fontsize=8,
    )  # fmt: skip
    # Without the software's version in it the same numbers give the same file.
    replace_file(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}), durable=False)


def _colour(rule_result: RuleResult) -> str:
    return _COLOURS.get(rule_result.rule, _OTHER)
