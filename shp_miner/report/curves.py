"""Two pictures of a report: votes by the order of arrival with the fitted curve, and pairs by preset."""

from __future__ import annotations

from typing import Any

from shp_miner.report.drawing import FIRST, NEUTRAL, SECOND, sized, upright_labels
from shp_miner.report.figure import SERIES, Figure

#: Factors that the axis of votes names.
_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]


def draw_arrival(alt: Any, figure: Figure) -> Any:
    """Votes by the order of arrival, as points, with what the fit expects as a line; both as multiples."""
    values = figure.records()
    order = list(dict.fromkeys(row["order of arrival"] for row in values))
    x = alt.X("order of arrival:N", sort=order, axis=upright_labels(alt))
    scale = alt.Scale(type="log", nice=False)
    axis = alt.Axis(values=_TICKS, format="~r")

    def height(column: str) -> Any:
        return alt.Y(f"{column}:Q", title="times a typical answer", scale=scale, axis=axis)

    base = alt.Chart(alt.Data(values=values))
    if figure.series:
        colour = alt.Color(f"{SERIES}:N", scale=alt.Scale(domain=list(figure.series), range=[FIRST, SECOND]))
        line = base.mark_line(strokeWidth=2).encode(x=x, y=height("fitted"), color=colour)
        points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, y=height("votes"), color=colour)
    else:
        named = [{**row, "what": name, "height": row[name]} for row in values for name in ("votes", "fitted")]
        colour = alt.Color("what:N", scale=alt.Scale(domain=["votes", "fitted"], range=[FIRST, SECOND]))
        of = {
            name: alt.Chart(alt.Data(values=[row for row in named if row["what"] == name]))
            for name in ("votes", "fitted")
        }
        line = of["fitted"].mark_line(strokeWidth=2).encode(x=x, y=height("height"), color=colour)
        points = of["votes"].mark_point(filled=True, size=70, opacity=1).encode(x=x, y=height("height"), color=colour)
    typical = alt.Chart(alt.Data(values=[{"typical": 1}])).mark_rule(strokeDash=[4, 3], opacity=0.7)
    return sized(alt, typical.encode(y=height("typical")) + line + points)


def draw_presets(alt: Any, figure: Figure) -> Any:
    """Pairs by preset; those that are confounded by design are grey."""
    values = [
        {**row, "kind": "confounded" if "confounded" in str(row["warnings"]) else "other rules"}
        for row in figure.records()
    ]
    order = list(dict.fromkeys(row["rule"] for row in values))
    y = alt.Y("rule:N", sort=order, title=None, axis=alt.Axis(grid=False, labelLimit=200))
    x = alt.X("pairs:Q", axis=alt.Axis(labelExpr="format(datum.value, '~s')", tickCount=5))
    if figure.series:
        colour = alt.Color(f"{SERIES}:N", scale=alt.Scale(domain=list(figure.series), range=[FIRST, SECOND]))
        offset = alt.YOffset(f"{SERIES}:N", sort=list(figure.series))
        chart = alt.Chart(alt.Data(values=values)).mark_bar().encode(x=x, y=y, yOffset=offset, color=colour)
        return sized(alt, chart, 60 + 34 * len(order))
    colour = alt.Color("kind:N", scale=alt.Scale(domain=["other rules", "confounded"], range=[FIRST, NEUTRAL]))
    return sized(
        alt, alt.Chart(alt.Data(values=values)).mark_bar().encode(x=x, y=y, color=colour), 60 + 22 * len(order)
    )
