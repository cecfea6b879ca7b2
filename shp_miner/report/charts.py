"""The pictures of a report, drawn by Altair and vl-convert as SVG. One picture serves light and dark pages.

Colours are names of the page's style sheet, so a picture takes those of its page. Text and lines take `currentColor`.
Both libraries come with the extra `report`, and are imported when the first picture is drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from shp_miner.errors import UsageError
from shp_miner.report.curves import draw_arrival, draw_presets
from shp_miner.report.drawing import (
    FIRST,
    LETTERS,
    NEUTRAL,
    SECOND,
    TEXT,
    WIDTH,
    Records,
    label,
    number_in,
    sized,
    upright_labels,
)
from shp_miner.report.figure import EARLY, SERIES, Cell, Figure
from shp_miner.report.parts import ORDERED

if TYPE_CHECKING:
    import altair as alt

#: The letters that are measured when a picture is drawn, and those of about their width: a page may have none of these,
#: so what stands beside them has some room.
_FONT = "Arial, Helvetica, Roboto, Liberation Sans, sans-serif"
_ROOM = 26


def require_altair() -> None:
    """Raise UsageError, which names the extra, where the drawing libraries are missing."""
    missing = [name for name in ("altair", "vl_convert") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"A report needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            "Install the extra `report`: pip install 'shp-miner[report]'.",
        )


def drawn(figure: Figure) -> str:
    """Return the picture of a figure as an SVG element for a page; its title and description are the page's."""
    import altair as alt  # noqa: PLC0415  (an extra)
    import vl_convert  # noqa: PLC0415

    chart = _DRAWINGS[figure.name](alt, figure)
    specification = chart.configure(**_configuration()).to_dict()
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return _for_page(vl_convert.vegalite_to_svg(json.dumps(specification), vl_version=version), figure.name)


def _configuration() -> dict[str, Any]:
    axis = {f"{part}Color": TEXT for part in ("label", "title", "domain", "tick", "grid")}
    letters = {"labelFontSize": LETTERS, "titleFontSize": LETTERS, "titleFontWeight": "normal"}
    legend = {"labelColor": TEXT, "titleColor": TEXT, "orient": "top", "title": None, "symbolType": "square"}
    return {
        "aria": False,  # the page's own words describe a picture
        "background": "transparent",
        "font": _FONT,
        "axis": {**axis, **letters, "gridOpacity": 0.15, "domainOpacity": 0.6, "tickOpacity": 0.6, "labelLimit": 150},
        "legend": {**legend, **letters, "labelLimit": 180, "columnPadding": _ROOM},
        "header": {"labelColor": TEXT, "titleColor": TEXT, **letters},
        "view": {"stroke": None},
        "text": {"color": TEXT, "fontSize": LETTERS - 1},
        "rule": {"color": TEXT},
    }


def _for_page(svg: str, name: str) -> str:
    """Return the picture without what a page says itself, and with names of its own: a page has many pictures."""
    width, height = (re.search(rf'<svg[^>]*\b{side}="([\d.]+)"', svg) for side in ("width", "height"))
    assert width is not None
    assert height is not None
    body = svg[svg.index(">") + 1 :]
    body = re.sub(r'<path class="(?:back|fore)ground"[^>]*/>', "", body)
    body = re.sub(r' (?:class|pointer-events|role|aria-[a-z]+)="[^"]*"', "", body)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"(\d\.\d\d)\d+", r"\1", body)
    view = f'viewBox="0 0 {width[1]} {height[1]}" width="{width[1]}" height="{height[1]}"'
    labels = f'role="img" aria-labelledby="{name}-title" aria-describedby="{name}-finding"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {view} {labels}>{body}'


# -- bars -------------------------------------------------------------------------------------------------------------


def _long(records: Records, x: str, columns: tuple[str, ...]) -> Records:
    """Return a record for each row and column: its bin, the column's name as `what`, the count and the share."""
    totals: dict[Cell, int] = {}
    for row in records:
        totals[row.get(SERIES)] = totals.get(row.get(SERIES), 0) + sum(number_in(row[column]) for column in columns)
    return [
        {
            "bin": row[x],
            "what": column,
            "count": row[column],
            "share": number_in(row[column]) / (totals[row.get(SERIES)] or 1),
            **({SERIES: row[SERIES]} if SERIES in row else {}),
        }
        for row in records
        for column in columns
    ]


