"""The options that clean: a profile, and one for each parameter of `Cleaning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from shp_miner.clean.cleaning import HEADING, PROFILES, SUMMARIES, Cleaning
from shp_miner.cli.choosing import REPEATABLE
from shp_miner.cli.grouped import Command, option_of
from shp_miner.cli.names import Commas, flat
from shp_miner.cli.options import FilePath, parameter_type
from shp_miner.rules.fields import Field, fields

if TYPE_CHECKING:
    from pathlib import Path

#: The option of the profile, and what those of its parameters begin with.
_PROFILE = "clean"

#: The parameters of cleaning that people give.
_PARAMETERS = [field for field in fields(Cleaning).values() if field.name != "name"]


def cleaning_options(command: Command) -> Command:
    """Add --clean, and an option for each of its parameters."""
    for field in reversed(_PARAMETERS):
        command = _option(command, field)
    told = "; ".join(f"{name}: {about}" for name, about in SUMMARIES.items())
    return option_of(
        HEADING,
        f"--{_PROFILE}",
        type=click.Choice(list(PROFILES), case_sensitive=False),
        default=None,
        help=f"Clean by this profile ({told}); see `shp-miner docs cleaning`.",
    )(command)


def taken_cleaning(parameters: dict[str, Any]) -> Cleaning:
    """Take what `cleaning_options` added out of a command's parameters, and return it. Raises UsageError, BadInput."""
    from shp_miner.clean.cleaning import clean_profile
    from shp_miner.export.listed import values_in_file

    profile = parameters.pop(_PROFILE, None)
    given: dict[str, Any] = {}
    for field in _PARAMETERS:
        value: bool | float | str | tuple[str, ...] | Path | None = parameters.pop(_name(field), None)
        if value is not None and value != ():
            given[field.name] = values_in_file(value) if field.in_file else value  # type: ignore[arg-type]
    return clean_profile(profile or "none", **given)


def cleaning_words(parameters: Mapping[str, Any]) -> list[str]:
    """Return the options that clean as a command's parameters say, as `words_of` does for a rule."""
    words = [f"--{_PROFILE}", str(parameters[_PROFILE])] if parameters.get(_PROFILE) else []
    for field in _PARAMETERS:
        value, shown = parameters.get(_name(field)), _shown(field)
        if isinstance(value, bool):
            words.append(f"--{shown}" if value else f"--no-{shown}")
        elif value is not None and value != ():
            words += [f"--{shown}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return words


def _option(command: Command, field: Field) -> Command:
    shown, name = _shown(field), _name(field)
    if field.kind is bool:
        return option_of(HEADING, f"--{shown}/--no-{shown}", name, default=None, help=field.description)(command)
    if field.in_file:
        return option_of(HEADING, f"--{shown}", name, type=FilePath(), default=None, help=field.description)(command)
    if field.many:
        return option_of(
            HEADING,
            f"--{shown}",
            name,
            type=Commas(),
            callback=flat,
            multiple=True,
            help=f"{field.description} {REPEATABLE}.",
        )(command)
    kind = parameter_type(field)
    return option_of(HEADING, f"--{shown}", name, type=kind, default=None, help=field.description)(command)


def _name(field: Field) -> str:
    return f"{_PROFILE}_{field.name}"


def _shown(field: Field) -> str:
    return field.option or f"{_PROFILE}-{field.key.replace('_', '-')}"
