"""Options that several commands share, and options made from the parameters of a rule."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from shp_miner.arguments import moment
from shp_miner.cli.grouped import Command, option_of
from shp_miner.cli.variables import StoreOption
from shp_miner.engine.choice import ENGINES, LOCAL
from shp_miner.errors import UsageError
from shp_miner.paths import DEFAULT_STORE, expanded
from shp_miner.places.schemes import scheme_of
from shp_miner.rules.fields import PARAMETERS, Field
from shp_miner.rules.presets import CHOICE, PAIRS, duration_text
from shp_miner.units import Duration as Length
from shp_miner.units import Seconds, written_duration, written_moment
from shp_miner.units import Size as Amount

#: What click takes for the type of an option.
_Type = click.ParamType[object] | type

#: Entries of a folder that are looked at to complete a path.
_COMPLETED = 2000

#: A whole number that an error gives as an example.
_USUAL = 10

#: The heading of the options that change only the speed.
SPEED = "Speed and memory"


class FilePath(click.Path):
    """A path. A leading ~ becomes the home folder, even in an environment variable or a crontab."""

    def __init__(self, *, readable: bool = True) -> None:
        super().__init__(path_type=Path, readable=readable)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        if not str(value):  # "" is the current folder elsewhere, and mostly a variable that is not set
            self.fail("the path is empty.", param, ctx)
        if re.match(r"https?://", str(value)):
            self.fail(f"{value} is an address, not a file or folder: download it, and name the file.", param, ctx)
        try:
            # A URL is not a path of the system, which would take the double stroke out of it.
            return expanded(value if scheme_of(value) else str(super().convert(value, param, ctx)))
        except UsageError as error:
            self.fail(error.message, param, ctx)


class PipelinePath(FilePath):
    """The path of a pipeline file, completed by folders and .toml files."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Entries of the folder that is being typed, at most _COMPLETED; none if it cannot be read."""
        folder, _, begins = incomplete.rpartition("/")
        shown = f"{folder}/" if "/" in incomplete else ""
        try:
            with os.scandir(expanded(shown or ".")) as entries:
                found = sorted((entry.name, entry.is_dir()) for entry in islice(entries, _COMPLETED))
        except (OSError, UsageError, ValueError):
            return []
        names = [name + "/" * is_dir for name, is_dir in found if is_dir or name.endswith(".toml")]
        hidden = begins.startswith(".")
        return [
            CompletionItem(shown + name)
            for name in names
            if name.startswith(begins) and (hidden or not name.startswith("."))
        ]


