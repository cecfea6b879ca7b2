"""Rows of an export for torch. Imported only by who asks for them: torch takes seconds to import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa
from torch.utils.data import IterableDataset, get_worker_info


class Shared(Protocol):
    """Rows in batches of which each of several workers can read its share; a Scan."""

    def share(self, number: int, of: int, rows: int = ...) -> Iterator[pa.RecordBatch]:
        """Yield the batches of worker `number` of `of`."""
        ...


class Rows(IterableDataset):  # type: ignore[misc]
    """The rows of a scan as dicts, in the order of the files. Each worker of a DataLoader reads its own row groups."""

    def __init__(self, scanned: Shared) -> None:
        super().__init__()
        self.scanned = scanned

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of this worker, one by one."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for batch in self.scanned.share(number, workers):
            yield from batch.to_pylist()
