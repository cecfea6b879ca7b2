"""Cells of tables as values: times in the usual spellings, whole numbers as people write them, and yes or no.

Everything comes in as text. A time that could be two days is refused, never guessed; so is one without a zone, unless
the map names the zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Literal

import xxhash

from shp_miner.tally import Lost

DateOrder = Literal["day-first", "month-first"]

#: What programs write into an empty cell that is no text.
NOTHING = frozenset({"", "\\N", "NULL", "null", "None", "none", "NaN", "nan", "NaT", "NA", "N/A", "n/a", "-"})

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+]?[0-9]{1,2})?")
#: Digits that are a day, or a day with a time, rather than seconds since 1970.
_PACKED = re.compile(
    r"((?:19|20)[0-9]{2})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(?:([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9]))?"
)
#: From which number on a time is in milliseconds, microseconds, nanoseconds: no forum is as old, or as new, as between.
_UNITS = ((10**17, 1000, 1), (10**14, 1, 1), (10**11, 1, 1000), (0, 1, 1_000_000))

_CLOCK = (
    r"(?:[T,]?\s*(?:at\s+)?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?"
)
_ZONE = r"\s*(?P<zone>Z|[A-Z]{2,4}|(?:UTC|GMT)?[+-][0-9]{2}:?[0-9]{2})?(?:\s+\([^()]*\))?"
_WEEKDAY = r"(?:[A-Za-z]{3,9},?\s+)?"
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_SHAPES = tuple(
    re.compile(shape, re.ASCII)
    for shape in (
        # 2024-01-02, 2024/1/2
        rf"(?P<year>[0-9]{{4}})[-/.](?P<month>[0-9]{{1,2}})[-/.](?P<day>[0-9]{{1,2}}){_CLOCK}{_ZONE}",
        # 2024年1月2日 3:04
        rf"(?P<year>[0-9]{{4}})\u5e74\s*(?P<month>[0-9]{{1,2}})\u6708\s*(?P<day>[0-9]{{1,2}})\u65e5{_CLOCK}{_ZONE}",
        # Tue, 02 Jan 2024 03:04:05 GMT (RFC 2822), 2 January 2024
        rf"{_WEEKDAY}(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?[\s-]+{_NAME}[\s-]+(?P<year>[0-9]{{4}}){_CLOCK}{_ZONE}",
        # Jan 2, 2024 3:04 PM
        rf"{_WEEKDAY}{_NAME}\s+(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>[0-9]{{4}}){_CLOCK}{_ZONE}",
        # Tue Jan  2 03:04:05 UTC 2024 (ctime, date)
        rf"{_WEEKDAY}{_NAME}\s+(?P<day>[0-9]{{1,2}})\s+(?P<hour>[0-9]{{2}}):(?P<minute>[0-9]{{2}}):(?P<second>[0-9]{{2}})"
        r"(?P<part>)(?P<half>)\s+(?P<zone>[A-Z]{3,4}\s+)?(?P<year>[0-9]{4})",
    )
)
#: 02.01.2024 is a day first wherever it is written; 02/01/2024 and 02-01-2024 may be either.
_NUMERIC = re.compile(
    rf"(?P<one>[0-9]{{1,2}})(?P<mark>[/.-])(?P<two>[0-9]{{1,2}})(?P=mark)(?P<year>[0-9]{{4}}|[0-9]{{2}}){_CLOCK}{_ZONE}"
)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
#: Zones that RFC 2822 names, in hours from UTC.
_ZONES = {
    "Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7,
}  # fmt: skip
#: Years of two digits up to this one are of this century.
_CENTURY = 69


class Unclear(Lost):
    """What the map must say before anything can be read: a zone, or the order of dates. `hint` has the line."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__("bad_time", f"{what}; {hint[:1].lower()}{hint[1:].rstrip('.')}")
        self.short, self.hint = what, hint


@dataclass(frozen=True)
class Clock:
    """How a map reads times: the zone of times that name none, and the order of a date in numbers."""

    zone: tzinfo | None = None
    dates: DateOrder | None = None


def moment(text: str, name: str, clock: Clock) -> datetime:
    """The time that a cell means, with its zone.

    Takes ISO 8601; seconds, milliseconds, microseconds or nanoseconds since 1970; RFC 2822; dates in numbers and with
    English names of months. Raises Lost: bad_time.
    """
    word = text.strip()
    found = _of_digits(word) if word[:1].isdigit() else None
    if found is None:
        try:
            found = datetime.fromisoformat(word)
        except ValueError:
            found = _in_words(word, name, clock)
    if found.tzinfo is not None:
        return found
    if clock.zone is None:
        raise Unclear(
            f"{name} {word!r:.40} has no time zone", 'Add utc = true or zone = "Europe/Berlin" to the map (or --zone).'
        )
    return found.replace(tzinfo=clock.zone)


def order_of(text: str) -> tuple[bool, DateOrder | None]:
    """Whether a cell is a date in numbers whose order must be known, and the order that its own numbers leave."""
    found = _NUMERIC.fullmatch(text.strip())
    if found is None or found["mark"] == ".":
        return False, None
    one, two = int(found["one"]), int(found["two"])
    return True, "day-first" if one > len(_MONTHS) else "month-first" if two > len(_MONTHS) else None


