"""Rows of every format as people read them: a question, the preferred answer, the other answer, and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from shp_miner.export.formats import SEPARATOR
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
    return Shown(community, split, _PARTS[form](row), _facts(row), row.get("url"), dict(row))


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


def _pairs(row: Row) -> list[Part]:
    better = "1" if row["preferred"] == 1 else "2"
    worse = "2" if better == "1" else "1"
    return [Part("Question", row["question"], row["post_score"])] + [
        Part(label, row[f"answer{side}"], row[f"score{side}"], row[f"created_at{side}"])
        for label, side in (("Preferred", better), ("Other", worse))
    ]


def _shp(row: Row) -> list[Part]:
    better, worse = ("A", "B") if row["labels"] == 1 else ("B", "A")
    return [Part("Question", row["history"])] + [
        Part(
            label,
            row[f"human_ref_{side}"],
            row[f"score_{side}"],
            datetime.fromtimestamp(row[f"created_at_utc_{side}"], UTC),
        )
        for label, side in (("Preferred", better), ("Other", worse))
    ]


def _trl(row: Row) -> list[Part]:
    return [
        Part("Question", row["prompt"][0]["content"]),
        Part("Preferred", row["chosen"][0]["content"], row["score_chosen"]),
        Part("Other", row["rejected"][0]["content"], row["score_rejected"]),
    ]


def _chat_pairs(row: Row) -> list[Part]:
    return [
        Part("Question", row["chosen"][0]["content"]),
        Part("Preferred", row["chosen"][-1]["content"], row["score_chosen"]),
        Part("Other", row["rejected"][-1]["content"], row["score_rejected"]),
    ]


def _prompt(row: Row) -> Part:
    return Part("Question", row["prompt"].removesuffix(SEPARATOR))


def _trl_text(row: Row) -> list[Part]:
    return [_prompt(row), Part("Preferred", row["chosen"]), Part("Other", row["rejected"])]


def _kto(row: Row) -> list[Part]:
    return [_prompt(row), Part("Wanted answer" if row["label"] else "Unwanted answer", row["completion"])]


def _sft(row: Row) -> list[Part]:
    return [_prompt(row), Part("Best answer", row["completion"])]


def _ranking(row: Row) -> list[Part]:
    ranked = sorted(row["answers"], key=lambda answer: answer["rank"])
    return [Part("Question", row["question"])] + [
        Part(f"Rank {answer['rank']}", answer["text"], answer["score"]) for answer in ranked
    ]


def _bandit(row: Row) -> list[Part]:
    return [Part("State", row["state"]), Part(f"Action, reward {row['reward']:+.2f}", row["action"])]


_PARTS: dict[str, Callable[[Row], list[Part]]] = {
    "pairs": _pairs,
    "shp": _shp,
    "trl": _trl,
    "chat-pairs": _chat_pairs,
    "trl-text": _trl_text,
    "kto": _kto,
    "ranking": _ranking,
    "sft": _sft,
    "bandit": _bandit,
}
