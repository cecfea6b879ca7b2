"""Checking the values of one record: whole numbers, times, and the exception for a record that cannot be used."""

from __future__ import annotations

import codecs
import json
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shp_miner.errors import Error
from shp_miner.model import CLOCK_SKEW, EARLIEST_S, SCORE_MAX
from shp_miner.tally import REPORT, Damage, Lost, Tally

__all__ = [
    "CLOCK_SKEW",
    "EARLIEST_S",
    "Lost",
    "epoch_us",
    "file_alone",
    "integer",
    "is_utf8",
    "latest_allowed_us",
    "lenient_json",
]

T = TypeVar("T")


@contextmanager
def file_alone(path: Path | str, tally: Tally) -> Iterator[None]:
    """Note an exception that nobody foresaw in reading a file as a defect of this program: the next file is read.

    What is wrong with a file its reader says. Errors with words of their own, of the system and of memory pass.
    """
    try:
        yield
    except (Error, OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  (the command ends with the code for bugs)
        what = f"it could not be read further, for an error of shp-miner itself ({type(error).__name__})"
        tally.damages.append(Damage(str(path), 0, what, REPORT, defect="".join(traceback.format_exception(error))))


def converted_json(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """A value of JSON as `kind`. Raises msgspec.ValidationError, also for half of a character (a lone surrogate)."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except UnicodeEncodeError as error:
        raise msgspec.ValidationError("Expected text, got half of a character") from error


def is_utf8(line: bytes) -> bool:
    """Whether a line is valid UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def lenient_json(line: bytes, tally: Tally | None = None) -> Any:
    """The value of a line of JSON, with what programs write although JSON forbids it.

    Lone surrogates, NaN and control characters pass. Bytes that are not UTF-8 become U+FFFD, which is noted in
    `tally`. Raises Lost where the line is still not JSON: not_utf8, not_json.
    """
    line = line.removeprefix(codecs.BOM_UTF8)
    sound = is_utf8(line)
    try:
        value = json.loads(line.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError) as error:
        if not sound:
            raise Lost("not_utf8", "the line is not UTF-8") from error
        raise Lost("not_json", f"the line is not JSON ({error!s:.60})") from error
    if tally is not None and not sound:
        tally.note("line", "text_repaired")
    return value


def latest_allowed_us(now: datetime) -> int:
    """Return the latest time that is accepted, in microseconds since 1970."""
    return int((now + CLOCK_SKEW).timestamp() * 1_000_000)


def integer(value: Any, name: str, reason: str) -> int:
    """Return a whole number from an int, a whole float, or a string of either. Raises Lost with `reason`."""
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            value = math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Lost(reason, f"{name} is not a number")
    if not isinstance(value, int) and not math.isfinite(value):
        raise Lost(reason, f"{name} is not a number")
    if abs(value) > SCORE_MAX or value != int(value):
        raise Lost(reason, f"{name} {value!r:.40} is not a whole number in range")
    return int(value)


def unknown_time(time: Any) -> bool:
    """Whether a reading time is a value that programs write for an unknown time: null, 0 or an empty text."""
    return not isinstance(time, bool) and time in (None, 0, "", "0")


def _unit(number: float, latest_us: int) -> str:
    """Return words on the unit that a time seems to have; "" if it would be no time in any."""
    for unit, of_second in (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
        if EARLIEST_S <= number / of_second <= latest_us / 1e6:
            return f": {number:.0f} seems to be {unit}; divide it by {of_second:,.0f}"
    return ""


def epoch_us(value: Any, name: str, latest_us: int) -> int:
    """Return microseconds since 1970 from seconds as int, float or string. Raises Lost: bad_time, time_in_future."""
    try:
        number = isinstance(value, str | int | float) and not isinstance(value, bool)
        seconds = float(value) if number else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not EARLIEST_S <= seconds < 1e12:
        raise Lost("bad_time", f"{name} is not a time in seconds{_unit(seconds, latest_us)}")
    # Whole seconds stay exact: floats hold them, and only fractions are rounded.
    us = int(seconds) * 1_000_000 + round((seconds - int(seconds)) * 1_000_000)
    if us > latest_us:
        raise Lost("time_in_future", f"{name} is in the future")
    return us
