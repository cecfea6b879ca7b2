"""How an import is cut into jobs of about equal bytes, which workers share and a later run need not repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from msgspec import Struct, structs

from shp_miner.dumps.boundaries import has_frames, next_boundary
from shp_miner.dumps.compressed import compression_of, decompressed_head
from shp_miner.dumps.inputs import size_bytes
from shp_miner.dumps.plain_lines import LOOKED_AT, is_in_lines
from shp_miner.dumps.sections import Section
from shp_miner.engine import Means, cores
from shp_miner.tally import Tally

#: Files are read together up to this many bytes: starting another worker takes about a second.
_SHARED_FILE_BYTES = 24_000_000

#: A file that can be cut is read in sections of up to so many bytes of lines, which take a reader some seconds; of
#: what is packed (Parquet, frames), so many times fewer.
SECTION_BYTES, _PACKED = 512_000_000, 4

#: Sections of a file at most, since each is at least one commit to the store; and bytes searched at once for a cut.
_SECTIONS_MAX = 256
_LOOKED_AT_ONCE = 1 << 20

#: Bytes that are searched for the beginning of a frame, before the rest is taken for one.
_SEARCHED = 16 << 20

#: What a worker takes besides its decoder's window.
_WORKER_BYTES = 450_000_000


class ImportJob(Struct, frozen=True):
    """Some dump files, or a section of one, to be read into a store."""

    kind: str
    paths: list[Path]
    store: Path
    now: datetime
    options: dict[str, Any]
    section: Section | None = None

    @property
    def bytes(self) -> int:
        """The bytes of files that are read."""
        return self.section.size if self.section else size_bytes(self.paths)


#: The files of a job, and of a single one the section.
Share = tuple[list[Path], Section | None]


def import_jobs(whole: ImportJob, means: Means, tally: Tally) -> tuple[list[ImportJob], int]:
    """Return the whole import as jobs, the largest files first, and the bytes of memory that each may take.

    Files that are passed over before any job are counted in `tally`. Large files of
    Reddit and of threads are cut where several read. A compressed one is cut between frames; one of a single frame is
    one job: two readers of it would both have to decompress all of it.
    """
    shared = means.on_cluster or readers_of(whole, means) > 1
    worker_bytes = _WORKER_BYTES
    if whole.kind == "reddit-dump":
        from shp_miner.dumps.reddit import dump_files  # noqa: PLC0415  (heavy, and only here)

        # What is wrong with any file is said before the first is read, and only once what is passed over in a folder.
        files = [file for file, _ in dump_files(whole.paths, tally)]
        worker_bytes += max((_window(file) for file in files), default=0)
        shares = _shares(files, cut=set(files) if shared else ())
    elif whole.kind == "threads" and shared and (means.on_cluster or _is_large(whole.paths)):
        from shp_miner.dumps.threads import thread_files  # noqa: PLC0415  (as above)

        found = thread_files(whole.paths, tally, **whole.options)
        shares = _shares([file for file, _ in found], cut={file for file, kind in found if kind.in_batches})
    else:
        apart = means.on_cluster and whole.kind != "table"  # answers take something from the posts of another table
        shares = [([path], None) for path in whole.paths] if apart else [(list(whole.paths), None)]
    if means.on_cluster:  # a worker may be in another folder
        whole = structs.replace(whole, store=whole.store.absolute())
        shares = [([path.absolute() for path in paths], section) for paths, section in shares]
    return [structs.replace(whole, paths=paths, section=section) for paths, section in shares], worker_bytes


def _is_large(paths: Sequence[Path]) -> bool:
    """Whether files may be worth cutting. What cannot be looked at is for the reader to report."""
    with suppress(OSError):
        return size_bytes(paths) > SECTION_BYTES // _PACKED
    return False


def readers_of(job: ImportJob, means: Means) -> int:
    """Return how many readers keep the workers busy on this machine.

    A reader keeps two cores busy by itself: one decompresses ahead, the other parses. With a filter only the first.
    """
    workers = means.workers or cores()
    return workers if job.options.get("communities") else max(workers // 2, 1)


def _shares(files: Sequence[Path], *, cut: Collection[Path]) -> list[Share]:
    """Return the files, the largest first, each with smaller ones up to the bytes that are worth a job.

    Large ones of `cut` are given as sections, in their order.
    """
    shares: list[Share] = []
    filled = _SHARED_FILE_BYTES
    for size, file in sorted(((file.stat().st_size, file) for file in files), key=lambda pair: -pair[0]):
        sections = sections_of(file, SECTION_BYTES) if file in cut else []
        if sections:
            shares += [([file], section) for section in sections]
            filled = _SHARED_FILE_BYTES
            continue
        if filled + size > _SHARED_FILE_BYTES:
            shares.append(([], None))
            filled = 0
        shares[-1][0].append(file)
        filled += size
    return shares if len(shares) > 1 else [(list(files), None)]  # as they were named


def sections_of(path: Path, size: int) -> list[Section]:
    """Return a file's sections of about `size` bytes, in their order; none where the file is best read as a whole."""
    whole, kind = path.stat().st_size, compression_of(path)
    packed = max(size // _PACKED, 1)
    if whole <= packed or (kind != "plain" and not has_frames(kind)):
        return []
    if kind == "plain":
        with path.open("rb") as file:
            start = file.read(LOOKED_AT)
    else:
        start = decompressed_head(path, LOOKED_AT)
    in_rows = kind == "plain" and start.startswith(b"PAR1")
    count = min(-(-whole // (size if kind == "plain" and not in_rows else packed)), _SECTIONS_MAX)
    if count == 1 or not (in_rows or is_in_lines(start, ends=len(start) < LOOKED_AT)):
        return []
    about = -(-whole // count)
    if in_rows:
        found = _row_groups(path, about)
    elif kind == "plain":
        found = _cut(whole, about, partial(_line_end, path))
    else:
        found = _cut(whole, about, lambda wanted: next_boundary(path, kind, wanted, wanted + _SEARCHED))
    return found if len(found) > 1 else []


def _cut(whole: int, size: int, next_cut: Callable[[int], int | None]) -> list[Section]:
    """Cut at the first place for it at or behind each multiple of `size`, until there is none."""
    cuts = [0]
    for wanted in range(size, whole, size):
        if wanted <= cuts[-1]:
            continue  # within a line or a frame that is longer than a section
        cut = next_cut(wanted)
        if cut is None:
            break
        cuts.append(cut)
    if cuts[-1] != whole:
        cuts.append(whole)
    return [Section(begin, end, end - begin) for begin, end in pairwise(cuts)]


def _line_end(path: Path, wanted: int) -> int | None:
    """Return the place behind the first line end at or behind the byte before `wanted`."""
    place = wanted - 1
    with path.open("rb") as file:
        file.seek(place)
        for block in iter(partial(file.read, _LOOKED_AT_ONCE), b""):
            found = block.find(b"\n")
            if found >= 0:
                return place + found + 1
            place += len(block)
    return None


def _row_groups(path: Path, size: int) -> list[Section]:
    """Put row groups together up to `size` bytes, as they are packed."""
    import pyarrow as pa  # noqa: PLC0415  (heavy, and only here)

    from shp_miner.dumps.parquet_footer import row_groups  # noqa: PLC0415

    try:
        groups = row_groups(path)
    except (pa.ArrowException, OSError):
        return []  # damaged: reading it says so
    found: list[Section] = []
    begin = packed = 0
    for number, group in enumerate(groups):
        packed += group.packed
        if packed >= size or number + 1 == len(groups):
            found.append(Section(begin, number + 1, packed))
            begin, packed = number + 1, 0
    return found


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
