"""Arguments of the public functions as people give them: names, one or several, numbers, dates, durations and sizes.

Every function reads them here, so that `communities="askculinary"` and `since="2023-01-01"` mean the same everywhere.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from shp_miner.errors import UsageError, nearest_name
from shp_miner.paths import expanded
from shp_miner.units import Duration, Size

#: One text, or several.
Names = str | Iterable[str]

#: A path, and one path or several.
AnyPath = str | os.PathLike[str]
Paths = AnyPath | Iterable[AnyPath]

#: A day or a time: an ISO 8601 text, a date, or a datetime.
Moment = str | date

#: A length of time: seconds, a text such as "24h", or a timedelta.
Length = float | str | timedelta

#: A size: bytes, or a text such as "2GiB".
Amount = int | str


def known_name(value: str, known: Iterable[str]) -> str:
    """Return the known name that differs in letter case, spaces or underscores only, else the value as it is."""
    key = value.strip().casefold().replace("_", "-").replace(" ", "-")
    return next((name for name in known if name.casefold() == key), value)


def one_of(given: object, known: Iterable[str], what: str) -> str:
    """Return the known name that is meant. Raises UsageError for any other; `what` says what has the names."""
    known = list(known)
    name = known_name(given, known) if isinstance(given, str) else ""
    if name not in known:
        raise UsageError(f"There is no {what} {given!r:.60}.", nearest_name(str(given), known))
    return name


def several(given: Names | None, name: str) -> tuple[str, ...]:
    """Return one or several texts as a tuple; None is none, which means all where there is a choice.

    `name` is the argument's. Raises UsageError for anything else.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    texts = _items(given, name, "a text")
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"{name} has {text!r:.60}, which is not a text.", f'Write {name}="NAME" or ["A", "B"].')
    return tuple(str(text) for text in texts)


def paths(given: Paths | None, name: str) -> list[Path]:
    """Return one or several paths as a list; None is none. Raises UsageError for anything else."""
    if given is None:
        return []
    if isinstance(given, str | os.PathLike):
        return [expanded(given)]
    items = _items(given, name, "a path")
    for path in items:
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"{name} has {path!r:.60}, which is not a path.", f'Write {name}="FILE" or ["A", "B"].')
    return [expanded(path) for path in items if isinstance(path, str | os.PathLike)]


def _items(given: object, name: str, what: str) -> list[object]:
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise UsageError(f"{name} is {given!r:.60}: it must be {what} or a list.", f'Write {name}="A" or ["A", "B"].')
    return list(given)


def moment(given: Moment) -> datetime:
    """Return a day or a time as a datetime with a zone; without one it is UTC, and a day begins at 00:00.

    Raises ValueError with a sentence on how to write one.
    """
    if isinstance(given, datetime):
        time_given = given
    elif isinstance(given, date):
        time_given = datetime.combine(given, time())
    else:
        try:
            time_given = datetime.fromisoformat(given)
        except (TypeError, ValueError):
            raise ValueError(f"{given!r} is not a date: write 2023-01-01 or 2023-01-01T12:00:00Z.") from None
    return time_given if time_given.tzinfo else time_given.replace(tzinfo=UTC)


def seconds(given: Length) -> float:
    """Return a length of time in seconds. Raises ValueError with a sentence on how to write one."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    return float(Duration.parse(given)) if isinstance(given, str) else float(given)


def length(given: Length, name: str) -> float:
    """Return the same as `seconds`; raises UsageError that names the argument."""
    try:
        return seconds(given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error}", 'Write seconds, or a text with a unit: "24h".') from error


def version(as_of: Moment | None) -> str | None:
    """Return a version of a store, or a time, as `--as-of` takes it; a date is its first moment, as when written."""
    if as_of is not None and not isinstance(as_of, str | date):
        raise UsageError(
            f"as_of is {as_of!r:.60}: not a version, and not a time.", 'Write as_of="1.1" or "2023-01-01".'
        )
    return as_of.isoformat() if isinstance(as_of, date) else as_of


def number(given: object, name: str) -> float:
    """Return a number that is finite. Raises UsageError that names the argument."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UsageError(f"{name} is {given!r:.60}, which is not a number.", f"Write it like {name}=0.5.")
    if not math.isfinite(given):
        raise UsageError(f"{name} is {given}, which is not a finite number.", f"Write it like {name}=0.5.")
    return given


def whole_number(given: int | None, name: str, least: int = 1) -> int | None:
    """Return a whole number of at least `least`; None is no limit. Raises UsageError that names the argument."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, int)):
        raise UsageError(f"{name} is {given!r:.60}, which is not a whole number.", f"Write it like {name}=10.")
    if given is not None and given < least:
        raise UsageError(f"{name} is {given}, which is too small.", f"Write {least} or more.")
    return given


def size(given: Amount | None, name: str) -> int | None:
    """Return a size in bytes; None is none given. Raises UsageError that names the argument."""
    try:
        return int(Size.parse(given)) if isinstance(given, str) else whole_number(given, name)
    except ValueError as error:
        raise UsageError(f"{name}: {error}", f'Write {name}="2GiB", or a number of bytes.') from error
