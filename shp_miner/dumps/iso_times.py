"""Many times in words at once, as microseconds since 1970: the usual spelling of ISO 8601 and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from shp_miner.dumps.bytes_at import Words

_Numbers = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]

#: The places in "2024-01-02T03:04:05" at which there is something else than a digit.
_BETWEEN = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":"}
_SECOND_END = 19
_FRACTION_MAX = 6
#: The longest: with six digits behind the second, and a zone such as +02:00.
_LONGEST = 32

_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] + [0] * 87)


def iso_us(texts: pl.Series, *, zone: bool) -> pl.Series:
    """Microseconds since 1970 (Int64) of times such as 2024-01-02T03:04:05.678Z, null where the text is no such time.

    The second may have up to six digits behind it. With `zone` each text must end in Z or an offset such as +02:00,
    else none may have either, and they are UTC.
    """
    if texts.null_count() == len(texts):
        return pl.Series(texts.name, [None], pl.Int64).new_from_index(0, len(texts))
    us, fine = iso_us_at(*_joined(texts), zone=zone)
    return pl.Series(texts.name, us).set(pl.Series(~fine), None)


def iso_us_at(words: Words, begins: _Numbers, ends: _Numbers, *, zone: bool) -> tuple[_Numbers, _Mask]:
    """The same of the pieces of a text from `begins` to before `ends`: microseconds, and where there is such a time."""
    sizes = ends - begins
    read = _Read(_chars(words, begins, sizes))
    chars = read.chars
    fine = (sizes >= _SECOND_END) & (sizes <= _LONGEST)
    for place in range(_SECOND_END):
        fine &= chars[place] == ord(_BETWEEN[place]) if place in _BETWEEN else read.is_digit[place]
    year = read.two(0) * 100 + read.two(2)
    month, day, hour, minute, second = map(read.two, (5, 8, 11, 14, 17))
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    fine &= (year >= 1) & (day >= 1) & (day <= _DAYS[np.clip(month, 0, 99)] + leap)
    fine &= (hour < 24) & (minute < 60) & (second < 60)
    us = (_day_number(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000
    end, fraction = read.fraction()
    us += fraction
    if zone:
        offset_s, ended = read.zone(sizes, end)
        us, fine = us - offset_s * 1_000_000, fine & ended
    else:
        fine &= sizes == end
    return us, fine


def _joined(texts: pl.Series) -> tuple[Words, _Numbers, _Numbers]:
    """All texts one after the other, and where they begin and end."""
    array: Any = texts.fill_null("").rechunk().to_arrow()
    if not pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string())
    _, places, data = array.buffers()
    bounds = np.frombuffer(places, np.int64)[array.offset : array.offset + len(array) + 1]
    return Words(memoryview(data) if data is not None and data.size else b""), bounds[:-1], bounds[1:]


def _chars(words: Words, begins: _Numbers, sizes: _Numbers) -> _Bytes:
    """The characters of each text at each place, zeros behind their ends."""
    parts = [words.first(begins + at, sizes - at) for at in range(0, _LONGEST, 8)]
    return np.ascontiguousarray(np.stack(parts, axis=1).view(np.uint8).T)


class _Read:
    """The digits at each place of many texts."""

    def __init__(self, chars: _Bytes) -> None:
        self.chars, self._digits = chars, chars - np.uint8(ord("0"))
        self.is_digit: _Mask = self._digits < 10

    def two(self, place: int) -> _Numbers:
        """The number that two digits are."""
        found: _Numbers = self._digits[place] * np.int64(10) + self._digits[place + 1]
        return found

    def fraction(self) -> tuple[_Numbers, _Numbers]:
        """Where the second ends with the digits behind it, and their microseconds."""
        size = self.chars.shape[1]
        end, fraction = np.full(size, _SECOND_END), np.zeros(size, np.int64)
        going = self.chars[_SECOND_END] == ord(".")
        if going.any():
            for place in range(_SECOND_END + 1, _SECOND_END + 1 + _FRACTION_MAX):
                going &= self.is_digit[place]
                fraction = fraction * 10 + np.where(going, self._digits[place], 0)
                end[going] = place + 1
        return end, fraction

    def zone(self, sizes: _Numbers, end: _Numbers) -> tuple[_Numbers, _Mask]:
        """How many seconds each is ahead of UTC, and whether it ends in a zone."""
        rows = np.arange(len(end))
        sign = self.chars[end, rows]
        ended = (sign == ord("Z")) & (sizes == end + 1)
        ahead_s = np.zeros(len(end), np.int64)
        others = np.flatnonzero(((sign == ord("+")) | (sign == ord("-"))) & (sizes == end + 6) & (sizes <= _LONGEST))
        if len(others):
            at = end[others]
            hour, ten, minute, one = (self._digits[at + n, others].astype(np.int64) for n in (1, 2, 4, 5))
            hours, minutes = hour * 10 + ten, minute * 10 + one
            numbers = (hour < 10) & (ten < 10) & (minute < 10) & (one < 10)
            ended[others] = numbers & (self.chars[at + 3, others] == ord(":")) & (hours < 24) & (minutes < 60)
            ahead_s[others] = np.where(sign[others] == ord("-"), -1, 1) * (hours * 3600 + minutes * 60)
        return ahead_s, ended


def _day_number(year: _Numbers, month: _Numbers, day: _Numbers) -> _Numbers:
    """Days since 1970 of dates of the Gregorian calendar: years that begin in March, in eras of 400 years.

    See Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    """
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    found: _Numbers = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return found
