"""Rows of an Arrow IPC stream, as `datasets` saves them with `save_to_disk`.

The file is mapped, and its buffers are not believed: each batch is validated before it is read. What can unpack to more
than the file (compressed buffers, dictionaries, views, values without bytes) is refused; `datasets` writes none of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa

from shp_miner.dumps import parquet
from shp_miner.dumps.compressed import Advance
from shp_miner.engine import Step
from shp_miner.paths import is_remote
from shp_miner.tally import Damage, Tally

#: What a stream begins with.
MAGIC = b"\xff\xff\xff\xff"

_END = MAGIC + bytes(4)

#: Rows turned into records at a time.
_ROWS = 1024

#: The numbers of two fields of Arrow's Message.fbs: `header` of a Message, and `compression` of a RecordBatch.
_HEADER, _COMPRESSION = 2, 3

_PLAIN = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_timestamp,
    pa.types.is_decimal,
)


class _NotReadError(Exception):
    """The stream has something that is not read."""


def column_names(path: Path) -> list[str]:
    """Return the columns of a stream. Raises ArrowException or OSError where its beginning is damaged."""
    with _mapped(path) as file:
        return list(_schema(pa.ipc.MessageReader.open_stream(file)).names)


def records(path: Path, tally: Tally, advance: Advance) -> Iterator[parquet.Record]:
    """Yield each row with its place. From a damaged batch on, the stream is noted as damaged and not read."""
    advance(Step(doing=path.name))
    row = offset = 0
    try:
        with _mapped(path) as file:
            messages = pa.ipc.MessageReader.open_stream(file)
            schema = _schema(messages)
            for column in schema:
                _require_plain(column.type, column.name)
            while True:
                offset = file.tell()
                try:
                    message = messages.read_next_message()
                except StopIteration:
                    _require_end(file, offset)
                    return
                for record in _rows(_batch(message, schema)):
                    yield Damage(str(path), offset, f"row {row}: "), record
                    row += 1
                advance(file.tell() - offset)
    except _NotReadError as error:
        hint = "Save the data set again, by `to_parquet` or `to_json`."
        tally.damages.append(Damage(str(path), offset, f"is not read from row {row} on: {error}", hint))
    except (pa.ArrowException, OSError, struct.error) as error:
        tally.damages.append(Damage(str(path), offset, f"breaks off at row {row} ({error})"))


def _mapped(path: Path) -> AbstractContextManager[Any]:
    mapped: AbstractContextManager[Any] = (
        pa.PythonFile(path.open("rb"), "r") if is_remote(path) else pa.memory_map(str(path))
    )
    return mapped


def _schema(messages: Any) -> pa.Schema:
    """Return the columns, which the first message tells. Raises ArrowException."""
    try:
        message = messages.read_next_message()
        if message.type != "schema":  # read as one, it would crash the process
            raise pa.ArrowInvalid(f"it begins with a message of the type {message.type}")
        schema = pa.ipc.read_schema(message)
        list(map(str, schema.names))  # its names are decoded only now
    except (StopIteration, UnicodeDecodeError) as error:
        raise pa.ArrowInvalid(f"its columns cannot be read: {error}") from error
    return schema


def _require_end(file: Any, offset: int) -> None:
    """Raise ArrowInvalid if the stream does not end with its mark: it was cut between two batches."""
    file.seek(offset)
    if file.read(len(_END)) != _END:
        raise pa.ArrowInvalid("the mark of its end is missing")


def _batch(message: Any, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of a message. Raises ArrowInvalid or _NotReadError."""
    if message.type != "record batch":
        raise _NotReadError(f"it has a message of the type {message.type}")
    if _is_compressed(message.metadata.to_pybytes()):
        raise _NotReadError("its buffers are compressed")
    batch: pa.RecordBatch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    return batch


def _rows(batch: pa.RecordBatch) -> Iterator[Any]:
    for start in range(0, batch.num_rows, _ROWS):
        for _, record in parquet.rows_of(batch.slice(start, _ROWS)):
            yield record


def _is_compressed(message: bytes) -> bool:
    """Whether the buffers of a record batch are compressed, by the message's metadata (a checked flatbuffer)."""
    root = struct.unpack_from("<I", message, 0)[0]
    header = root + _field_at(message, root, _HEADER)
    batch = header + struct.unpack_from("<I", message, header)[0]
    return _field_at(message, batch, _COMPRESSION) != 0


def _field_at(message: bytes, table: int, number: int) -> int:
    """Return where a field of a flatbuffer's table begins in the table, 0 if it is left out."""
    fields = table - struct.unpack_from("<i", message, table)[0]
    size = struct.unpack_from("<H", message, fields)[0]
    place = 4 + 2 * number
    at: int = struct.unpack_from("<H", message, fields + place)[0] if place < size else 0
    return at


def _require_plain(kind: pa.DataType, name: str) -> None:
    """Raise _NotReadError for a type whose values need not have bytes of their own in the file."""
    if pa.types.is_struct(kind) and kind.num_fields:
        for number in range(kind.num_fields):
            _require_plain(kind.field(number).type, name)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _require_plain(kind.value_type, name)
    elif not any(is_kind(kind) for is_kind in _PLAIN):
        raise _NotReadError(f"its column {name:.60} has the type {kind!s:.60}")
