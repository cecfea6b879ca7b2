"""Reads and checks a pipeline file.

An unknown key, a value of the wrong type or a literal secret is an error that names the key and what to do.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from shp_miner.clean.cleaning import PROFILE, Cleaning, clean_profile
from shp_miner.errors import BadInput, NotAllowed, UsageError, likely, nearest_name
from shp_miner.export.listed import values_in_file
from shp_miner.paths import expanded, is_remote, whole
from shp_miner.pipeline.keys import CredentialKeys, ForgetKeys, Pipeline
from shp_miner.rules.fields import PARAMETERS, fields
from shp_miner.rules.presets import Rule, preset
from shp_miner.sources.table import ROWS
from shp_miner.units import Duration, Seconds, Size

_SEE = "`shp-miner docs pipelines` lists the values of each key."

#: Keys of an import that only some kinds of dump take.
_IMPORT_KINDS = {
    "communities": ("reddit-dump",),
    "site": ("stackexchange-dump", "discourse-json", "threads"),
    "vote_history": ("stackexchange-dump",),
    "map": ("table",),
    "utc": ("threads",),
}

#: Names of the types for people who write TOML.
_IN_WORDS = {
    "object": "a table", "array": "a list", "str": "a string", "int": "a whole number", "float": "a number",
    "bool": "true or false", "datetime": "a time",
}  # fmt: skip


def read(path: Path) -> Pipeline:
    """Return the pipeline in a TOML file, with absolute paths.

    Raises UsageError if there is no file, and BadInput, which names the key and what to do.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{whole(path)} does not exist.", "Correct the path, or write the file with `shp-miner init`."
        ) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, not a pipeline file.", "Name the pipeline file in it.") from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not valid UTF-8: {error.reason} at byte {error.start}.", "Save the file as UTF-8."
        ) from None
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror}.", "Correct the path, or allow your user to read the file."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(
            f"{path} is not valid TOML: {error}.", "`shp-miner docs pipelines` shows how to write it."
        ) from None
    pipeline = parse(data, str(path))
    try:
        return _at(pipeline, path.absolute().parent)
    except UsageError as error:
        raise BadInput(f"{path}: {error.message}", error.hint) from None


def parse(data: Mapping[str, Any], where: str = "The pipeline") -> Pipeline:
    """Return the pipeline in plain data. Raises BadInput; `where` names the file in its message."""
    _known(data, Pipeline, where)
    _no_secrets(data, where)
    try:
        pipeline = msgspec.convert(data, Pipeline, dec_hook=_special)
    except msgspec.ValidationError as error:
        place, reason = _placed(str(error))
        raise BadInput(f"{where}: {place}{reason}.", _choices(place, reason) or _brackets(data) or _SEE) from None
    for key, table in _tables("rule", pipeline):
        try:
            rule_of(table)
        except (UsageError, ValueError) as error:
            hint = error.hint if isinstance(error, UsageError) else ""
            raise BadInput(
                f"{where}: {key}: {error}", hint or "`shp-miner docs rules` lists the values of each key."
            ) from None
    for key, table in _tables("clean", pipeline):
        try:
            _cleaning(table, lambda _: ())
        except UsageError as error:
            raise BadInput(
                f"{where}: {key}: {error.message}",
                error.hint or "`shp-miner docs cleaning` lists the values of each key.",
            ) from None
    _fits(pipeline, where)
    return pipeline


def rule_of(*tables: Mapping[str, Any]) -> Rule:
    """Return the rule of some tables of the file; later ones override earlier ones. Raises UsageError or ValueError."""
    merged: dict[str, Any] = {}
    for table in tables:
        merged |= table
    name = merged.pop("name", "shp")
    if not isinstance(name, str):
        raise UsageError(f"its name is {name!r}, not a string.", "")
    values = {}
    for key, value in merged.items():
        if key not in PARAMETERS:
            raise UsageError(f"there is no key {key!r}.", nearest_name(key, ["name", *PARAMETERS]))
        parameter = PARAMETERS[key]
        values[parameter.name] = _length(key, value) if parameter.kind is Duration else _with_zone(value)
    return preset(name, **values)


def cleaning_of(*tables: Mapping[str, Any]) -> Cleaning:
    """Return what some tables of the file clean; later ones override earlier ones. Raises UsageError or BadInput.

    Files that are named, such as a list of bots, are read.
    """
    merged: dict[str, Any] = {}
    for table in tables:
        merged |= table
    return _cleaning(merged, lambda path: values_in_file(Path(path)))


