"""Rows of every format as people read them: a question, the preferred answer, the other answer, and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
from msgspec import Struct

from shp_miner.export.formats import FORMATS
from shp_miner.export.sides import SIDES, sides_of
from shp_miner.units import rounded_duration

Row = Mapping[str, Any]


class Part(Struct):
    """A text of a row with its label, its score and when it was written, where the format says so."""

    label: str
    text: str
    score: int | None = None
    written_at: datetime | None = None


class Shown(Struct):
    """A row as people read it. `facts` are short phrases; `row` is the row itself as it is in the file."""

    community: str
    split: str
    parts: list[Part]
    facts: list[str] = []
    url: str | None = None
    row: dict[str, Any] = {}


def shown(form: str, row: Row, community: str, split: str) -> Shown:
    """Return a row of the named format as people read it."""
    return Shown(community, split, _parts(form, row), _facts(row), row.get("url"), dict(row))


def _facts(row: Row) -> list[str]:
    found = []
    if row.get("rule"):
        found.append(f"rule {row['rule']}")
    if row.get("confidence") is not None:
        found.append(f"confidence {row['confidence']:.2f} ({row['tier']})")
    if row.get("score_ratio") is not None:
        found.append(f"{row['score_ratio']:.1f} times the score")
    if row.get("seconds_difference") is not None:
        found.append(apart(row["seconds_difference"]))
    return found


def apart(seconds: float) -> str:
    """Return how much later or earlier than the other answer the preferred one was written."""
    if not seconds:
        return "both answers written at the same time"
    return f"preferred answer written {rounded_duration(abs(seconds))} {'later' if seconds > 0 else 'earlier'}"


def _parts(form: str, row: Row) -> list[Part]:
    sides = sides_of(form, pa.Table.from_pylist([dict(row)], schema=FORMATS[form].schema)).row(0, named=True)
    question = Part("State" if form == "bandit" else "Question", sides["question"], row.get("post_score"))
    if SIDES[form].has_both:
        return [question, *(_side(label, name, sides) for label, name in (("Preferred", "better"), ("Other", "worse")))]
    if form == "ranking":
        ranked = sorted(row["answers"], key=lambda answer: answer["rank"])
        return [question, *(Part(f"Rank {answer['rank']}", answer["text"], answer["score"]) for answer in ranked)]
    return [question, Part(_LABELS[form](row), sides["answer"])]


def _side(label: str, name: str, sides: Row) -> Part:
    return Part(label, sides[name], sides.get(f"{name}_score"), sides.get(f"{name}_at"))


#: What the answer of a row with one answer is, by format.
_LABELS: dict[str, Callable[[Row], str]] = {
    "kto": lambda row: "Wanted answer" if row["label"] else "Unwanted answer",
    "sft": lambda _: "Best answer",
    "bandit": lambda row: f"Action, reward {row['reward']:+.2f}",
}
