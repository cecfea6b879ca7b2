"""How an import is cut into jobs of about equal bytes, which workers share and a later run need not repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from msgspec import Struct, structs

from shp_miner.dumps.compressed import compression_of
from shp_miner.engine import Means
from shp_miner.tally import Tally

#: Files are read together up to this many bytes: starting another worker takes about a second.
_SHARED_FILE_BYTES = 24_000_000

#: What a worker takes besides its decoder's window.
_WORKER_BYTES = 450_000_000


class ImportJob(Struct, frozen=True):
    """Some dump files to be read into a store."""

    kind: str
    paths: list[Path]
    store: Path
    now: datetime
    options: dict[str, Any]


def import_jobs(whole: ImportJob, means: Means, tally: Tally) -> tuple[list[ImportJob], int]:
    """Return the whole import as jobs, the largest first, and the bytes of memory that each may take.

    Files that are passed over before any job are counted in `tally`. A file is one job: two readers of one file would
    both have to decompress all of it. On one machine only Reddit's dumps come in sizes worth sharing.
    """
    if whole.kind == "reddit-dump":
        from shp_miner.dumps.reddit import dump_files  # noqa: PLC0415  (heavy, and only here)

        # What is wrong with any file is said before the first is read, and only once what is passed over in a folder.
        files = [file for file, _ in dump_files(whole.paths, tally)]
        worker_bytes = max((_window(file) for file in files), default=0) + _WORKER_BYTES
        shares = _shares(files, [file.stat().st_size for file in files])
    else:
        apart = means.on_cluster and whole.kind != "table"  # answers take something from the posts of another table
        shares = [[path] for path in whole.paths] if apart else [list(whole.paths)]
        worker_bytes = _WORKER_BYTES
    if means.on_cluster:  # a worker may be in another folder
        whole = structs.replace(whole, store=whole.store.absolute())
        shares = [[path.absolute() for path in paths] for paths in shares]
    return [structs.replace(whole, paths=paths) for paths in shares], worker_bytes


def _shares(files: Sequence[Path], sizes: Sequence[int]) -> list[list[Path]]:
    """Return the files, the largest first, each with smaller ones up to the bytes that are worth a job."""
    shares: list[list[Path]] = []
    filled = _SHARED_FILE_BYTES
    for size, file in sorted(zip(sizes, files, strict=True), key=lambda pair: -pair[0]):
        if filled + size > _SHARED_FILE_BYTES:
            shares.append([])
            filled = 0
        shares[-1].append(file)
        filled += size
    return shares if len(shares) > 1 else [list(files)]  # as they were named


def state_of_files(path: Path) -> str:
    """Return a value that changes when the file, or any file in a folder, has changed since its import."""
    files = sorted(inside for inside in path.rglob("*") if inside.is_file()) if path.is_dir() else [path]
    sizes = []
    for file in files:
        with suppress(FileNotFoundError):
            status = file.stat()
            sizes.append((str(file), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(msgspec.json.encode(sizes)).hexdigest()


def _window(file: Path) -> int:
    """Return the bytes that decoding the file needs by itself: the window of its first zstd frame."""
    if compression_of(file) != "zst":
        return 0
    try:
        with file.open("rb") as opened:
            return zstandard.get_frame_parameters(opened.read(32)).window_size
    except (zstandard.ZstdError, OSError):
        return 0  # a damaged beginning is reported when the file is read