def _cleaning(table: Mapping[str, Any], values: Callable[[str], tuple[str, ...]]) -> Cleaning:
    profile = table.get(PROFILE, "none")
    own = {key: value for key, value in table.items() if key != PROFILE}
    for key, field in fields(Cleaning).items():
        if field.in_file and isinstance(own.get(key), str):
            own[key] = values(own[key])
    if not isinstance(profile, str):
        raise UsageError(f"its profile is {profile!r}, not a string.", "")
    known = [PROFILE, *(key for key in fields(Cleaning) if key != "name")]
    for key in own:
        if key not in known:
            raise UsageError(f"there is no key {key!r}.", nearest_name(key, known))
    return clean_profile(profile, **own)


def _length(key: str, value: Any) -> float:
    try:
        return float(Duration.parse(value))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _with_zone(value: Any) -> Any:
    """Return a day or a time without a zone as UTC, as on the command line."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone comes next
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def credentials(pipeline: Pipeline, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the values of credentials, by the variables that the sources read. Raises NotAllowed if one is not set."""
    result = {}
    for key in CredentialKeys.__struct_fields__:
        value = getattr(pipeline.credentials, key)
        if value is not None:
            name = value[2:-1]
            if name not in environment:
                raise NotAllowed(
                    f"credentials.{key} names the environment variable {name}, which is not set.",
                    "Set it where the run starts: cron and systemd do not read your shell's files.",
                )
            result[f"SHP_MINER_{key.upper()}"] = environment[name]
    return result


def _tables(name: str, pipeline: Pipeline) -> list[tuple[str, dict[str, Any]]]:
    """The table of a name and those of the exports that override it, by their keys."""
    own = ((f"export.{number}.{name}", getattr(one, name)) for number, one in enumerate(pipeline.exports, 1))
    return [(name, getattr(pipeline, name)), *own]


# -- inside ----------------------------------------------------------------------------------------------------------


def _known(data: Any, struct: type[Struct], where: str, path: str = "") -> None:
    """Raise BadInput for a key that `struct` does not have; the hint names the nearest key."""
    if not isinstance(data, Mapping):
        return  # the conversion says so
    there = fields(struct)
    for key, value in data.items():
        if key not in there:
            place = f"[{path}] has" if path else "there is"
            raise BadInput(f"{where}: {place} no key {key!r}.", _of_another(key, struct) or nearest_name(key, there))
        inner = there[key].table
        if inner is not None:
            for number, one in enumerate(value if isinstance(value, list) else [value], 1):
                many = f".{number}" if isinstance(value, list) else ""
                _known(one, inner, where, f"{path}.{key}{many}" if path else f"{key}{many}")


def _of_another(key: str, struct: type[Struct]) -> str:
    """Return a hint with the tables that have this key; "" if a key of `struct` is meant, or none has it."""
    if likely(key, fields(struct)):
        return ""
    having = [
        f"{_table(name)} ({(one.table.__doc__ or '').partition('.')[0].partition(';')[0]})"
        for name, one in fields(Pipeline).items()
        if one.table is not None and key in fields(one.table)
    ]
    having += ["[rule] (who wins, and which items take part)"] if key in PARAMETERS else []
    having += ["[clean] (which texts are left out)"] if key in fields(Cleaning) and key != "name" else []
    return f"It is a key of {', and of '.join(having)}: write it below that heading." if having else ""


def _table(name: str) -> str:
    """Return the heading of a table of the file."""
    return f"[[{name}]]" if fields(Pipeline)[name].many else f"[{name}]"


