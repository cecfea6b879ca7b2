"""Checks that `datasets` can load an export before it appears, because names and cards can break that."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shp_miner.errors import UsageError
from shp_miner.export.check import CheckFailedError
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import README
from shp_miner.export.shards import ALL
from shp_miner.paths import is_remote

#: At most this many configurations are loaded: those with the most unusual names.
_LOADED = 16


def check_loads(folder: Path, rows: Mapping[str, Mapping[str, int]]) -> None:
    """Load configurations of an export, and the first row of each of their splits, as users will.

    `rows` has the row counts by configuration and split; the configuration of all communities is first. Raises
    CheckFailedError.
    """
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars  # noqa: PLC0415

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(prefix="shp-miner-") as cache:
            chosen = _chosen(list(rows))
            if is_remote(folder):
                folder = _firsts(folder, chosen, Path(cache, "export"))
            _check(folder.absolute(), {name: rows[name] for name in chosen}, cache)
    finally:
        if shown:
            enable_progress_bars()


def _firsts(folder: Path, names: Sequence[str], to: Path) -> Path:
    """Copy the card of an export in an object store, and the first file of each configuration and split; return `to`.

    All other files are empty: the card names them, and nothing is read from them.
    """
    (to / README).parent.mkdir(parents=True)
    (to / README).write_bytes((folder / README).read_bytes())
    known: set[tuple[str, str]] = set()
    for file in read_manifest(folder)["files"]:
        of = {(name, file["split"]) for name in (ALL, file["config"], file.get("part")) if name in names}
        (to / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        (to / file["path"]).write_bytes(b"" if of <= known else (folder / file["path"]).read_bytes())
        known |= of
    return to


def check_path(out: Path) -> None:
    """Raise UsageError for a path that `datasets` cannot load: it reads brackets in a path as a pattern."""
    if "[" in str(out.absolute().resolve()):
        raise UsageError(
            f"An export cannot be written to {out}: datasets cannot load from a path with brackets.",
            "Choose a path without [.",
        )


def _chosen(names: Sequence[str]) -> list[str]:
    """Return the first name, and of the others those with the most unusual characters."""
    odd = sorted(names[1:], key=lambda name: (sum(not (c.isascii() and c.isalnum()) for c in name), name), reverse=True)
    return [*names[:1], *odd[: _LOADED - 1]]


def _check(folder: Path, rows: Mapping[str, Mapping[str, int]], cache: str) -> None:
    """Check these configurations. The first is opened by its path; its builder has read the card for all others."""
    from datasets import load_dataset_builder  # noqa: PLC0415

    builder, name = None, ""
    try:
        for name, wanted in rows.items():
            how: Any = {"cache_dir": cache, "batch_size": 1}
            if builder is None:
                builder = load_dataset_builder(str(folder), name, **how)
            else:
                how |= {"base_path": builder.base_path, "dataset_name": builder.dataset_name, "hash": builder.hash}
                builder = type(builder)(config_name=name, **how)
            splits = builder.as_streaming_dataset()
            missing = [split for split in wanted if split not in splits or next(iter(splits[split]), None) is None]
            if missing or set(splits) != set(wanted):
                raise CheckFailedError(
                    f"The configuration {name!r} has the splits {sorted(splits)}, not {sorted(wanted)}."
                )
    except (OSError, CheckFailedError):
        raise
    except Exception as error:
        raise CheckFailedError(f"datasets cannot load the configuration {name!r}: {error}") from error