def _in_order(figure: Figure, column: str) -> list[Cell]:
    """Return the labels of a column in their order, also those that only one of two compared exports has."""
    records = figure.records()
    present = dict.fromkeys(row[column] for row in records)
    if figure.name in ORDERED:
        return [name for name in ORDERED[figure.name] if name in present]
    first, *others = figure.series or ("",)
    order = list(dict.fromkeys(row[column] for row in records if row.get(SERIES, "") == first))
    for name in others:
        place = len(order)
        for cell in reversed([row[column] for row in records if row[SERIES] == name]):
            if cell in order:
                place = order.index(cell)
            else:
                order.insert(place, cell)
    return order


def _bars(*columns: str, apart: bool = False) -> Callable[[Any, Figure], Any]:
    """Return what draws counts by bin as columns that lie on each other, or beside each other if `apart`.

    Two exports that are compared differ in size, so their shares are drawn, beside each other.
    """

    def draw(alt: Any, figure: Figure) -> Any:
        x = figure.columns[1 if figure.series else 0]
        records = figure.records()
        order = _in_order(figure, x)
        axis = alt.X("bin:N", sort=order, title=x, axis=upright_labels(alt))
        if figure.series:
            values = _long(records, x, columns)
            merged: dict[tuple[Cell, Cell], float] = {}
            for row in values:
                key = (row["bin"], row[SERIES])
                merged[key] = merged.get(key, 0.0) + float(row["share"] or 0)
            values = [{"bin": bin_, "what": name, "share": share} for (bin_, name), share in merged.items()]
            return _beside(alt, values, axis, figure.series)
        values = _long(records, x, columns)
        if apart:
            return _beside(alt, _shares_of_columns(values), axis, columns)
        encoded = {"x": axis, "y": alt.Y("count:Q", title=figure.columns[1] if len(columns) == 1 else "pairs")}
        if len(columns) == 1:
            return sized(alt, alt.Chart(alt.Data(values=values)).mark_bar(color=FIRST).encode(**encoded))
        colour = alt.Color("what:N", scale=alt.Scale(domain=list(columns), range=[FIRST, SECOND]))
        return sized(alt, alt.Chart(alt.Data(values=values)).mark_bar().encode(color=colour, **encoded))

    return draw


def _shares_of_columns(values: Records) -> Records:
    totals: dict[Cell, int] = {}
    for row in values:
        totals[row["what"]] = totals.get(row["what"], 0) + number_in(row["count"])
    return [row | {"share": number_in(row["count"]) / (totals[row["what"]] or 1)} for row in values]


def _beside(alt: Any, values: Records, x: Any, names: tuple[str, ...]) -> Any:
    colour = alt.Color("what:N", scale=alt.Scale(domain=list(names), range=[FIRST, SECOND]))
    offset = alt.XOffset("what:N", sort=list(names))
    y = alt.Y("share:Q", title="share", axis=alt.Axis(format=".0%"))
    chart = alt.Chart(alt.Data(values=values)).mark_bar()
    return sized(alt, chart.encode(x=x, xOffset=offset, y=y, color=colour))


def _ages(alt: Any, figure: Figure) -> Any:
    """Ages of scores; those that the gate drops are in another colour."""
    if figure.series:
        return _bars("scores")(alt, figure)
    records = figure.records()
    values = [{**row, "what": "counts" if row["counts"] else "before the gate"} for row in records]
    return _gated(alt, values, {"before the gate": NEUTRAL, "counts": FIRST}, "scores")


def _observed(alt: Any, figure: Figure) -> Any:
    """Ages of all readings: the newest one of each answer, and the earlier ones on it, with the gate."""
    columns = ("newest reading", "earlier readings")
    if figure.series:
        return _bars(*columns)(alt, figure)
    values = [
        {"age of the score": row["age of the score"], "counts": row["counts"], "what": name, "readings": row[name]}
        for row in figure.records()
        for name in columns
    ]
    return _gated(alt, values, dict(zip(columns, (FIRST, NEUTRAL), strict=True)), "readings")


