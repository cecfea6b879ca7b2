"""The values of many threads or answers, key by key, as columns: of decoded records, or of a table's columns.

Where a value is odd (a time in other words, a count with a fraction) a column of its own says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import polars as pl
from msgspec import UNSET

from shp_miner.dumps.iso_times import iso_us
from shp_miner.dumps.threads_layout import GONE_AUTHORS
from shp_miner.model import SCORE_MAX
from shp_miner.platforms.rows import seconds_us

#: What programs write for a time that nobody knows.
_UNKNOWN_TEXTS = ("", "0")


class UnusualError(Exception):
    """A column is of a type, or a table of a form, that the careful way must look at."""


class Values(Protocol):
    """The values of each key as columns of its name, null where there is none."""

    def texts(self, name: str) -> pl.Series:
        """Texts."""

    def flags(self, name: str) -> pl.Series:
        """True or false."""

    def ids(self, name: str) -> pl.Series:
        """Ids, of which whole numbers become texts."""

    def ratios(self, name: str) -> pl.Series:
        """Numbers with fractions."""

    def authors(self) -> list[pl.Series]:
        """The names of authors, and `author_gone`: whether the account is gone."""

    def times(self, name: str) -> list[pl.Series]:
        """Microseconds since 1970, null where they are unknown or odd, and `<name>_odd`."""

    def counts(self, name: str) -> list[pl.Series]:
        """Whole numbers, null where there is none or where they are odd, and `<name>_odd`."""


class Records:
    """The values of decoded records, all of one kind."""

    def __init__(self, records: Sequence[msgspec.Struct]) -> None:
        self._records = records

    def _of(self, name: str) -> list[Any]:
        return list(map(attrgetter(name), self._records))

    def texts(self, name: str) -> pl.Series:
        """Texts."""
        return pl.Series(name, self._of(name), pl.String)

    def flags(self, name: str) -> pl.Series:
        """True or false."""
        return pl.Series(name, self._of(name), pl.Boolean)

    def ids(self, name: str) -> pl.Series:
        """Ids, of which whole numbers become texts."""
        values = self._of(name)
        try:
            return pl.Series(name, values, pl.String)
        except TypeError:
            return pl.Series(name, [str(value) if isinstance(value, int) else value for value in values], pl.String)

    def ratios(self, name: str) -> pl.Series:
        """Numbers with fractions."""
        return pl.Series(name, self._of(name), pl.Float64)

    def authors(self) -> list[pl.Series]:
        """The names of authors, and `author_gone`: whether the account is gone."""
        values = self._of("author")
        gone = pl.Series("author_gone", [name is None or name in GONE_AUTHORS for name in values], pl.Boolean)
        return [pl.Series("author", [None if name is UNSET else name for name in values], pl.String), gone]

    def times(self, name: str) -> list[pl.Series]:
        """Microseconds since 1970, null where they are unknown or odd, and `<name>_odd`."""
        values = self._of(name)
        said = pl.Series(name, [value if isinstance(value, str) else None for value in values], pl.String)
        if not said.null_count():
            return words_us(said)
        found, odd = words_us(said)
        numbers = pl.Series(
            name, [None if isinstance(value, str) else value for value in values], pl.Float64, strict=False
        )
        more, more_odd = seconds_as_us(numbers)
        return [found.fill_null(more), (odd | more_odd).alias(f"{name}_odd")]

    def counts(self, name: str) -> list[pl.Series]:
        """Whole numbers, null where there is none or where they are odd, and `<name>_odd`."""
        values = self._of(name)
        try:
            return whole(pl.Series(name, values, pl.Int64))
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            return whole_numbers(pl.Series(name, values, pl.Float64, strict=False))


def words_us(said: pl.Series) -> list[pl.Series]:
    """Times in words, with a zone, as `Values.times`."""
    found = iso_us(said, zone=True)
    unknown = said.is_null() | said.is_in(_UNKNOWN_TEXTS)
    return [found, (found.is_null() & ~unknown).alias(f"{said.name}_odd")]


def seconds_as_us(numbers: pl.Series) -> list[pl.Series]:
    """Times in seconds (Float64) as `Values.times`."""
    found = pl.select(seconds_us(pl.lit(numbers))).to_series().alias(numbers.name)
    unknown = numbers.is_null() | (numbers == 0)
    return [found, (found.is_null() & ~unknown).alias(f"{numbers.name}_odd")]


def whole(numbers: pl.Series) -> list[pl.Series]:
    """Whole numbers (Int64) as `Values.counts`."""
    return [numbers, never(numbers.name, len(numbers))]


def whole_numbers(numbers: pl.Series) -> list[pl.Series]:
    """Numbers that may have fractions (Float64) as `Values.counts`."""
    fine = (numbers == numbers.floor()) & numbers.is_between(-SCORE_MAX, SCORE_MAX)
    found = numbers.set(~fine.fill_null(value=False), None).cast(pl.Int64)
    return [found, (numbers.is_not_null() & found.is_null()).alias(f"{numbers.name}_odd")]


def none_of(name: str, size: int, kind: type[pl.DataType]) -> pl.Series:
    """A column without values."""
    return pl.Series(name, [None], kind).new_from_index(0, size)


def never(name: str, size: int) -> pl.Series:
    """The column `<name>_odd` where no value is."""
    return pl.Series(f"{name}_odd", [False], pl.Boolean).new_from_index(0, size)
