"""The report as a picture: one SVG without links, which takes the colour of the text around it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shp_miner.training.measures import Estimate
from shp_miner.training.results import Report

_WIDTH, _LEFT, _RIGHT = 720, 230, 90
_ROW, _HEAD = 26, 34

_STYLE = (
    "<style>text { font: 14px system-ui, sans-serif; fill: currentColor; } .strong { font-weight: 600; }"
    " .end { text-anchor: end; } .bar { fill: currentColor; opacity: 0.35; } .model { opacity: 0.75; }"
    " .line { stroke: currentColor; stroke-width: 1.5; } .dash { stroke: currentColor; stroke-dasharray: 3 4; }</style>"
)


def draw_report(report: Report) -> str:
    """Return the picture of a report: accuracies with their intervals, usable bits, and the curve of flipped labels."""
    sections: list[tuple[str, list[tuple[str, Estimate, bool]], float, float | None]] = [
        ("Accuracy on pairs of other threads", _accuracies(report), 1.0, 0.5)
    ]
    if report.views:
        bits = [(view.view, view.bits, view.view == "full input") for view in report.views]
        most = max([0.1, *(estimate.high or estimate.value for _, estimate, _ in bits)])
        sections.append(("Usable information in bits per pair", bits, most, None))
    parts: list[str] = []
    top = 0
    for title, rows, most, marked in sections:
        parts += _section(title, rows, top, most, marked)
        top += _HEAD + _ROW * len(rows) + 14
    told = "; ".join(f"{name}: {estimate.value:g}" for _, rows, _, _ in sections for name, estimate, _ in rows)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}"'
        ' role="img" aria-labelledby="title description">'
    )
    named = f'<title id="title">What the model learned</title>\n<desc id="description">{escape(told)}.</desc>'
    return "\n".join([head, named, _STYLE, *parts, "</svg>", ""])


def _accuracies(report: Report) -> list[tuple[str, Estimate, bool]]:
    found = report.evaluation
    if found is None:
        return []
    rows = [("this model", found.accuracy, True), ("longer wins", found.longer_wins, False)]
    if found.earlier_wins is not None:
        rows.append(("earlier wins", found.earlier_wins, False))
    if found.balanced is not None:
        rows.append(("balanced over older and newer", found.balanced, True))
    if report.swapped is not None:
        rows.append(("with another question", report.swapped.other, True))
    rows += [(f"{flipped.share:.0%} of labels flipped", flipped.accuracy, True) for flipped in report.flips]
    return rows


def _section(
    title: str, rows: Sequence[tuple[str, Estimate, bool]], top: int, most: float, marked: float | None
) -> list[str]:
    def across(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(value / most, 0.0), 1.0)

    parts = [f'<text x="8" y="{top + 20}" class="strong">{escape(title)}</text>']
    bottom = top + _HEAD + _ROW * len(rows)
    if marked is not None:
        x = across(marked)
        parts.append(f'<line x1="{x:g}" y1="{top + _HEAD - 4}" x2="{x:g}" y2="{bottom}" class="dash"/>')
    for number, (name, estimate, is_model) in enumerate(rows):
        y = top + _HEAD + _ROW * number
        kind = "bar model" if is_model else "bar"
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 15}" class="end">{escape(name)}</text>')
        width = across(estimate.value) - _LEFT
        parts.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.4g}" height="16" class="{kind}"/>')
        if estimate.low is not None and estimate.high is not None:
            ends = f'x1="{across(estimate.low):.4g}" y1="{y + 11}" x2="{across(estimate.high):.4g}" y2="{y + 11}"'
            parts.append(f'<line {ends} class="line"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 15}">{estimate.value:.3f}</text>')
    return parts