def _gated(alt: Any, values: Records, colours: dict[str, str], count: str) -> Any:
    """Return columns by age with the line of the gate: it stands before the first age that counts."""
    order = list(dict.fromkeys(row["age of the score"] for row in values))
    colour = alt.Color("what:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), sort=None)
    axis = alt.X("age of the score:N", sort=order, axis=upright_labels(alt))
    bars = alt.Chart(alt.Data(values=values)).mark_bar().encode(x=axis, y=alt.Y(f"{count}:Q"), color=colour)
    first = next((row["age of the score"] for row in values if row["counts"]), None)
    if first is None or first == order[0]:
        return sized(alt, bars)
    gate = alt.Chart(alt.Data(values=[{"age of the score": first, "gate": "gate"}]))
    at = alt.X("age of the score:N", sort=order, bandPosition=0)
    line = gate.mark_rule(strokeWidth=2, strokeDash=[5, 3]).encode(x=at)
    word = gate.mark_text(align="left", dx=4, dy=6, baseline="top").encode(x=at, y=alt.value(0), text="gate:N")
    return sized(alt, bars + line + word)


# -- shares with intervals --------------------------------------------------------------------------------------------


def _shares(title: str, *, upright: bool = False) -> Callable[[Any, Figure], Any]:
    """Return what draws shares as points with their 95 % intervals, and the line at one half."""

    def draw(alt: Any, figure: Figure) -> Any:
        values = figure.records()
        order = _in_order(figure, "what")
        lows, highs = ([float(row[side] or 0) for row in values] for side in ("low", "high"))
        bounds = [max(0.0, min(0.45, *lows) - 0.02), min(1.0, max(0.55, *highs) + 0.02)]
        scale = alt.Scale(domain=bounds, zero=False, nice=False)
        of_share = {"title": title, "axis": alt.Axis(format=".0%", tickCount=6)}
        along = alt.X("what:N", sort=order, title="times as long", axis=upright_labels(alt))
        down = alt.Y("what:N", sort=order, title=None, axis=alt.Axis(grid=False, labelLimit=200))
        value, channel, other = (alt.Y, "y", "x") if upright else (alt.X, "x", "y")
        base = alt.Chart(alt.Data(values=values)).encode(**{other: along if upright else down})
        if figure.series:
            colour = alt.Color(f"{SERIES}:N", scale=alt.Scale(domain=list(figure.series), range=[FIRST, SECOND]))
            shape = alt.Shape(
                f"{SERIES}:N", scale=alt.Scale(domain=list(figure.series), range=["circle", "diamond"]), legend=None
            )
            offset = (alt.XOffset if upright else alt.YOffset)(f"{SERIES}:N", sort=list(figure.series))
            base = base.encode(**{f"{other}Offset": offset}, color=colour)
            points = base.mark_point(filled=True, size=70, opacity=1).encode(
                **{channel: value("share:Q", scale=scale, **of_share)}, shape=shape
            )
            lines = base.mark_rule(strokeWidth=2)
        else:
            points = base.mark_point(filled=True, size=70, opacity=1, color=FIRST).encode(
                **{channel: value("share:Q", scale=scale, **of_share)}
            )
            lines = base.mark_rule(strokeWidth=2, color=FIRST)
        lines = lines.encode(**{channel: value("low:Q", scale=scale, **of_share), f"{channel}2": "high:Q"})
        half = alt.Chart(alt.Data(values=[{"half": 0.5}])).mark_rule(strokeDash=[4, 3], opacity=0.7)
        half = half.encode(**{channel: value("half:Q", scale=scale, **of_share)})
        rows = len(order) * max(1, len(figure.series))
        return sized(alt, half + lines + points, 240 if upright else 60 + 34 * rows)

    return draw


# -- months -----------------------------------------------------------------------------------------------------------


def _months(alt: Any, figure: Figure) -> Any:
    """Counts by community and period: columns for one community, else a row of cells for each.

    A triangle is a period whose scores were read too early.
    """
    what = figure.columns[3 if figure.series else 2]
    values = [{**row, "community": label(row["community"])} for row in figure.records()]
    if figure.series:
        values = [{**row, "community": f"{label(row[SERIES], 8)}: {row['community']}"} for row in values]
    communities = list(dict.fromkeys(row["community"] for row in values))
    periods = sorted({str(row["period"]) for row in values})
    step = max(1, len(periods) // 8)
    shown = [period for number, period in enumerate(periods) if number % step == 0]
    x = alt.X("period:O", sort=periods, title=None, axis=alt.Axis(labelAngle=-40, values=shown, grid=False))
    if len(communities) == 1:
        chart = alt.Chart(alt.Data(values=values)).mark_bar(color=FIRST).encode(x=x, y=alt.Y(f"{what}:Q"))
        return sized(alt, chart + _early(alt, values, x, alt.Y(f"{what}:Q")))
    y = alt.Y("community:N", sort=communities, title=None, axis=alt.Axis(grid=False))
    filled = [row for row in values if row[what]]
    lacking = [row for row in values if not row[what]]
    opacity = alt.Opacity(
        f"{what}:Q",
        scale=alt.Scale(type="sqrt", range=[0.15, 1]),
        legend=alt.Legend(title=what, symbolFillColor=FIRST, tickCount=3, columnPadding=8),
    )
    cells = alt.Chart(alt.Data(values=filled)).mark_rect(fill=FIRST).encode(x=x, y=y, opacity=opacity)
    dots = (
        alt.Chart(alt.Data(values=lacking))
        .mark_point(shape="cross", size=14, color=NEUTRAL, filled=True)
        .encode(x=x, y=y)
    )
    return sized(alt, cells + dots + _early(alt, values, x, y), 90 + 18 * len(communities))


def _early(alt: Any, values: Records, x: Any, y: Any) -> Any:
    marked = [row for row in values if row.get(EARLY)]
    return alt.Chart(alt.Data(values=marked)).mark_point(shape="triangle-up", size=60, **_EARLY).encode(x=x, y=y)


_EARLY: dict[str, Any] = {"filled": True, "color": SECOND, "opacity": 1, "stroke": "var(--back)", "strokeWidth": 1}


# -- the way from posts to pairs --------------------------------------------------------------------------------------

#: Reasons of each kind that are drawn; the table has all.
_REASONS = 6


def _flow(alt: Any, figure: Figure) -> Any:
    """What is left after each step and what the step takes away, by kind; each kind has a scale of its own."""
    parts = []
    groups = list(dict.fromkeys((row.get(SERIES), row["what"]) for row in figure.records()))
    for series, kind in groups:
        rows = [row for row in figure.records() if (row.get(SERIES), row["what"]) == (series, kind)]
        values = _lumped(rows)
        order = [value["step"] for value in values]
        title = f"{kind}s" if series is None else f"{kind}s, {label(series)}"
        base = alt.Chart(alt.Data(values=values), title=alt.Title(title, anchor="start", color=TEXT, fontSize=LETTERS))
        y = alt.Y(
            "step:N", sort=order, title=None, axis=alt.Axis(grid=False, labelLimit=170, minExtent=150, maxExtent=150)
        )
        colour = alt.Color("kept:N", legend=None, scale=alt.Scale(domain=["left", "left out"], range=[FIRST, NEUTRAL]))
        x = alt.X("from:Q", title=None, axis=alt.Axis(labelExpr="format(datum.value, '~s')", tickCount=4))
        bars = base.mark_bar().encode(x=x, x2="to:Q", y=y, color=colour)
        parts.append(bars.properties(width=WIDTH - 190, height=18 * len(values)))
    return alt.vconcat(*parts, spacing=12)


def _lumped(rows: Records) -> Records:
    """Return the steps as bars from and to a count; beyond some, the smaller reasons are one bar."""
    first, *steps, last = rows
    if len(steps) > _REASONS + 1:
        largest = sorted(steps, key=lambda row: -number_in(row["left out"]))[:_REASONS]
        rest = [row for row in steps if row not in largest]
        out = sum(number_in(row["left out"]) for row in rest)
        steps = [*(row for row in steps if row in largest), {"step": f"{len(rest)} other reasons", "left out": out}]
    values: Records = [{"step": first["step"], "from": 0, "to": first["left"], "kept": "left"}]
    left = number_in(first["left"])
    for row in steps:
        after = left - number_in(row["left out"])
        values.append({"step": row["step"], "from": after, "to": left, "kept": "left out"})
        left = after
    return [*values, {"step": last["step"], "from": 0, "to": last["left"], "kept": "left"}]


_DRAWINGS: dict[str, Callable[[Any, Figure], alt.TopLevelMixin | Any]] = {
    "months": _months,
    "ratio": _bars("pairs"),
    "apart": _bars("later answer preferred", "earlier or same time"),
    "age": _ages,
    "length": _bars("preferred answers", "other answers", apart=True),
    "gap": _shares("longer answer wins", upright=True),
    "baselines": _shares("agrees with the label"),
    "balance": _shares("share"),
    "confidence": _bars("strict", "extended"),
    "splits": _bars("rows"),
    "arrival": draw_arrival,
    "coverage": _months,
    "observed": _observed,
    "readings": _bars("answers"),
    "presets": draw_presets,
    "flow": _flow,
}
