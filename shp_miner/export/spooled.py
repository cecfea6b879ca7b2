"""Tables that may be larger than memory: above a limit, their rows lie in a temporary file that has no name.

The system deletes the file when the table is gone, even if the process is killed: no copy of a text stays behind that
`forget` could not find.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

#: The most bytes of a table that is kept in memory.
_IN_MEMORY = 1 << 28


def spooled_table(batches: Iterable[pa.RecordBatch], schema: pa.Schema, in_memory: int = _IN_MEMORY) -> pa.Table:
    """Return the batches as one table; above `in_memory` bytes they are mapped from a temporary file (TMPDIR)."""
    held: list[pa.RecordBatch] = []
    size, rest = 0, iter(batches)
    for batch in rest:
        held.append(batch)
        size += batch.nbytes
        if size > in_memory:
            return _mapped(_both(held, rest), schema)
    return pa.Table.from_batches(held, schema)


def _both(held: list[pa.RecordBatch], rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches that are held, letting go of each, then the rest."""
    while held:
        yield held.pop(0)
    yield from rest


def _mapped(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    with tempfile.TemporaryDirectory(prefix="shp-miner-") as folder:
        path = Path(folder, "rows.arrow")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        # The mapping outlives the file's name.
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
