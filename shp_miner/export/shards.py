"""Shards: Parquet files of one format, community and split, with the same bytes however the rows arrive."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from msgspec import Struct

from shp_miner.export.check import CheckFailedError
from shp_miner.export.formats import Format

#: Rows of a row group, the unit that streaming readers hold in memory (about 30 MB of text), and of a file.
ROWS_PER_GROUP = 10_000
ROWS_PER_SHARD = 250_000

_SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_UNSAFE_CHARACTER = re.compile(r"[^a-z0-9._-]+")

#: The configuration that holds every community; a community of that name is called otherwise.
ALL = "all"


class Shard(Struct, frozen=True):
    """One written file: path relative to the export, what it holds, and its bytes."""

    path: str
    community: str
    config: str
    split: str
    rows: int
    bytes: int
    sha256: str

    def check(self, folder: Path, form: Format) -> None:
        """Hold the file as it lies on the disk against what was written."""
        metadata = pq.read_metadata(folder / self.path)
        if metadata.num_rows != self.rows or not self.rows:
            raise CheckFailedError(f"{self.path} holds {metadata.num_rows} rows instead of {self.rows}.")
        if pq.read_schema(folder / self.path) != form.schema:
            raise CheckFailedError(f"{self.path} does not have the schema of format {form.name}.")


def config_name(community: str) -> str:
    """The community's name as a folder and configuration: itself where it is safe, else a safe form with a hash.

    It depends on this one name only, so it never changes as communities come and go.
    """
    if _SAFE.fullmatch(community) and community != ALL:
        return community
    plain = _UNSAFE_CHARACTER.sub("_", community.lower()).strip("._-")[:80]
    return f"{plain or 'community'}-{xxhash.xxh32_hexdigest(community.encode())}"


def write_shards(folder: Path, form: Format, community: str, split: str, tables: Iterable[pa.Table]) -> list[Shard]:
    """Write the rows of one community and split under `folder`; the files are named when their number is known."""
    config = config_name(community)
    target = folder / config
    target.mkdir(parents=True, exist_ok=True)
    written: list[tuple[Path, int]] = []
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for group in _groups(tables, ROWS_PER_GROUP):
            if writer is None:
                written.append((target / f"{split}-{len(written):05d}.part", 0))
                writer = _writer(written[-1][0], form)
            writer.write_table(group, row_group_size=ROWS_PER_GROUP)
            rows += group.num_rows
            written[-1] = (written[-1][0], rows)
            if rows >= ROWS_PER_SHARD:
                writer.close()
                writer, rows = None, 0
    finally:
        if writer is not None:
            writer.close()
    shards = []
    for number, (part, count) in enumerate(written):
        path = target / f"{split}-{number:05d}-of-{len(written):05d}.parquet"
        sha256 = _synced_digest(part)
        part.rename(path)
        relative = path.relative_to(folder).as_posix()
        shards.append(Shard(relative, community, config, split, count, path.stat().st_size, sha256))
    return shards


def _writer(path: Path, form: Format) -> pq.ParquetWriter:
    plain = [field.name for field in form.schema if field.name not in form.texts and not pa.types.is_nested(field.type)]
    return pq.ParquetWriter(
        path,
        form.schema,
        compression="zstd",
        use_content_defined_chunking=True,
        write_page_index=True,
        # What people wrote has no statistics in any footer.
        write_statistics=plain,
        use_dictionary=plain,
    )


def _groups(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows (the last may be shorter)."""
    held: list[pa.Table] = []
    count = 0
    for incoming in tables:
        held.append(incoming)
        count += incoming.num_rows
        if count >= rows:
            together = pa.concat_tables(held)
            whole = count - count % rows
            for start in range(0, whole, rows):
                yield together.slice(start, rows).combine_chunks()
            held, count = [together.slice(whole)], count - whole
    if count:
        yield pa.concat_tables(held).combine_chunks()


def _synced_digest(path: Path) -> str:
    """The file's SHA-256, after its bytes have reached the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
