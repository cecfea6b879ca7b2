"""The reference of the pipeline file as data, for docs/pipelines.md and `shp-miner init`."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from shp_miner.pipeline.config import RULE_KEYS, struct_in
from shp_miner.pipeline.keys import Pipeline
from shp_miner.rules.presets import PRESETS, Rule
from shp_miner.units import Duration, Seconds, Size, written_duration


class Key(Struct, frozen=True):
    """A key of the file, described in words: `table` is "" at the top, "[[source]]" for a list of tables."""

    table: str
    name: str
    type: str
    default: str
    example: str
    description: str


#: Examples for keys of [rule] that have no default to show.
_RULE_EXAMPLES = {
    "min_post_score": "5",
    "keep_edited_posts": "true",
    "since": "2022-01-01",
    "until": "2023-01-01",
    "min_answer_score": "1",
    "observe_at": '"2d"',
    "max_apart": '"1h"',
    "min_ratio": "2.0",
    "min_confidence": "0.8",
    "max_pairs_per_post": "5",
}


def tables() -> dict[str, str]:
    """Return the description of each table of the file, by its heading; "" is the top."""
    found = {"": "The top of the file."}
    for one in msgspec.structs.fields(Pipeline):
        inner = struct_in(one.type)
        heading = f"[[{one.encode_name}]]" if get_origin(one.type) is list else f"[{one.encode_name}]"
        if inner is not None:
            found[heading] = (inner.__doc__ or "").strip()
        elif one.encode_name == "rule":
            found[heading] = "The rule that prefers one of two answers, and its parameters."
    return found


def reference() -> list[Key]:
    """Return every key of the file, in order."""
    keys = []
    for name, hint in get_type_hints(Pipeline, include_extras=True).items():
        shown = {"sources": "source", "imports": "import", "exports": "export"}.get(name, name)
        inner = struct_in(hint)
        if inner is not None:
            table = f"[[{shown}]]" if get_origin(hint) is list else f"[{shown}]"
            keys += list(_keys_of(inner, table))
        elif name == "rule":
            keys.append(Key("[rule]", "name", "one of " + ", ".join(PRESETS), '"shp"', '"calibrated"', "The rule."))
            keys += list(_rule_reference())
        else:
            keys.append(_key("", shown, hint, getattr(Pipeline(), name)))
    return keys


def _keys_of(struct: type[Struct], table: str) -> Iterator[Key]:
    defaults = {one.name: one for one in msgspec.structs.fields(struct)}
    for name, hint in get_type_hints(struct, include_extras=True).items():
        one = defaults[name]
        default = one.default_factory() if callable(one.default_factory) else one.default
        yield _key(table, name, hint, default)


def _rule_reference() -> Iterator[Key]:
    shp = PRESETS["shp"]
    for key, parameter in RULE_KEYS.items():
        hint = get_type_hints(Rule, include_extras=True)[parameter]
        described = next(meta.description for meta in hint.__metadata__ if getattr(meta, "description", None))
        default = getattr(shp, parameter)
        if parameter.endswith("_s"):
            kind, default = "duration", None if default is None else Duration(default)
        else:
            kind = _type(hint)
        yield Key("[rule]", key, kind, _toml(default), _RULE_EXAMPLES.get(key, ""), described)


def _key(table: str, name: str, hint: Any, default: Any) -> Key:
    metas = [meta for meta in getattr(hint, "__metadata__", ()) if getattr(meta, "description", None)]
    example = _toml(metas[0].examples[0])
    return Key(table, name, _type(hint), _toml(default), example, metas[0].description)


def _type(hint: Any) -> str:
    if hasattr(hint, "__metadata__"):
        return _type(get_args(hint)[0])
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(part) for part in get_args(hint) if part is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(get_args(hint))
    if origin is list:
        part = _type(get_args(hint)[0])
        return f"list out of {part.removeprefix('one of ')}" if part.startswith("one of ") else f"list of {part}s"
    if origin is dict:
        return "table"
    names = {str: "string", bool: "true or false", int: "whole number", float: "number", Seconds: "duration"}
    return names.get(hint, getattr(hint, "__name__", "time").lower().replace("datetime", "time"))


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
            text = f'"{value / 1e9:g}GB"'
        case list():
            text = "[" + ", ".join(_toml(one) for one in value) + "]"
        case dict():
            text = "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
        case str():
            text = f'"{value}"'
        case _:
            text = str(value)
    return text
