"""Values of one record, checked at the edge: whole numbers, times, and the exception that loses a record."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

#: Clocks differ; a time this far ahead of ours is still believed.
CLOCK_SKEW = timedelta(days=1)

#: Before 1990 no forum of ours existed: a smaller number is a wrong unit or a missing value.
EARLIEST_S = 631_152_000


class Lost(Exception):
    """The record cannot be used; `reason` is one of tally.LOST and `what` a sentence part for people."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


def latest_allowed_us(now: datetime) -> int:
    """The latest time to be believed, in microseconds since 1970."""
    return int((now + CLOCK_SKEW).timestamp() * 1_000_000)


def integer(value: Any, name: str, reason: str) -> int:
    """A whole number from an int, a whole float, or a string of either. Raises Lost with `reason`."""
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            value = math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Lost(reason, f"{name} is no number")
    if not isinstance(value, int) and not math.isfinite(value):
        raise Lost(reason, f"{name} is no number")
    if not -(1 << 63) <= value < 1 << 63 or value != int(value):
        raise Lost(reason, f"{name} is no whole number")
    return int(value)


def unknown(time: Any) -> bool:
    """Whether a time of reading is one that programs write where they know none: null, 0 or an empty text."""
    return not isinstance(time, bool) and time in (None, 0, "", "0")


def epoch_us(value: Any, name: str, latest_us: int) -> int:
    """Microseconds since 1970 from seconds as int, float or string. Raises Lost: bad_time or time_in_future."""
    try:
        number = isinstance(value, str | int | float) and not isinstance(value, bool)
        seconds = float(value) if number else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not EARLIEST_S <= seconds < 1e12:
        raise Lost("bad_time", f"{name} is no time in seconds")
    # Whole seconds stay exact: floats hold them, and only fractions are rounded.
    us = int(seconds) * 1_000_000 + round((seconds - int(seconds)) * 1_000_000)
    if us > latest_us:
        raise Lost("time_in_future", f"{name} lies in the future")
    return us
