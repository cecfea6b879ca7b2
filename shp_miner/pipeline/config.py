"""Reading a pipeline file: taken whole or not at all.

An unknown key, a value of the wrong kind or a secret written out is an error that names the place and what to do.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from shp_miner.errors import BadInput, NotAllowed, UsageError, nearest
from shp_miner.pipeline.keys import CredentialKeys, ForgetKeys, Pipeline
from shp_miner.rules.presets import Rule, preset
from shp_miner.sources.table import ROWS
from shp_miner.units import Duration, Seconds, Size

#: Keys of a rule that a preset decides and nobody sets.
_NOT_SET = ("name", "confounded")

_SEE = "See docs/pipelines.md for what each key takes."

#: Keys of an import that only some kinds of dump take.
_IMPORT_KINDS = {
    "communities": ("reddit-dump",),
    "site": ("stackexchange-dump", "discourse-json"),
    "vote_history": ("stackexchange-dump",),
}

#: What the types are called in a TOML file.
_IN_WORDS = {
    "object": "a table", "array": "a list", "str": "a string", "int": "a whole number", "float": "a number",
    "bool": "true or false", "datetime": "a time",
}  # fmt: skip


def read(path: Path) -> Pipeline:
    """The pipeline in a TOML file, with paths made absolute. Raises BadInput that names the key and what to do."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", "`shp-miner init` writes one.") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder.", "Name the pipeline file in it.") from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is no text in UTF-8: {error.reason} at byte {error.start}.", "Save it as UTF-8."
        ) from None
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror}.", "Correct its path, or the right to read it."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is no TOML: {error}.", "See docs/pipelines.md for how to write it.") from None
    return _at(parse(data, str(path)), path.absolute().parent)


def parse(data: Mapping[str, Any], where: str = "The pipeline") -> Pipeline:
    """The pipeline in plain data. Raises BadInput; `where` names the file in sentences."""
    _known(data, Pipeline, where)
    _no_secrets(data, where)
    try:
        pipeline = msgspec.convert(data, Pipeline, dec_hook=_special)
    except msgspec.ValidationError as error:
        place, reason = _placed(str(error))
        raise BadInput(f"{where}: {place}{reason}.", _choices(place, reason) or _brackets(data) or _SEE) from None
    rules = [("rule", pipeline.rule), *((f"export.{n}.rule", one.rule) for n, one in enumerate(pipeline.exports, 1))]
    for key, table in rules:
        try:
            rule_of(table)
        except (UsageError, ValueError) as error:
            hint = error.hint if isinstance(error, UsageError) else ""
            raise BadInput(f"{where}: {key}: {error}", hint or "See docs/rules.md for what each key takes.") from None
    _fits(pipeline, where)
    return pipeline


def rule_of(*tables: Mapping[str, Any]) -> Rule:
    """The rule that tables of the file make, later ones over earlier. Raises UsageError or ValueError."""
    merged: dict[str, Any] = {}
    for table in tables:
        merged |= table
    name = merged.pop("name", "shp")
    if not isinstance(name, str):
        raise UsageError(f"its name is {name!r}, no string.", "")
    values = {}
    for key, value in merged.items():
        parameter = RULE_KEYS.get(key)
        if parameter is None:
            raise UsageError(f"there is no key {key!r}.", nearest(key, ["name", *RULE_KEYS]))
        values[parameter] = float(Duration.parse(value)) if parameter.endswith("_s") else _with_zone(value)
    return preset(name, **values)


#: The keys of [rule] and the parameters they set: lengths of time drop the unit, as the command's options do.
RULE_KEYS = {name.removesuffix("_s"): name for name in Rule.__struct_fields__ if name not in _NOT_SET}


def _with_zone(value: Any) -> Any:
    """A day or a time without a zone is UTC, as on the command line."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone comes next
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def credentials(pipeline: Pipeline, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables to set, by the names the sources read. Raises NotAllowed for the first one that is not set."""
    result = {}
    for key in CredentialKeys.__struct_fields__:
        value = getattr(pipeline.credentials, key)
        if value is not None:
            name = value[2:-1]
            if name not in environment:
                raise NotAllowed(
                    f"credentials.{key} names the environment variable {name}, which is not set.",
                    "Set it where the run is started: cron and systemd do not read your shell's files.",
                )
            result[f"SHP_MINER_{key.upper()}"] = environment[name]
    return result


# -- inside ----------------------------------------------------------------------------------------------------------


def struct_in(hint: Any) -> type[Struct] | None:
    """The table that a type stands for, alone or in a list; None for a plain value."""
    parts = [hint, *get_args(hint)]
    return next((part for part in parts if isinstance(part, type) and issubclass(part, Struct)), None)


