"""The options that screen an export for evaluation sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from shp_miner.clean.cleaning import HEADING
from shp_miner.cli.choosing import REPEATABLE
from shp_miner.cli.grouped import Command, option_of
from shp_miner.cli.names import Commas, flat
from shp_miner.cli.options import FilePath
from shp_miner.cli.saying import say
from shp_miner.errors import UsageError

if TYPE_CHECKING:
    from shp_miner.export.screens import EvaluationSets

_FILES, _COLUMNS, _PRESET = "decontaminate", "decontaminate_columns", "decontaminate_preset"


_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "--decontaminate-columns",
        _COLUMNS,
        {
            "type": Commas(),
            "callback": flat,
            "multiple": True,
            "help": f"Columns of these files to take items from; default: all texts. {REPEATABLE}.",
        },
    ),
    (
        "--decontaminate-preset",
        _PRESET,
        {
            "type": click.Choice(["default", "strict"], case_sensitive=False),
            "default": None,
            "help": "Words in a row that a text and an item must have in common: 8 (default), or 13 (strict).",
        },
    ),
)


def screening_options(about: str) -> Callable[[Command], Command]:
    """Return a decorator that adds --decontaminate and its parameters; `about` says what is done."""

    def add(command: Command) -> Command:
        for declaration, name, options in reversed(_OPTIONS):
            command = option_of(HEADING, declaration, name, **options)(command)
        return option_of(
            HEADING,
            "--decontaminate",
            _FILES,
            type=FilePath(),
            multiple=True,
            help=f"{about} (JSONL, Parquet, CSV, or text with an item a line). Repeatable.",
        )(command)

    return add


def taken_sets(parameters: dict[str, Any]) -> EvaluationSets | None:
    """Take what `screening_options` added out of a command's parameters, and read the files; None without a file."""
    from shp_miner.export.screens import evaluation_sets

    files, columns, preset = (parameters.pop(name) for name in (_FILES, _COLUMNS, _PRESET))
    if files:
        sets = evaluation_sets(files, columns=columns, preset=preset or "default")
        for sentences in sets.unseen():
            say(sentences, err=True)
        return sets
    if columns or preset:
        raise UsageError("There is no evaluation set to screen for.", "Name its file with --decontaminate.")
    return None
