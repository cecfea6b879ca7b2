"""A small picture of a thread: the score of each answer at each time when it was read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from shp_miner.pages.markup import safe
from shp_miner.show.thread import ShownAnswer

#: The picture in its own units, and the room of its axes.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 220, 64, 40, 12, 28

#: Answers that are drawn, those of the highest scores; more lines cannot be told apart.
MOST = 12

#: How a line is dashed, so that no line is known by its colour alone.
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_COLOURS = ("--first", "--second", "--third")

#: Units between two numbers at the ends of lines.
_APART = 13

#: Scores at which the axis has a number; it is logarithmic, because scores of one thread differ by orders of magnitude.
_TICKS = (0, *(10**power for power in range(1, 13)))


def score_chart(answers: Sequence[ShownAnswer], title: str) -> str:
    """Return the picture as an SVG element, "" if no score was read at a known time. `title` is plain text."""
    drawn = sorted(answers, key=lambda answer: (-(answer.score or 0), answer.number))[:MOST]
    points = {answer.number: _readings(answer) for answer in sorted(drawn, key=lambda answer: answer.number)}
    points = {number: read for number, read in points.items() if read}
    if not points:
        return ""
    times = [time for read in points.values() for time, _ in read]
    scores = [score for read in points.values() for _, score in read]
    low, high = min([0, *scores]), max([1, *scores])
    x, y = (
        _scale(min(times), max(times), _LEFT, _WIDTH - _RIGHT),
        _scale(_bent(low), _bent(high), _HEIGHT - _BOTTOM, _TOP),
    )
    lines = [
        _line(place, number, [(x(time), y(_bent(score))) for time, score in read])
        for place, (number, read) in enumerate(points.items())
    ]
    labels = _labels({number: y(_bent(read[-1][1])) for number, read in points.items()})
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{safe(title)}">'
        f"{_axes(min(times), max(times), low, high, y)}{''.join(lines)}{labels}</svg>"
    )


def _readings(answer: ShownAnswer) -> list[tuple[float, int]]:
    return [
        (reading.observed_at.timestamp(), reading.score)
        for reading in answer.readings
        if reading.observed_at is not None and reading.score is not None
    ]


def _bent(score: float) -> float:
    return math.copysign(math.log1p(abs(score)), score)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low
    return lambda value: round(start + (end - start) * ((value - low) / span if span else 0.5), 1)


def _line(place: int, number: int, points: Sequence[tuple[float, float]]) -> str:
    colour, dash = f"var({_COLOURS[place % len(_COLOURS)]})", _DASHES[place // len(_COLOURS) % len(_DASHES)]
    path = " ".join(f"{across},{down}" for across, down in points)
    dots = "".join(f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"/>' for across, down in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
    return f'<g data-answer="{number}">{line}{dots}</g>'


def _labels(ends: dict[int, float]) -> str:
    """The numbers of the answers at the ends of their lines, moved apart where they would lie on each other."""
    placed: list[tuple[int, float]] = []
    last = float(_TOP - _APART)
    for number, down in sorted(ends.items(), key=lambda end: end[1]):
        last = max(down + 4, last + _APART)
        placed.append((number, last))
    lowest, texts = float(_HEIGHT - _BOTTOM + 4 + _APART), []
    for number, down in reversed(placed):  # what does not fit above the axis goes up again
        lowest = min(down, lowest - _APART)
        texts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{round(lowest, 1)}">{number}</text>')
    return "".join(texts)


def _axes(first: float, last: float, low: int, high: int, y: Callable[[float], float]) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    days = [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in (first, last)]
    shown = [low, high]
    for tick in _TICKS:
        if low < tick < high and all(abs(y(_bent(tick)) - y(_bent(other))) >= _APART for other in shown):
            shown.append(tick)
    ticks = "".join(
        f'<text x="{_LEFT - 6}" y="{round(y(_bent(score)) + 4, 1)}" text-anchor="end">{score:,}</text>'
        for score in shown
    )
    until = f'<text x="{right}" y="{_HEIGHT - 8}" text-anchor="end">{days[1]}</text>' if last > first else ""
    return (
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="var(--line)"/>'
        f"{ticks}"
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">read {days[0]}</text>{until}'
    )
