"""Rows of an export for torch. Imported only by who asks for them: torch takes seconds to import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from shp_miner.export.scan import Scan


class Rows(IterableDataset):  # type: ignore[misc]
    """The rows of a scan as dicts, in the order of the files. Each worker of a DataLoader reads its own row groups."""

    def __init__(self, scanned: Scan) -> None:
        super().__init__()
        self.scanned = scanned

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of this worker, one by one."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for batch in self.scanned.share(number, workers):
            yield from batch.to_pylist()
