"""The row groups of a Parquet file as the directory at its end has them, read here and not by the library.

The library ends the process at some damaged directories: it raises where nothing may be raised. What it reads of the
rows themselves it checks. Source: Apache Parquet's format (parquet.thrift) in Thrift's compact protocol.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from msgspec import Struct

#: Bytes behind the directory: its length and the mark.
_END = 8
_MARK = b"PAR1"

#: Structures in each other at most; a directory has six.
_DEEPEST = 16

#: Numbers of the fields that are read here.
_ROW_GROUPS, _COLUMNS, _ROWS, _META = 4, 1, 3, 3
_VALUES, _UNPACKED, _PACKED, _DATA_PAGE, _DICTIONARY = 5, 6, 7, 9, 11
_PATH = 3


class Chunk(Struct, frozen=True):
    """A column of a row group: its name, its values, the bytes that it takes and unpacks to, and where they begin.

    `offset` is where its first page of values begins, `begin` its first page of any kind.
    """

    name: str
    values: int
    unpacked: int
    packed: int
    offset: int
    begin: int


class RowGroup(Struct, frozen=True):
    """A row group: its rows and columns."""

    rows: int
    columns: list[Chunk]

    @property
    def packed(self) -> int:
        """The bytes that it takes."""
        return sum(column.packed for column in self.columns)

    @property
    def unpacked(self) -> int:
        """The bytes that its columns say they unpack to."""
        return sum(column.unpacked for column in self.columns)


def row_groups(path: Path) -> list[RowGroup]:
    """Return the row groups of a file. Raises ArrowInvalid where the directory is damaged, and OSError."""
    with path.open("rb") as file:
        directory = _directory(file)
    try:
        found = Compact(directory).structure()
        groups = [_row_group(group) for group in found.get(_ROW_GROUPS, [])]
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise pa.ArrowInvalid(f"its row groups are not told ({type(error).__name__})") from error
    return groups


def _directory(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END, 0))
    end = file.read(_END)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MARK or length + _END > size:
        raise pa.ArrowInvalid("the file does not end as Parquet does")
    file.seek(size - _END - length)
    return file.read(length)


def _row_group(found: dict[int, Any]) -> RowGroup:
    chunks = []
    for column in found[_COLUMNS]:
        meta = column[_META]
        name = ".".join(part.decode("utf-8", "replace") for part in meta[_PATH])
        numbers = [int(meta[field]) for field in (_VALUES, _UNPACKED, _PACKED, _DATA_PAGE)]
        if min(numbers) < 0:
            raise ValueError
        values, unpacked, packed, offset = numbers
        names = int(meta.get(_DICTIONARY, 0))
        chunks.append(Chunk(name, values, unpacked, packed, offset, names if 0 < names < offset else offset))
    if not chunks or found[_ROWS] < 0:
        raise ValueError
    return RowGroup(int(found[_ROWS]), chunks)


class Compact:
    """Reads Thrift's compact protocol: a structure becomes its fields by number. Raises what a damaged one leads to."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._depth = data, 0, 0

    @property
    def end(self) -> int:
        """Where the bytes that were read end."""
        return self._at

    def structure(self) -> dict[int, Any]:
        """The fields of the structure that comes next."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        self._depth -= 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):  # in a list, a truth value takes a byte
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind in (7, 8):
            return self._bytes(8 if kind == 7 else self._unsigned())
        if kind == 12:
            return self.structure()
        return self._several(kind)

    def _several(self, kind: int) -> list[Any]:
        if kind in (9, 10):
            head = self._byte()
            return self._list(head >> 4 if head >> 4 < 15 else self._unsigned(), head & 15)
        if kind != 11:
            raise ValueError
        count = self._unsigned()
        kinds = self._byte() if count else 0
        return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(self._possible(count))]

    def _list(self, count: int, kind: int) -> list[Any]:
        return [self._value(kind) for _ in range(self._possible(count))]

    def _possible(self, count: int) -> int:
        if count > len(self._data) - self._at:  # each takes a byte at least
            raise ValueError
        return count

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _bytes(self, count: int) -> bytes:
        value = self._data[self._at : self._at + self._possible(count)]
        self._at += count
        return value

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
