"""Lines of JSON as the columns of a table, by a native parser that lets other threads run meanwhile.

The parser is pyarrow's. It wants to know the type of each key, so types are learnt from the records that were met. It
takes more than JSON allows, and some of what it should refuse ends the process: such lines are not shown to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from threading import Lock
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as pj

from shp_miner.dumps.bytes_at import places_of
from shp_miner.dumps.lines import Lines, decoded, positions_of
from shp_miner.platforms.records import is_utf8

#: What a key may hold: Python's types, the content of a list, or the keys of an object.
Shape = tuple[type, ...] | list[Any] | dict[str, Any]

#: Lines that the strict decoder reads at once, and those that types are learnt from at first.
_AT_ONCE, _LEARNT_FROM = 16, 32
#: A longer line is no record, an object of fewer bytes has no use: each value of a column takes memory, whether the
#: text has it or not.
_BYTES_MAX, _OBJECT_BYTES = 32_000_000, 20
#: What only a list holds, and what no JSON has.
_NULLS, _NO_JSON = (b"null,null", b"null, null"), (b"NaN", b"Infinity")
_NULL_BEHIND = re.compile(rb"\}[ \t\r]*null")
#: Batches that may fail before none is tried any more.
_FAILED_MAX = 4

_TYPES: dict[type, pa.DataType] = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def shape_of(kind: Any) -> Shape:
    """The shape of a type as msgspec decodes it. Other types than those of JSON (times) are texts there."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: shape_of(field.type) for field in msgspec.structs.fields(kind)}
    origin = get_origin(kind)
    if origin is list:
        return [shape_of(get_args(kind)[0])]
    if origin in (Union, UnionType):
        parts = [shape_of(part) for part in get_args(kind) if part not in (NoneType, msgspec.UnsetType)]
        plain = [one for part in parts if isinstance(part, tuple) for one in part]
        return tuple(dict.fromkeys(plain)) if plain else parts[0]
    return (str,) if origin is Literal or kind not in _TYPES else (kind,)


@dataclass
class Parsed:
    """Some lines of a batch: as a table, or as the records of a strict decoder where the parser does not do.

    `numbers` are the numbers of those lines, `text` is theirs.
    """

    table: pa.RecordBatch | None
    records: list[Any]
    numbers: npt.NDArray[np.int64]
    text: bytes


class Parser:
    """Parses the lines of a file, in any thread. `decoder` is the strict one, and tells which lines are usual.

    The parser refuses lines with keys that the decoder's type does not have. With a `shape` it passes over the keys
    that are not in it, and a table has columns of all that are.
    """

    def __init__(self, decoder: msgspec.json.Decoder[Any], shape: dict[str, Any] | None = None) -> None:
        self._decoder = decoder
        self._unknown: Literal["error", "ignore"] = "error" if shape is None else "ignore"
        if shape is None:
            found = shape_of(decoder.type)
            assert isinstance(found, dict)
            self._shape, self._seen = found, dict[str, Any]()
        else:
            self._shape, self._seen = shape, _first(shape)
        self._schema = pa.schema([])
        self._learning = Lock()
        self._failed = 0

    def parsed(self, lines: Lines) -> Parsed:
        """The table of some lines, or their records."""
        shown = may_be_shown(lines, unknown_keys=self._unknown == "ignore")
        if self._failed >= _FAILED_MAX or 2 * shown.sum() < len(lines):
            return self._records(lines)
        part, numbers = (lines, np.arange(len(lines))) if shown.all() else (lines.where(shown), np.flatnonzero(shown))
        if not self._schema.names:
            self._learn(part.part(0, min(len(part), _LEARNT_FROM)))
        table = self._table(part)
        if table is None:
            # It failed for a line that is not usual, or for a key or type that was not met so far.
            usual = np.zeros(len(part), bool)
            usual[self.strictly(part)[1]] = True
            part, numbers = (part, numbers) if usual.all() else (part.where(usual), numbers[usual])
            if len(part) and (self._learn(part) or not usual.all()):
                table = self._table(part)
        self._failed = 0 if table is not None else self._failed + 1
        return self._records(lines) if table is None else Parsed(table, [], numbers, part.text)

    def _records(self, lines: Lines) -> Parsed:
        return Parsed(None, *self.strictly(lines), lines.text)

    def strictly(self, lines: Lines) -> tuple[list[Any], npt.NDArray[np.int64]]:
        """The records of the lines that are usual, and their numbers."""
        records, numbers = decoded(lines, self._decoder, _AT_ONCE)
        return records, np.array(numbers, np.int64)

    def _table(self, lines: Lines) -> pa.RecordBatch | None:
        options = pj.ReadOptions(use_threads=False, block_size=len(lines.text) + 1)
        parse = pj.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior=self._unknown)
        source: Any = pa.BufferReader(lines.text)  # the stubs know no such file
        try:
            table = pj.read_json(source, options, parse)
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        found = table.combine_chunks().to_batches()
        return found[0] if table.num_rows == len(lines) and len(found) == 1 else None

    def _learn(self, lines: Lines) -> bool:
        """Take in the keys and types of lines that are JSON; return whether any is new."""
        with self._learning:
            for _, line in lines:
                try:
                    record = msgspec.json.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                if isinstance(record, dict):
                    self._seen = _merged(self._shape, record, self._seen)
            schema = pa.schema([(name, _type(seen)) for name, seen in self._seen.items()])
            is_new = schema != self._schema
            self._schema = schema
        return is_new


