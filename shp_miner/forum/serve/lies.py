"""Records with values that no honest platform sends, in the answers of any platform or the records of any file.

Each lie changes values of one kind everywhere, by their type and name, so that it fits every platform and file, later
ones too. `told(NAME)` is a fault for `Faults.add`; `lying(NAME, record, dice)` changes one record (an object as JSON
gives it).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from shp_miner.forum.serve.faults import Fault, change_body

#: What fields are called that hold a number people gave, a time, an id, a text, a name, a count of items.
_SCORE = re.compile(r"score|ups|downs|votes?$|like_count|actions_summary|count$|reputation", re.IGNORECASE)
_TIME = re.compile(r"created|updated|edited|retrieved|timestamp|published|_at$|_date$|_utc$|ISO$|date$", re.IGNORECASE)
_ID = re.compile(r"^(id|pid|tid|uid|name|.*_id|post_number)$", re.IGNORECASE)
_TEXT = re.compile(r"body|cooked|content|text|raw|markdown", re.IGNORECASE)
_NAME = re.compile(r"author|user|title|community|subreddit|slug|category|display_name|owner", re.IGNORECASE)
_COUNT = re.compile(r"count$|posts_count|stream|comments?$|total", re.IGNORECASE)

Changed = Callable[[str, Any], Any]

_KEEP = object()


def _number(pattern: re.Pattern[str], to: Any) -> Changed:
    """Numbers under such a key become something else; text that holds a number alike."""

    def change(key: str, value: Any) -> Any:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return to if fits and pattern.search(key) else _KEEP

    return change


def _string(pattern: re.Pattern[str], to: Any) -> Changed:
    def change(key: str, value: Any) -> Any:
        return to if isinstance(value, str) and pattern.search(key) else _KEEP

    return change


def _any(pattern: re.Pattern[str], to: Any) -> Changed:
    def change(key: str, value: Any) -> Any:
        return to if isinstance(value, str | int | float | bool) and pattern.search(key) else _KEEP

    return change


def _whole(number: int) -> msgspec.Raw:
    """A number of any size, as JSON may have it."""
    return msgspec.Raw(str(number).encode())


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


#: The lies by name. Texts that a terminal or a file system might obey are among them.
LIES: dict[str, Changed] = {
    "score-too-large": _number(_SCORE, _whole(1 << 63)),
    "score-far-too-large": _number(_SCORE, _whole(10**60)),
    "score-too-small": _number(_SCORE, _whole(-(1 << 63) - 1)),
    "score-a-fraction": _number(_SCORE, 0.5),
    "score-a-text": _number(_SCORE, "many"),
    "score-null": _number(_SCORE, None),
    "time-of-year-1": _any(_TIME, "0001-01-01T00:00:00Z"),
    "time-of-year-9999": _any(_TIME, "9999-12-31T23:59:59Z"),
    "time-too-large": _any(_TIME, 10**17),
    "time-negative": _any(_TIME, -(10**12)),
    "time-a-text": _any(_TIME, "yesterday"),
    "time-null": _any(_TIME, None),
    "count-too-large": _number(_COUNT, _whole(1 << 70)),
    "id-of-another": _any(_ID, 424242),
    "id-null": _any(_ID, None),
    "id-a-path": _string(_ID, "../../etc/passwd"),
    "text-null": _string(_TEXT, None),
    "text-a-number": _string(_TEXT, 7),
    "text-of-controls": _string(_TEXT, "\x1b]0;owned\x07\x00\u202eabc\ufeff\ud7ff"),
    "text-of-brackets": _string(_TEXT, "<" * 40_000),
    "text-deep": _string(_TEXT, "<b>" * 20_000),
    "name-null": _string(_NAME, None),
    "name-of-controls": _string(_NAME, "\x1b[31mred\x1b[0m\nline\rback"),
    "name-empty": _string(_NAME, ""),
    "name-long": _string(_NAME, "n" * 100_000),
    "values-deep": _any(_NAME, _nested(400)),
    "values-objects": _any(_SCORE, {"a": {"b": 1}}),
    "everything-null": lambda _, value: None if isinstance(value, str | int | float | bool) else _KEEP,
}


def told(name: str, share: float = 0.4, seed: int = 0) -> Fault:
    """A fault: of the objects in an answer a share tells the lie of that name; the others are as they were."""
    change = LIES[name]

    def spoil(body: Any) -> Any:
        return _changed(body, change, random.Random(f"{seed} {name}"), share)  # noqa: S311  (a test's dice)

    return Fault(f"lie:{name}", spoil=change_body(spoil))


def lying(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a file that tells the lie of that name wherever it can."""
    changed: dict[str, Any] = _changed(dict(record), LIES[name], random.Random(0), 1.0)  # noqa: S311
    return changed


def _changed(value: Any, change: Changed, dice: random.Random, share: float) -> Any:
    if isinstance(value, list):
        return [_changed(part, change, dice, share) for part in value]
    if not isinstance(value, dict):
        return value
    lies = dice.random() < share
    found = {}
    for key, part in value.items():
        other = change(str(key), part) if lies else _KEEP
        found[key] = _changed(part, change, dice, share) if other is _KEEP else other
    return found
