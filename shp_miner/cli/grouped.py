"""Help in groups: an option may name the heading under which the help of its command shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict, TypeVar, Unpack

import click

Command = TypeVar("Command", bound=Callable[..., object])


class Attributes(TypedDict, total=False):
    """What an option says of itself, as click calls it."""

    callback: Callable[..., object]
    default: object
    help: str
    is_flag: bool
    metavar: str
    multiple: bool
    show_default: bool | str
    type: object


#: The heading of options without one, where others have one, and where none has.
OTHERS, ALL = "Other options", "Options"

#: The most cells for the names of options, where there is room.
_NAMES = 30


class Grouped(click.Option):
    """An option under a heading; `option_of` makes it."""

    def __init__(self, declarations: Sequence[str], *, group: str, **attributes: Unpack[Attributes]) -> None:
        super().__init__(declarations, **attributes)
        self.group = group


def option_of(group: str, *declarations: str, **attributes: Unpack[Attributes]) -> Callable[[Command], Command]:
    """Return `click.option(*declarations, **attributes)` with the option under a heading."""
    return click.option(*declarations, cls=Grouped, group=group, **attributes)


class GroupedCommand(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group of options as a section."""
        for heading, options in groups_of(self, ctx):
            rows = [row for option in options if (row := option.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_max=min(_NAMES, formatter.width * 2 // 5))


def groups_of(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, list[click.Option]]]:
    """Yield a command's headings, in the order of their first options, and the options of each."""
    options = [option for option in command.get_params(ctx) if isinstance(option, click.Option)]
    named = list(dict.fromkeys(option.group for option in options if isinstance(option, Grouped)))
    for heading in named:
        yield heading, [option for option in options if getattr(option, "group", None) == heading]
    yield OTHERS if named else ALL, [option for option in options if not isinstance(option, Grouped)]