def _first(shape: Shape) -> Any:
    """All keys of a shape as if they were seen, with the first type of those that have but one."""
    if isinstance(shape, dict):
        return {name: _first(inside) for name, inside in shape.items()}
    if isinstance(shape, list):
        return [_first(shape[0])]
    return shape[0] if len(shape) == 1 else None


def _merged(shape: Shape, value: Any, seen: Any) -> Any:
    """What was seen of a key, with another value of it; what does not fit its shape is not taken in."""
    if isinstance(shape, dict) and isinstance(value, dict):
        found = dict(seen or {})
        for name, inside in value.items():
            if name in shape:
                found[name] = _merged(shape[name], inside, found.get(name))
        return found
    if isinstance(shape, list) and isinstance(value, list):
        inner = seen[0] if seen else None
        for inside in value:
            inner = _merged(shape[0], inside, inner)
        return [inner]
    kind = type(value)
    if not isinstance(shape, tuple) or kind not in (str, bool, int, float):
        return seen
    if kind is int and int not in shape:
        kind = float
    if kind not in shape or (seen is not None and (seen, kind) != (int, float)):
        return seen
    return kind


def _type(seen: Any) -> pa.DataType:
    if isinstance(seen, dict):
        return pa.struct([(name, _type(inside)) for name, inside in seen.items()])
    if isinstance(seen, list):
        return pa.list_(_type(seen[0]))
    return _TYPES.get(seen, pa.null())


def may_be_shown(lines: Lines, *, unknown_keys: bool) -> npt.NDArray[np.bool_]:
    """Which lines may be shown to the parser: each is an object as far as its ends tell, in sound text.

    With `unknown_keys` the parser does not look at all values, and passes over some that are no JSON.
    """
    text, starts = lines.text, lines.starts
    raw = np.frombuffer(text, np.uint8)
    ends = starts[1:] - 2
    ends = ends - (raw[ends] == ord("\r"))
    braces = places_of(text, b"}")
    objects, sizes = np.diff(np.searchsorted(braces, starts)), np.diff(starts)
    shown: npt.NDArray[np.bool_] = (raw[starts[:-1]] == ord("{")) & (raw[ends] == ord("}"))
    shown &= (sizes <= _BYTES_MAX) & ((objects - 1) * _OBJECT_BYTES <= sizes)
    # A value of its own behind an object: of null the parser makes a crash.
    behind = raw[braces[:-1] + 1]
    doubtful = braces[:-1][(behind <= ord(" ")) & (behind != ord("\n")) | (behind == ord("n"))].tolist()
    places = [np.array([place for place in doubtful if _NULL_BEHIND.match(text, place)], np.int64)]
    places += [positions_of(text, needle) for needle in (*_NULLS, *(_NO_JSON if unknown_keys else ()))]
    shown[np.searchsorted(starts, np.concatenate(places), side="right") - 1] = False
    if not (text.isascii() or is_utf8(text)):
        shown &= np.array([is_utf8(line) for _, line in lines])
    return shown