def _known(data: Any, struct: type[Struct], where: str, path: str = "") -> None:
    """Raise BadInput for a key that `struct` has not, with the nearest that it has."""
    if not isinstance(data, Mapping):
        return  # the conversion says so
    fields = {one.encode_name: one for one in msgspec.structs.fields(struct)}
    for key, value in data.items():
        if key not in fields:
            place = f"[{path}] has" if path else "there is"
            raise BadInput(f"{where}: {place} no key {key!r}.", nearest(key, fields))
        inner = struct_in(fields[key].type)
        if inner is not None:
            for number, one in enumerate(value if isinstance(value, list) else [value], 1):
                many = f".{number}" if isinstance(value, list) else ""
                _known(one, inner, where, f"{path}.{key}{many}" if path else f"{key}{many}")


def _no_secrets(data: Any, where: str, path: tuple[str, ...] = ()) -> None:
    """Variables stand in [credentials] only: elsewhere a value would end up in manifests, logs or names of files."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if path or key != "credentials":
                _no_secrets(value, where, (*path, str(key)))
    elif isinstance(data, list):
        for one in data:
            _no_secrets(one, where, path)
    elif isinstance(data, str) and re.search(r"\$\{\w+\}", data):
        raise BadInput(
            f"{where}: {'.'.join(path)} holds a variable.",
            "Variables stand in [credentials] only; write the value here.",
        )


def _fits(pipeline: Pipeline, where: str) -> None:
    """Raise BadInput for keys that are right by themselves and do not go together."""
    for number, source in enumerate(pipeline.sources, 1):
        if source.site is None and ROWS[source.kind].runs_on_many:
            raise BadInput(f"{where}: source.{number} has no site.", f"Name it: {source.kind} runs on many.")
    for number, one in enumerate(pipeline.imports, 1):
        for key, kinds in _IMPORT_KINDS.items():
            if getattr(one, key) and one.kind not in kinds:
                raise BadInput(
                    f"{where}: import.{number}.{key} is not for {one.kind}.", f"It is for {' and '.join(kinds)}."
                )
    for number, export in enumerate(pipeline.exports, 1):
        if export.validation + export.test >= 1:
            raise BadInput(
                f"{where}: export.{number}: validation and test leave nothing for train.", "Make them less than 1."
            )
    outs = [os.path.normpath(one.out) for one in pipeline.exports]
    for out in outs:
        if outs.count(out) > 1:
            raise BadInput(f"{where}: two exports go to {out!r}.", "Give each a folder of its own.")


def _brackets(data: Mapping[str, Any]) -> str:
    """What to do where a table that may stand several times is written as one that stands once."""
    lists = [one.encode_name for one in msgspec.structs.fields(Pipeline) if get_origin(one.type) is list]
    wrong = next((name for name in lists if isinstance(data.get(name), Mapping)), None)
    return f"Write [[{wrong}]], with two brackets: there may be several." if wrong else ""


def _special(kind: type, value: Any) -> Any:
    if kind in (Duration, Seconds, Size):
        return kind.parse(value)
    raise NotImplementedError(kind)


def _placed(text: str) -> tuple[str, str]:
    """(place, reason) of msgspec's sentence."""
    reason, _, place = text.partition(" - at `$")
    place = re.sub(r"\[(\d+)\]", lambda match: f".{int(match[1]) + 1}", place.rstrip("`").lstrip("."))
    if "matching regex" in reason:
        reason = 'a secret is not written out: name a variable, like "${NAME}"'
    for name, words in _IN_WORDS.items():
        reason = reason.replace(f"`{name}`", words).replace(f"`{name} | null`", words)
    return (f"{place}: " if place else ""), reason[:1].lower() + reason[1:].rstrip(".")


def _choices(place: str, reason: str) -> str:
    """What may stand where a value is none of a few; empty for other mistakes."""
    wrong = re.fullmatch(r"invalid enum value '(.*)'", reason)
    if wrong is None:
        return ""
    table, *keys = [part for part in place.rstrip(": ").split(".") if not part.isdigit()]
    fields = {one.encode_name: one.type for one in msgspec.structs.fields(Pipeline)}
    struct = struct_in(fields[table])
    assert struct is not None
    hint = next(one.type for one in msgspec.structs.fields(struct) if one.encode_name == keys[-1])
    return nearest(wrong[1], _literals(hint))


def _literals(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) if not isinstance(part, Meta | str) for value in _literals(part)]


def _at(pipeline: Pipeline, folder: Path) -> Pipeline:
    """The same with every path absolute."""

    def place(text: str) -> str:
        return os.path.normpath(folder / Path(text).expanduser())

    imports = [msgspec.structs.replace(one, paths=[place(path) for path in one.paths]) for one in pipeline.imports]
    exports = [msgspec.structs.replace(one, out=place(one.out)) for one in pipeline.exports]
    forget, log = pipeline.forget, pipeline.log
    return msgspec.structs.replace(
        pipeline,
        store=place(pipeline.store),
        imports=imports,
        exports=exports,
        forget=forget if forget.file is None else ForgetKeys(file=place(forget.file)),
        log=log if log.metrics is None else msgspec.structs.replace(log, metrics=place(log.metrics)),
    )