def _no_secrets(data: Any, where: str, path: tuple[str, ...] = ()) -> None:
    """Raise BadInput for a variable outside [credentials]: its value would get into manifests, logs or file names."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if path or key != "credentials":
                _no_secrets(value, where, (*path, str(key)))
    elif isinstance(data, list):
        for one in data:
            _no_secrets(one, where, path)
    elif isinstance(data, str) and re.search(r"\$\{\w+\}", data):
        raise BadInput(
            f"{where}: {'.'.join(path)} contains a variable.",
            "Variables are allowed in [credentials] only; write the value here.",
        )


def _fits(pipeline: Pipeline, where: str) -> None:
    """Raise BadInput for keys that are valid alone but not together."""
    for number, source in enumerate(pipeline.sources, 1):
        if source.site is None and ROWS[source.kind].runs_on_many:
            raise BadInput(f"{where}: source.{number} has no site.", f"Add `site`: {source.kind} has many sites.")
    for number, one in enumerate(pipeline.imports, 1):
        for key, kinds in _IMPORT_KINDS.items():
            if getattr(one, key) and one.kind not in kinds:
                raise BadInput(
                    f"{where}: import.{number}.{key} is not for {one.kind}.",
                    f"Remove the key: it is for {' and '.join(kinds)} only.",
                )
        if one.kind == "table" and one.map is None:
            raise BadInput(
                f"{where}: import.{number} has no map.",
                'Add `map = "map.toml"`; `shp-miner import table FILES --guess` proposes the map.',
            )
    for number, export in enumerate(pipeline.exports, 1):
        if export.validation + export.test >= 1:
            raise BadInput(
                f"{where}: export.{number}: validation and test leave nothing for train.",
                "Make their sum less than 1.",
            )
        if not export.decontaminate and (export.decontaminate_columns or export.decontaminate_preset != "default"):
            raise BadInput(
                f"{where}: export.{number} has no evaluation set to screen for.",
                "Name its file: `decontaminate = [FILE]`.",
            )
    outs = [os.path.normpath(one.out) for one in pipeline.exports]
    for out in outs:
        if outs.count(out) > 1:
            raise BadInput(f"{where}: two exports write to {out!r}.", "Give each export its own folder.")


def _brackets(data: Mapping[str, Any]) -> str:
    """Return a hint if a list of tables is written as a single table, else ""."""
    lists = (key for key, field in fields(Pipeline).items() if field.many)
    wrong = next((key for key in lists if isinstance(data.get(key), Mapping)), None)
    return f"Write [[{wrong}]] with two brackets: a file may have several." if wrong else ""


def _special(kind: type, value: Any) -> Any:
    if kind in (Duration, Seconds, Size):
        return kind.parse(value)
    raise NotImplementedError(kind)


def _placed(text: str) -> tuple[str, str]:
    """Return (key, reason) of msgspec's sentence."""
    reason, _, place = text.partition(" - at `$")
    place = re.sub(r"\[(\d+)\]", lambda match: f".{int(match[1]) + 1}", place.rstrip("`").lstrip("."))
    if "matching regex" in reason:
        reason = 'a literal secret is not allowed: name a variable, for example "${NAME}"'
    for name, words in _IN_WORDS.items():
        reason = reason.replace(f"`{name}`", words).replace(f"`{name} | null`", words)
    return (f"{place}: " if place else ""), reason[:1].lower() + reason[1:].rstrip(".")


def _choices(place: str, reason: str) -> str:
    """Return a hint with the allowed values for an invalid choice; "" for other mistakes."""
    if reason == "expected a list, got a string":
        return f"Write it in brackets, even a single value: {place.rstrip(': ').rpartition('.')[2]} = [...]."
    wrong = re.fullmatch(r"invalid enum value '(.*)'", reason)
    if wrong is None:
        return ""
    table, *keys = [part for part in place.rstrip(": ").split(".") if not part.isdigit()]
    struct = fields(Pipeline)[table].table
    assert struct is not None
    here = fields(struct)[keys[-1]].choices
    for name, other in fields(Pipeline).items():
        choices = fields(other.table).get(keys[-1]) if other.table is not None else None
        if name != table and choices is not None and wrong[1] in choices.choices:
            near = f" In {_table(table)}: {likely(wrong[1], here)!r}." if likely(wrong[1], here) else ""
            return f"{wrong[1]!r} is a {keys[-1]} of {_table(name)}.{near}"
    return nearest_name(wrong[1], here)


def _at(pipeline: Pipeline, folder: Path) -> Pipeline:
    """Return the pipeline with every path absolute."""

    def place(text: str) -> str:
        path = expanded(text)
        return str(path) if is_remote(path) else os.path.normpath(folder / path)

    files = [key for key, field in fields(Cleaning).items() if field.in_file]

    def cleaned(table: dict[str, Any]) -> dict[str, Any]:
        for key in files:
            lines = table.get(key)
            for line in lines if isinstance(lines, list) else ():
                # A line may be too long for a path, which os.path does not mind.
                if isinstance(line, str) and os.path.isfile(folder / line):  # noqa: PTH113
                    raise UsageError(
                        f"clean: {key} has the line {line!r:.60}, which is a file and would not be read.",
                        f'Name the file without brackets: {key} = "{line}".',
                    )
        return {key: place(value) if key in files and isinstance(value, str) else value for key, value in table.items()}

    imports = [
        msgspec.structs.replace(
            one, paths=[place(path) for path in one.paths], map=None if one.map is None else place(one.map)
        )
        for one in pipeline.imports
    ]
    exports = [
        msgspec.structs.replace(
            one,
            out=place(one.out),
            clean=cleaned(one.clean),
            decontaminate=[place(path) for path in one.decontaminate],
        )
        for one in pipeline.exports
    ]
    forget, log = pipeline.forget, pipeline.log
    return msgspec.structs.replace(
        pipeline,
        store=place(pipeline.store),
        imports=imports,
        clean=cleaned(pipeline.clean),
        exports=exports,
        forget=forget if forget.file is None else ForgetKeys(file=place(forget.file)),
        log=log if log.metrics is None else msgspec.structs.replace(log, metrics=place(log.metrics)),
    )
