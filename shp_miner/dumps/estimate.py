"""What an import would take, by the sizes of its files and a short probe of the largest; nothing is written."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shp_miner.arguments import Amount, Paths, several, size, whole_number
from shp_miner.arguments import paths as given_paths
from shp_miner.dumps.importing import reader
from shp_miner.dumps.kinds import known_kind
from shp_miner.dumps.pipes import is_read_once
from shp_miner.dumps.sharing import ImportJob, import_jobs
from shp_miner.engine import LOCAL, Means, cores, default_memory, fitting_workers
from shp_miner.errors import BadInput, UsageError
from shp_miner.paths import expanded, is_remote
from shp_miner.places.ranges import PART_BYTES
from shp_miner.store.lake import BYTES_PER_COMMIT, FILES_BEFORE_COMPACTION, ROWS_PER_COMMIT
from shp_miner.tally import Tally

if TYPE_CHECKING:
    from shp_miner.platforms.rows import Chunk
    from shp_miner.store import Store

#: Seconds of CPU time after which a probe ends; each group of files gets one.
PROBE_S = 3.0

#: Bytes of a file that a probe reads in any case: less says nothing of the rest.
_LEAST_BYTES = 1 << 20

#: Requests of an append to a store on an object store (the mean of 130), and of everything around the appends of an
#: import. Measured on the server of the tests, by a count of what it was asked.
REQUESTS_PER_COMMIT, REQUESTS_AROUND = 75, 200

#: Requests to look at an object before it is read.
_LOOKS = 10

#: Rows that are written to memory, to see how many bytes they take in the store.
_MEASURED_ROWS = 20_000


class ImportEstimate(Struct):
    """What an import would take. The counts of rows and bytes of the store are scaled up from `probed_bytes`.

    `cpu_s` is CPU time of all processes together, `seconds` the time on this machine. `memory_bytes` is that of all
    `workers` at once, `temporary_bytes` what old files of the store take until a vacuum, and in TMPDIR the posts of an
    archive between their two readings. `requests` are those to object stores.
    """

    kind: str
    files: int
    bytes: int
    probed_bytes: int
    tasks: int
    workers: int
    memory_bytes: int
    temporary_bytes: int
    cpu_s: float
    seconds: float
    requests: int
    posts: int
    answers: int
    store_bytes: int


class Probe(Struct):
    """What was read of some files in a few seconds of CPU time."""

    bytes: int = 0
    cpu_s: float = 0.0
    posts: int = 0
    answers: int = 0
    row_bytes: int = 0
    store_bytes: float = 0.0

    def add(self, other: Probe) -> None:
        """Add what was read of other files."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def times(self, size_bytes: int) -> Probe:
        """Return the same for files of so many bytes."""
        factor = size_bytes / max(self.bytes, 1)
        posts, answers, row_bytes = (round(count * factor) for count in (self.posts, self.answers, self.row_bytes))
        return Probe(size_bytes, self.cpu_s * factor, posts, answers, row_bytes, self.store_bytes * factor)


class _Enough(BaseException):
    """The probe has read for long enough. No error: nothing that readers survive."""