def _of_digits(word: str) -> datetime | None:
    """A time since 1970 by its size, or a day written without marks; None for anything else."""
    packed = _PACKED.fullmatch(word)
    if packed is not None:
        try:
            return datetime(*(int(part or 0) for part in packed.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
        except ValueError:
            return None
    if not _NUMBER.fullmatch(word):
        return None
    number = Decimal(word)
    for least, divide, multiply in _UNITS:
        if number >= least:
            try:
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(number * multiply / divide))
            except OverflowError:
                return None
    return None


def _in_words(word: str, name: str, clock: Clock) -> datetime:
    found = next((match for shape in _SHAPES if (match := shape.fullmatch(word))), None)
    numeric = _NUMERIC.fullmatch(word) if found is None else None
    match = found or numeric
    if match is None:
        raise Lost("bad_time", f"{name} {word!r:.40} is not a time in a known spelling")
    part = match.groupdict()
    try:
        if numeric is not None:
            day, month = _ordered(numeric, name, word, clock)
        else:
            day = int(part["day"])
            month = int(part["month"]) if "month" in part else _MONTHS.index(part["name"][:3].lower()) + 1
        year = int(part["year"])
        if len(part["year"]) == len("24"):
            year += 2000 if year < _CENTURY else 1900
        hour = _hour(part["hour"], part["half"])
        micro = int((part["part"] or "0").ljust(6, "0")[:6])
        zone = _zone((part["zone"] or "").strip())
        return datetime(year, month, day, hour, int(part["minute"] or 0), int(part["second"] or 0), micro, zone)
    except (ValueError, KeyError) as error:
        raise Lost("bad_time", f"{name} {word!r:.40} is not a time that can be") from error


def _ordered(match: re.Match[str], name: str, word: str, clock: Clock) -> tuple[int, int]:
    """The day and the month of a date in numbers."""
    one, two = int(match["one"]), int(match["two"])
    if match["mark"] == ".":
        return one, two
    if clock.dates is None:
        raise Unclear(
            f"{name} {word!r:.40} may be two days", 'Add dates = "day-first" or "month-first" to the map (or --dates).'
        )
    return (one, two) if clock.dates == "day-first" else (two, one)


def _hour(text: str | None, half: str | None) -> int:
    hour = int(text or 0)
    if not half:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(text)
    return hour % 12 + 12 * (half[0] in "Pp")


def _zone(text: str) -> tzinfo | None:
    if not text:
        return None
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})", text)
    if offset is None:
        return timezone(timedelta(hours=_ZONES[text]))
    minutes = int(offset[2]) * 60 + int(offset[3])
    return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))


_BLANKS = re.compile(r"[\s_'\u2019\u00a0\u2009\u202f]")
_THOUSANDS = {
    ".": re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]+)?[kKmM]?"),
    ",": re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?[kKmM]?"),
}
_PLAIN = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+]?[0-9]{1,2})?)([kKmM]?)")
_WORD_BEHIND = re.compile(r"\s*(?:points?|votes?|upvotes?|likes?|views?|pts?)$", re.IGNORECASE)
_TIMES = {"": 1, "k": 1000, "m": 1_000_000}


def whole(text: str, name: str, reason: str, decimal: str = ".") -> int:
    """The whole number that a cell means: "12", "1,234", "1.2k", "3 points". Raises Lost with `reason`.

    `decimal` is the mark before fractions, "." or ",".
    """
    try:
        return int(text)
    except ValueError:
        pass
    word = _WORD_BEHIND.sub("", text.strip()).replace("\u2212", "-")
    word = _BLANKS.sub("", word)
    other = "," if decimal == "." else "."
    if _THOUSANDS[decimal].fullmatch(word):
        word = word.replace(other, "")
    found = _PLAIN.fullmatch(word.replace(",", ".") if decimal == "," else word)
    try:
        number = Decimal(found[1]) * _TIMES[found[2].lower()] if found else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number != number.to_integral_value():
        raise Lost(reason, f"{name} {text!r:.40} is not a whole number")
    return int(number)


def share(text: str, name: str) -> float:
    """A share from 0 to 1, written 0.93 or 93%. Raises Lost: bad_ratio."""
    word = text.strip().replace(",", ".")
    try:
        return float(word[:-1]) / 100 if word.endswith("%") else float(word)
    except ValueError as error:
        raise Lost("bad_ratio", f"{name} {text!r:.40} is not a share such as 0.93") from error


_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0", "on", "x"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0", "off"), False),
}


def flag(text: str, name: str) -> bool:
    """Yes or no. Raises Lost: wrong_type."""
    found = _FLAGS.get(text.strip().lower())
    if found is None:
        raise Lost("wrong_type", f"{name} {text!r:.40} is neither true nor false")
    return found


_FLOAT_ID = re.compile(r"-?[0-9]+\.0")


def identity(text: str) -> str:
    """An id without the blanks around it; 12.0, which pandas makes of 12 beside an empty cell, is 12."""
    word = text.strip()
    return word[:-2] if _FLOAT_ID.fullmatch(word) else word


def hash_of(text: str) -> int:
    """8 bytes that stand for an id."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