class Duration(click.ParamType[float]):
    """A duration in seconds, written 90s, 15m, 24h, 3d or 2w. Options named after a unit need no unit."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            named = param is not None and any(name.endswith("-seconds") for name in param.opts)
            return float((Seconds if named else Length).parse(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A day or time in ISO 8601; without a zone it is UTC."""

    name = "date"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """A time with a zone."""
        try:
            return moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number within bounds; a share is written 0.05, not 5%."""

    name = "number"

    def _describe_range(self) -> str:
        """Return the bounds for the help; none if there are none, which click calls x<=None."""
        return "" if (self.min, self.max) == (None, None) else super()._describe_range()

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        text = str(value).strip()
        try:
            number = float(text)
        except ValueError:
            percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
            way = f"write {float(percent[1]) / 100:g}" if percent else "write it like 2 or 0.5"
            self.fail(f"{value!r} is not a number: {way}.", param, ctx)
        try:
            return float(super().convert(number, param, ctx))
        except click.BadParameter as error:
            hint = f" write {number / 100:g}" if self._holds(number / 100) and number > 1 else ""
            raise click.BadParameter(f"{error.message.rstrip('.')}{':' if hint else ''}{hint}.", ctx, param) from error

    def _holds(self, number: float) -> bool:
        """Whether a number is within bounds of which both are set."""
        return self.min is not None and self.max is not None and self.min < number < self.max


class Whole(click.IntRange):
    """A whole number within bounds; a wrong one is answered with one that can be written."""

    name = "integer"

    def _describe_range(self) -> str:
        """Return the same as for a Number."""
        return "" if (self.min, self.max) == (None, None) else super()._describe_range()

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value).strip()
        plain = text.replace(",", "").replace(" ", "")  # as people part thousands
        if not re.fullmatch(r"[+-]?\d+", text):
            way = plain if plain.isdecimal() else str(max(self.min or 0, _USUAL))
            self.fail(f"{value!r} is not a whole number: write it like {way}.", param, ctx)
        if self.min is not None and int(text) < self.min:
            self.fail(f"{text} is too small: write {self.min} or more.", param, ctx)
        if self.max is not None and int(text) > self.max:
            self.fail(f"{text} is too large: write {self.max} or less.", param, ctx)
        return int(text)


class Size(click.ParamType[int]):
    """A size in bytes, written 500MB or 2GiB."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        try:
            return int(Amount.parse(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def work(command: Command) -> Command:
    """Add --workers, --memory, --engine and --address to a command: they change its speed, never its results."""
    for option in (
        option_of(
            SPEED, "--address", help="The Ray cluster's address (for example 10.0.0.1:6379). [RAY_ADDRESS, else none]"
        ),
        option_of(
            SPEED,
            "--engine",
            type=click.Choice(ENGINES),
            default=LOCAL,
            show_default=True,
            help="Where tasks run: this machine, a Ray cluster or a Slurm cluster; see `shp-miner docs cluster`.",
        ),
        option_of(
            SPEED,
            "--memory",
            type=Size(),
            help="Use at most this much memory (for example 2GiB); on a cluster, each task. [half of the machine's]",
        ),
        option_of(
            SPEED,
            "--workers",
            type=Whole(min=1),
            help="Use at most N processes. [the number of cores; on a cluster, all]",
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
verbose_option = click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def printing(command: Command) -> Command:
    """Add --json, --quiet and -v to a command."""
    return json_option(quiet_option(verbose_option(command)))


def common(command: Command) -> Command:
    """Add --store, --json, --quiet and -v to a command."""
    store = click.option(
        "--store",
        cls=StoreOption,
        type=FilePath(),
        default=DEFAULT_STORE,
        show_default=True,
        help="The store's folder; SHP_MINER_STORE names it for every command.",
    )
    return store(printing(command))


def example(*lines: str) -> str:
    """Return the end of a command's help: examples."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def rule_parameters(command: Command) -> Command:
    """Add an option for each parameter of a rule, with the default of `shp`; without it, the rule's value counts."""
    return _parameters_of(list(PARAMETERS.values()), command)


def shared_parameters(command: Command) -> Command:
    """Add the parameters that several rules can share: who takes part, and how the asker's choice counts beside it."""
    shared = [field for field in PARAMETERS.values() if field.heading != PAIRS or field.name in CHOICE]
    return _parameters_of(shared, command)


def _parameters_of(fields: Sequence[Field], command: Command) -> Command:
    for field in reversed(fields):
        command = _rule_option(field)(command)
    return command


def words_of(parameters: Mapping[str, object]) -> list[str]:
    """Return the options that give a rule's parameters these values."""
    words: list[str] = []
    for field in PARAMETERS.values():
        value, name = parameters.get(field.name), field.key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, datetime):
            words += [f"--{name}", written_moment(value)]
        elif value is not None:
            words += [f"--{name}", written_duration(float(str(value))) if field.kind is Length else str(value)]
    return words


def _rule_option(field: Field) -> Callable[[Command], Command]:
    shown = field.key.replace("_", "-")
    flag = field.kind is bool
    declaration = f"--{shown}/--no-{shown}" if flag else f"--{shown}"
    default = duration_text(field.default) if isinstance(field.default, Length) else field.default
    note = "" if default is None or flag else f" [{default}]"
    return option_of(
        field.heading, declaration, field.name, type=parameter_type(field), default=None, help=field.description + note
    )


def parameter_type(field: Field) -> _Type:
    """Return the click type of a parameter; whole numbers have a lower bound at most."""
    if field.choices:
        return click.Choice(field.choices, case_sensitive=False)
    if field.kind is Length:
        return Duration()
    if field.kind is datetime:
        return Moment()
    low = field.above if field.at_least is None else field.at_least
    if field.kind is int:
        return Whole(min=None if low is None else int(low))
    if field.kind is float:
        return Number(low, field.below, min_open=field.at_least is None, max_open=True)
    return field.kind