def estimate_import(  # noqa: PLR0913  (every option of the command, by name)
    kind: str,
    paths: Paths,
    store: Store | str | os.PathLike[str],
    *,
    now: datetime | None = None,
    workers: int | None = None,
    memory: Amount | None = None,
    engine: str = LOCAL,
    address: str | None = None,
    probe_s: float = PROBE_S,
    **options: Any,
) -> ImportEstimate:
    """Return what `import_dump` with the same arguments would take; nothing is written.

    Reads for at most about `probe_s` seconds of CPU time in the largest file of each group (Reddit's posts and comments
    are groups). Raises as `import_dump` does, and UsageError for a pipe, which can be read only once.
    """
    kind = known_kind(kind)
    means = Means(whole_number(workers, "workers"), size(memory, "memory"), engine, address).checked()
    target = store.path if hasattr(store, "path") else expanded(store)
    files = given_paths(paths, "paths")
    if any(is_read_once(path) for path in files):
        raise UsageError("A pipe can be read only once.", "Name files for a dry run.")
    if "communities" in options:
        options["communities"] = several(options["communities"], "communities")
    moment = now or datetime.now(UTC)
    jobs, each_bytes = import_jobs(ImportJob(kind, files, target, moment, options), means, Tally())
    sizes = {path: path.stat().st_size for path in dict.fromkeys(path for job in jobs for path in _files(job.paths))}
    total = Probe()
    for group in _groups(kind, sizes, options):
        largest = max(group, key=lambda path: sizes[path])
        part = _probed(kind, largest, moment, options, probe_s).times(sum(sizes[path] for path in group))
        total.add(part)
    commits = len(jobs) + max((total.posts + total.answers) // ROWS_PER_COMMIT, total.row_bytes // BYTES_PER_COMMIT)
    requests = sum(size_bytes // PART_BYTES + _LOOKS for path, size_bytes in sizes.items() if is_remote(path))
    requests += commits * REQUESTS_PER_COMMIT + REQUESTS_AROUND if is_remote(target) else 0
    readers = means.workers or cores()
    fitting = min(fitting_workers(readers, means.memory or default_memory(), each_bytes), len(jobs))
    shares = min(readers, 2 * fitting)  # a reader keeps two cores busy
    longest = max((job.bytes for job in jobs), default=0) / max(total.bytes, 1)
    return ImportEstimate(
        kind,
        files=len(sizes),
        bytes=sum(sizes.values()),
        probed_bytes=min(round(total.bytes), sum(sizes.values())),
        tasks=len(jobs),
        workers=fitting,
        memory_bytes=fitting * each_bytes,
        temporary_bytes=(round(total.store_bytes) if commits > FILES_BEFORE_COMPACTION else 0) + _kept(kind, sizes),
        cpu_s=total.cpu_s,
        seconds=max(total.cpu_s / shares, total.cpu_s * longest / 2),
        requests=requests,
        posts=total.posts,
        answers=total.answers,
        store_bytes=round(total.store_bytes),
    )


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files that paths name, with those in folders."""
    inside = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths]
    return [file for found in inside for file in found if file.is_file()]


def _kept(kind: str, sizes: dict[Path, int]) -> int:
    """Bytes in TMPDIR: the posts of the largest archive of Stack Exchange; sites are read one after the other."""
    if kind != "stackexchange-dump":
        return 0
    from shp_miner.dumps.stackexchange_7z import posts_bytes  # noqa: PLC0415  (heavy, and only here)
    from shp_miner.dumps.stackexchange_kept import kept_bytes  # noqa: PLC0415

    archives = [path for path in sizes if path.suffix == ".7z"]
    return max((kept_bytes(posts_bytes(path)) for path in archives), default=0)


def _groups(kind: str, sizes: dict[Path, int], options: dict[str, Any]) -> list[list[Path]]:
    """Files that are alike: of Reddit's those of posts, those of comments, and others; tables by their columns."""
    if not sizes:
        raise BadInput("There is nothing to read.", "Name files or folders with the dump.")
    if kind == "table":
        from shp_miner.dumps.table import chosen_tables, known_map  # noqa: PLC0415  (heavy, and only here)

        by_columns: dict[tuple[str, ...], list[Path]] = {}
        for table in chosen_tables(list(sizes), known_map(options.get("map")), Tally()):
            by_columns.setdefault(tuple(table.header), []).append(table.path)
        return list(by_columns.values())
    if kind != "reddit-dump":
        return [list(sizes)]
    groups: dict[str, list[Path]] = {}
    for path in sizes:
        name = path.name.lower()
        of_posts = name.startswith("rs_") or "submissions" in name
        groups.setdefault("posts" if of_posts else "comments", []).append(path)
    return list(groups.values())


def _probed(kind: str, path: Path, now: datetime, options: dict[str, Any], probe_s: float) -> Probe:
    """Read a file for a while, and write a part of its rows to memory."""
    done = Probe()

    def advance(count: int) -> None:
        done.bytes += count
        if done.bytes >= _LEAST_BYTES and time.process_time() - begun > probe_s:
            raise _Enough

    reader(kind)  # its libraries take a while to import, once
    options = {**options, "believed": True} if kind == "table" else options
    begun = time.process_time()
    chunks = reader(kind)([path], Tally(), now=now, advance=advance, **options)
    first: Chunk | None = None
    with suppress(_Enough):
        for chunk in chunks:
            done.posts += chunk.posts.num_rows
            done.answers += chunk.answers.num_rows
            done.row_bytes += chunk.posts.nbytes + chunk.answers.nbytes
            first = chunk if first is None else first
            advance(0)
    done.cpu_s = time.process_time() - begun
    if first is not None:
        written = _written(first)
        rows = done.posts + done.answers
        done.store_bytes = written[0] * rows
        done.cpu_s += written[1] * rows
    return done


def _written(chunk: Chunk) -> list[float]:
    """Bytes in the store and seconds of CPU time for each row of a chunk, by writing some."""
    from shp_miner.store.files import parquet_writer  # noqa: PLC0415  (heavy, and here already)

    begun, rows, taken = time.process_time(), 0, 0
    for table in (chunk.posts, chunk.answers):
        part, out = table.slice(0, _MEASURED_ROWS), BytesIO()
        with parquet_writer(out, part.schema) as writer:
            writer.write_table(part)
        rows += part.num_rows
        taken += len(out.getvalue()) if part.num_rows else 0
    return [taken / max(rows, 1), (time.process_time() - begun) / max(rows, 1)]
