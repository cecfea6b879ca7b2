"""Reads an export as a `datasets.Dataset`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shp_miner.arguments import Names
from shp_miner.export.scan import scan

if TYPE_CHECKING:
    from datasets import Dataset


def load(
    path: str | os.PathLike[str],
    community: Names | None = None,
    *,
    split: str | None = None,
    tier: str | None = None,
    min_confidence: float | None = None,
    columns: Names | None = None,
    format: str | None = None,  # noqa: A002
) -> Dataset:
    """Return the rows of an export as a `datasets.Dataset`: those of `split`, or of all splits.

    Only the files, row groups and columns that are asked for are read; arguments and errors are those of `scan`. Up to
    256 MB the rows are Arrow in memory: `.to_polars()` shares it, `.to_pandas()` copies what pandas must own. More rows
    are mapped from a temporary file without a name. To read piece by piece instead, use `scan`.
    """
    return scan(
        path,
        community,
        split=split,
        tier=tier,
        min_confidence=min_confidence,
        columns=columns,
        format=format,
    ).to_datasets()
