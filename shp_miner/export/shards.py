"""Shards: Parquet files of one format, community and split. Their bytes do not depend on how the rows arrive."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from msgspec import UNSET, Struct, UnsetType

from shp_miner.export.check import CheckFailedError
from shp_miner.export.columns import merged_table
from shp_miner.export.formats import Format

#: Rows of a row group, which streaming readers keep in memory (about 30 MB of text), and of a file.
ROWS_PER_GROUP = 10_000
ROWS_PER_SHARD = 250_000

#: A row group's texts are a dictionary up to this size, and plain text above it.
_DICTIONARY_BYTES = 1 << 28

_SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_UNSAFE_CHARACTER = re.compile(r"[^a-z0-9._-]+")

#: The configuration that holds every community.
ALL = "all"

#: Names with a special meaning for `datasets` or for an export's own files; communities of such a name are renamed.
_RESERVED = frozenset({ALL, "default", "manifest.json", "readme.md"})

#: Characters that `datasets` refuses in a configuration's name, and the longest such name in bytes: it becomes a
#: folder's name.
_REFUSED = frozenset('<>:/\\|?*"')
_NAME_BYTES = 100


class Shard(Struct, frozen=True):
    """One written file: its path relative to the export, its community, split and rows, and its size and hash.

    `part` is the table that it is of in the compact layout.
    """

    path: str
    community: str
    config: str
    split: str
    rows: int
    bytes: int
    sha256: str
    part: str | UnsetType = UNSET

    def check(self, folder: Path, form: Format) -> None:
        """Raise CheckFailedError if the file on disk differs from the written rows or schema."""
        # A stream of Arrow's own: a path would be looked up among all file systems first.
        with pa.OSFile(str(folder / self.path), "rb") as file:
            metadata = pq.read_metadata(file)
        if metadata.num_rows != self.rows or not self.rows:
            raise CheckFailedError(f"{self.path} has {metadata.num_rows} rows instead of {self.rows}.")
        if metadata.schema.to_arrow_schema() != form.schema:
            raise CheckFailedError(f"{self.path} does not have the schema of format {form.name}.")


def config_name(community: str) -> str:
    """Return the community's name as a configuration: itself if `datasets` takes it, else `folder_name`.

    Both depend on this name only, so they do not change when other communities come and go.
    """
    usable = community.isprintable() and community.strip() == community and community[:1] not in ("", ".")
    if usable and not _REFUSED.intersection(community) and len(community.encode()) <= _NAME_BYTES:
        return folder_name(community) if community.lower() in _RESERVED else community
    return folder_name(community)


def folder_name(community: str) -> str:
    """Return the community's name as a folder on any file system: itself if safe, else a safe form with a hash."""
    if _SAFE.fullmatch(community) and community not in _RESERVED:
        return community
    plain = _UNSAFE_CHARACTER.sub("_", community.lower()).strip("._-")[:80]
    return f"{plain or 'community'}-{xxhash.xxh32_hexdigest(community.encode())}"


def rows_of(shards: Iterable[Shard]) -> dict[str, dict[str, int]]:
    """Return the row counts by configuration and split; the configuration of all communities is first."""
    found: dict[str, dict[str, int]] = {ALL: {}}
    for shard in shards:
        for name in (ALL, shard.config):
            splits = found.setdefault(name, {})
            splits[shard.split] = splits.get(shard.split, 0) + shard.rows
    return found


def write_shards(folder: Path, form: Format, community: str, split: str, tables: Iterable[pa.Table]) -> list[Shard]:
    """Write the rows of one community and split under `folder`; return the files, named once their number is known."""
    config = config_name(community)
    target = folder / folder_name(community)
    target.mkdir(parents=True, exist_ok=True)
    written: list[tuple[Path, int]] = []
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for group in _groups(tables, ROWS_PER_GROUP):
            if writer is None:
                written.append((target / f"{split}-{len(written):05d}.part", 0))
                writer = _writer(written[-1][0], form, group.schema)
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
        part.rename(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        relative = path.relative_to(folder).as_posix()
        shards.append(Shard(relative, community, config, split, count, path.stat().st_size, sha256))
    return shards


def size_of(form: Format, table: pa.Table) -> int:
    """Return the bytes of a shard with these rows (of `merged`), which is written to memory only."""
    held = pa.BufferOutputStream()
    with _writer(held, form, table.schema) as writer:
        writer.write_table(table, row_group_size=ROWS_PER_GROUP)
    return len(held.getvalue())


def _writer(path: Path | pa.NativeFile, form: Format, schema: pa.Schema) -> pq.ParquetWriter:
    # Texts repeat from pair to pair; a dictionary writes and reads each once per row group.
    repeated = [
        f"{name}.list.element.content" if pa.types.is_nested(form.schema.field(name).type) else name
        for name in form.texts
    ]
    plain = [field.name for field in form.schema if field.name not in form.texts and not pa.types.is_nested(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_content_defined_chunking=True,
        write_page_index=True,
        # No footer has statistics of texts that people wrote.
        write_statistics=plain,
        use_dictionary=repeated,  # type: ignore[arg-type]  # the stubs know no list
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        # Readers see plain columns, not dictionaries.
        store_schema=False,
    )


def _groups(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of exactly `rows` rows (the last may be shorter)."""
    held: list[pa.Table] = []
    missing = rows
    for table in tables:
        start = 0
        while table.num_rows - start >= missing:
            yield merged_table([*held, table.slice(start, missing)])
            start += missing
            held, missing = [], rows
        if start < table.num_rows:
            held.append(table.slice(start))
            missing -= held[-1].num_rows
    if held:
        yield merged_table(held)
