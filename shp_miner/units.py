"""Durations and sizes: as people write them, and as the store counts them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Self

#: Units of a length of time, in seconds.
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

#: Words for the same units, which begin with their letters.
_WORDS = frozenset(
    f"{word}{plural}"
    for word in ("sec", "second", "min", "minute", "hr", "hour", "day", "week")
    for plural in ("", "s")
)

#: The longest duration: beyond it, calendars end.
_LONGEST_S = 1000 * 365 * 86_400

#: The largest size: more bytes do not fit 64 bits.
_MOST_BYTES = (1 << 63) - 1


class Duration(float):
    """A duration in seconds, written 90s, 15m, 24h, 3d or 2w. Every number but 0 needs a unit."""

    @classmethod
    def parse(cls, text: str | float) -> Self:
        """Return the duration in a text. Raises ValueError with a sentence on how to write one."""
        if isinstance(text, Duration):
            return cls(text)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(text).strip())
        unit = match[2] if match is not None else ""
        if match is None or not (unit in ("", *UNITS_S) or unit.lower() in _WORDS):
            raise ValueError(f"{text!r} is not a duration: write 90s, 15m, 24h, 3d or 2w.")
        unit_s = UNITS_S.get(unit[:1].lower(), cls._alone_s())
        if unit_s is None and float(match[1]):
            *more, last = (f"{match[1]}{unit}" for unit in UNITS_S)
            raise ValueError(f"{text!r} has no unit: write {', '.join(more)} or {last}.")
        seconds = float(match[1]) * (unit_s or 0)
        if seconds > _LONGEST_S:
            raise ValueError(f"{text!r} is too long: write {_LONGEST_S // UNITS_S['w']}w or less.")
        return cls(seconds)

    @classmethod
    def _alone_s(cls) -> int | None:
        """Return the unit, in seconds, of a number without a unit; None if it needs one."""
        return None


class Seconds(Duration):
    """A duration whose key names the unit (max_seconds): a number without a unit is seconds."""

    @classmethod
    def _alone_s(cls) -> int | None:
        return 1


class Size(int):
    """A size in bytes, written 500MB or 2GiB. Every number but 0 needs a unit."""

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Return the size in a text. Raises ValueError with a sentence on how to write one."""
        if isinstance(text, Size):
            return cls(text)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|(B))?", str(text).strip(), re.IGNORECASE)
        if not match:
            raise ValueError(f"{text!r} is not a size: write 500MB or 2GiB.")
        number = float(match[1])
        if number and not (match[2] or match[4]):
            raise ValueError(f"{text!r} has no unit: write {match[1]}MB, {match[1]}GB or {match[1]}GiB.")
        size = number * (1024 if match[3] else 1000) ** " KMGT".index((match[2] or " ").upper())
        if size > _MOST_BYTES:
            raise ValueError(f"{text!r} is too large: write {_MOST_BYTES // 10**12}TB or less.")
        return cls(size)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(time: datetime) -> int:
    """Return the microseconds since 1970 of a time with a zone."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """Return the time, in UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def microseconds(seconds: float) -> int:
    """Return seconds as microseconds, as the store counts time."""
    return round(seconds * 1_000_000)


def written_duration(seconds: float) -> str:
    """Return a duration as options and keys take it, in the largest exact unit: 90s, 15m, 6h, 30d."""
    unit = next((unit for unit in "dhm" if seconds and seconds % UNITS_S[unit] == 0), "s")
    return f"{seconds / UNITS_S[unit]:.15g}{unit}"


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """Return a time of UTC as data files have it, 2023-01-01T12:00:00Z; `timespec` is as for `isoformat`."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def written_moment(moment: datetime) -> str:
    """Return a time as options and keys take it: 2023-01-01 for a day of UTC, else 2023-01-01T12:00:00Z."""
    return utc_text(moment).removesuffix("T00:00:00Z")


def written_size(size_bytes: float) -> str:
    """Return a size as options and keys take it: 0.5GB, 2GB."""
    return f"{size_bytes / 1e9:g}GB"


def rounded_duration(seconds: float, least: int = 2) -> str:
    """Return a duration for people, in the largest unit of which there are `least`: 90 s, 15 min, 36 h, 7 d."""
    size = abs(seconds)
    unit, of_unit = next(((u, n) for u, n in (("d", 86_400), ("h", 3600), ("min", 60)) if size >= least * n), ("s", 1))
    return f"{size / of_unit:.0f} {unit}"


def sized(count: float) -> str:
    """Return a size for people: 1.2 kB, 34.5 MB, 6.7 GB."""
    unit, of_unit = next(((u, n) for u, n in (("GB", 1e9), ("MB", 1e6)) if count >= n), ("kB", 1e3))
    return f"{count / of_unit:,.1f} {unit}"
