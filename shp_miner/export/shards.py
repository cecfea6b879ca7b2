"""Shards: Parquet files of one format, community and split. Their bytes do not depend on how the rows arrive.

Rows lie in the order of time of their threads. Row groups and files end at threads that a hash chooses (`cuts.py`), so
rows that come, go or change leave the bytes of the others as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from msgspec import UNSET, Struct, UnsetType

from shp_miner.export.check import CheckFailedError
from shp_miner.export.columns import merged_table
from shp_miner.export.cuts import Rows, cut_rows
from shp_miner.export.formats import Format
from shp_miner.export.reading import arrow_source
from shp_miner.store.replacing import replacing

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
        with arrow_source(folder / self.path) as file:
            metadata = pq.read_metadata(file)
        if metadata.num_rows != self.rows or not self.rows:
            raise CheckFailedError(f"{self.path} has {metadata.num_rows} rows instead of {self.rows}.")
        if metadata.schema.to_arrow_schema() != form.schema:
            told = _difference(metadata.schema.to_arrow_schema(), form.schema)
            raise CheckFailedError(f"{self.path} does not have the schema of format {form.name}: {told}.")


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    """Return in words what is different in the schema of a file."""
    missing, more = set(wanted.names) - set(found.names), set(found.names) - set(wanted.names)
    other = [field.name for field in wanted if field.name in found.names and found.field(field.name).type != field.type]
    kinds = (("it lacks", sorted(missing)), ("it has also", sorted(more)), ("of another type are", other))
    told = [f"{kind} {', '.join(names)}" for kind, names in kinds if names]
    return ", ".join(told) or "its columns are in another order"


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


def write_shards(folder: Path, form: Format, community: str, split: str, parts: Iterable[Rows]) -> list[Shard]:
    """Write the rows of one community and split under `folder`; return the files.

    A file has the name of its first thread: the time at which it began and a hash. So it keeps its name when others
    come, and the order of the names is that of time.
    """
    target = folder / folder_name(community)
    target.mkdir(parents=True, exist_ok=True)
    written: dict[Path, int] = {}
    path, writer = target, None
    with ExitStack() as opened:
        for group in cut_rows(parts):
            table = merged_table(group.tables)
            if writer is None or group.begins_file:
                opened.close()
                path = target / f"{split}-{group.name}.parquet"
                writer = opened.enter_context(_new_file(path, form, table.schema))
            writer.write_table(table, row_group_size=table.num_rows)
            written[path] = written.get(path, 0) + table.num_rows
    return [_shard(folder, path, community, split, rows) for path, rows in written.items()]


@contextmanager
def _new_file(path: Path, form: Format, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Yield the writer of a file that appears at the end, whole: a task may run twice."""
    with replacing(path) as temporary, _writer(temporary, form, schema) as writer:
        yield writer


def _shard(folder: Path, path: Path, community: str, split: str, rows: int) -> Shard:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    relative = path.relative_to(folder).as_posix()
    return Shard(relative, community, config_name(community), split, rows, path.stat().st_size, sha256)


def size_of(form: Format, table: pa.Table) -> int:
    """Return the bytes of a shard with these rows (of `merged`), which is written to memory only."""
    held = pa.BufferOutputStream()
    with _writer(held, form, table.schema) as writer:
        writer.write_table(table, row_group_size=table.num_rows)
    return len(held.getvalue())


def _writer(path: Path | pa.NativeFile, form: Format, schema: pa.Schema) -> pq.ParquetWriter:
    plain = [field.name for field in form.schema if field.name not in form.texts and not pa.types.is_nested(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        # Pages end where their content says, and hold their values themselves: a page of equal values has equal bytes.
        # A dictionary would change, and with it each page, when one value is added.
        use_content_defined_chunking=True,
        use_dictionary=False,
        write_page_index=True,
        # No footer has statistics of texts that people wrote.
        write_statistics=plain,
        # Readers see plain columns, not dictionaries.
        store_schema=False,
    )
