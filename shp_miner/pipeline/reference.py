"""The reference of the pipeline file as data, for docs/pipelines.md and `shp-miner init`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import Struct

from shp_miner.clean.cleaning import PROFILE, PROFILES, Cleaning
from shp_miner.pipeline.keys import Pipeline
from shp_miner.rules.fields import PARAMETERS, Field, fields
from shp_miner.rules.presets import PRESETS
from shp_miner.units import Duration, Seconds, Size, written_duration, written_size


class Key(Struct, frozen=True):
    """A key of the file, described in words: `table` is "" at the top, "[[source]]" for a list of tables."""

    table: str
    name: str
    type: str
    default: str
    example: str
    description: str


#: The types of values in words.
_KINDS = {
    str: "string", bool: "true or false", int: "whole number", float: "number", dict: "table", datetime: "time",
    Duration: "duration", Seconds: "duration", Size: "size",
}  # fmt: skip

#: Examples for keys of [rule] that have no default to show.
_RULE_EXAMPLES = {
    "min_post_score": 5,
    "keep_edited_posts": True,
    "since": date(2022, 1, 1),
    "until": date(2023, 1, 1),
    "min_answer_score": 1,
    "observe_at": "2d",
    "max_apart": "1h",
    "min_ratio": 2.0,
    "and": "accepted",
    "or": "accepted",
    "accepted_over": "all",
    "min_confidence": 0.8,
    "max_pairs_per_post": 5,
}


def tables() -> dict[str, str]:
    """Return the description of each table of the file, by its heading; "" is the top."""
    found = {"": "The top of the file."}
    for field in fields(Pipeline).values():
        if field.table is not None:
            found[_heading(field)] = (field.table.__doc__ or "").strip()
        elif field.key == "rule":
            found["[rule]"] = "The rule that prefers one of two answers, and its parameters."
        elif field.key == "clean":
            found["[clean]"] = "Which answers and pairs are left out for their texts, and what is edited in them."
    return found


def reference() -> list[Key]:
    """Return every key of the file, in order."""
    keys = []
    for field in fields(Pipeline).values():
        if field.table is not None:
            keys += [_key(_heading(field), inner, inner.example) for inner in fields(field.table).values()]
        elif field.key == "rule":
            keys.append(Key("[rule]", "name", "one of " + ", ".join(PRESETS), '"shp"', '"calibrated"', "The rule."))
            keys += [_key("[rule]", inner, _RULE_EXAMPLES.get(inner.key)) for inner in PARAMETERS.values()]
        elif field.key == "clean":
            profiles = "one of " + ", ".join(PROFILES)
            keys.append(Key("[clean]", PROFILE, profiles, '"none"', '"standard"', "The profile."))
            own = (inner for inner in fields(Cleaning).values() if inner.key != "name")
            keys += [_key("[clean]", inner, inner.example) for inner in own]
        else:
            keys.append(_key("", field, field.example))
    return keys


def _heading(field: Field) -> str:
    return f"[[{field.key}]]" if field.many else f"[{field.key}]"


def _key(table: str, field: Field, example: Any) -> Key:
    return Key(table, field.key, _type(field), _toml(field.default), _toml(example), field.description)


def _type(field: Field) -> str:
    if field.choices:
        return ("list out of " if field.many else "one of ") + ", ".join(field.choices)
    if field.in_file:
        return "path of a file, or a list of its lines"
    return f"list of {_KINDS[field.kind]}s" if field.many else _KINDS[field.kind]


def _toml(value: Any) -> str:
    """Return a value as TOML; "" for None."""
    match value:
        case None:
            return ""
        case msgspec.NODEFAULT:
            return "required"
        case bool():
            return str(value).lower()
        case Duration():
            text = f'"{written_duration(value)}"'
        case Size():
            text = f'"{written_size(value)}"'
        case list() | tuple():
            text = "[" + ", ".join(_toml(one) for one in value) + "]"
        case dict():
            text = "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
        case str():
            text = f'"{value}"'
        case _:
            text = str(value)
    return text
