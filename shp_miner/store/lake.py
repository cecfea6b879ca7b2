"""Writing the store: creating, appending, compacting, and opening it as it is or as it was.

Posts are committed before answers, so at any moment what can be read is valid: an answer may wait for its post (it is
counted as such), never the other way round.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
from deltalake import ColumnProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from shp_miner.errors import BadInput, UsageError, from_os_error
from shp_miner.model import ANSWER, POST, TEXT_COLUMNS, Chunk
from shp_miner.store.snapshot import Snapshot

#: Version of the tables' schema. A store written by a newer one is refused.
SCHEMA_VERSION = 1
_MARK = "shp-miner-store.json"

#: Characters that the Delta library takes for something else in a path.
_REFUSED = frozenset("%[]|^\\")

TABLES: dict[str, pa.Schema] = {"posts": POST, "answers": ANSWER}

#: Columns worth statistics: those that reading filters by. Text never has any, so that what a person wrote stands in
#: no log and no footer.
_STATISTICS = "thread_hash,community,created_at,observed_at"

_CONFIGURATION = {"delta.dataSkippingStatsColumns": _STATISTICS}

#: Rows of a row group: the smallest piece that a reader of one hash range must decode.
_ROW_GROUP = 20_000

_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=3,
    max_row_group_size=_ROW_GROUP,
    column_properties={
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE") for name in TEXT_COLUMNS
    },
)

#: A writer commits when it holds this much: fewer and larger files, within the memory promised.
_ROWS_PER_COMMIT = 200_000
_BYTES_PER_COMMIT = 128_000_000

#: An append makes a file; beyond this many, an import compacts when it ends.
_FILES_BEFORE_COMPACTION = 64
_COMPACTED_FILE_BYTES = 256_000_000


class Store:
    """A folder with the tables. Opening creates nothing; the first append does.

    `path` is the folder. Raises BadInput where something else lies there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._check()

    @property
    def exists(self) -> bool:
        """Whether anything has been written."""
        return (self.path / _MARK).exists()

    def writer(self) -> StoreWriter:
        """A buffered writer, to be used in a `with` statement."""
        return StoreWriter(self)

    def append(self, chunk: Chunk) -> None:
        """Commit the rows of `chunk`, posts first."""
        self._create()
        with _explained(f"writing to the store {self.path}"):
            for name, table in (("posts", chunk.posts), ("answers", chunk.answers)):
                if table.num_rows:
                    write_deltalake(
                        str(self.path / name), table.sort_by("thread_hash"), mode="append", writer_properties=_WRITER
                    )

    def snapshot(self, as_of: str | None = None) -> Snapshot:
        """The store as it is, or as it was: `as_of` is a version ("3.5") or a time (ISO 8601)."""
        if not self.exists:
            raise BadInput(
                f"There is no store at {self.path}.", "Import something first, or name another with --store."
            )
        with _explained(f"opening the store {self.path}"):
            tables = {name: DeltaTable(str(self.path / name)) for name in TABLES}
        if as_of is not None:
            for name, version in _versions(as_of).items():
                try:
                    tables[name].load_as_version(version)
                except (DeltaError, OSError, ValueError) as error:
                    raise UsageError(
                        f"The store {self.path} has no version {as_of!r} any more, or never had it.",
                        "`shp-miner stats` shows the newest version.",
                    ) from error
        return Snapshot(self.path, tables["posts"], tables["answers"])

    def compact(self) -> None:
        """Rewrite the current rows into few files ordered by thread. Old versions stay readable until vacuumed."""
        with _explained(f"compacting the store {self.path}"):
            for name in TABLES:
                table = DeltaTable(str(self.path / name))
                if len(table.file_uris()) > 1:
                    table.optimize.z_order(
                        ["thread_hash"], target_size=_COMPACTED_FILE_BYTES, writer_properties=_WRITER
                    )

    def compact_if_due(self) -> None:
        """Compact if so many appends have made so many files that reading has become slow."""
        if self.exists and max(self.file_counts().values()) > _FILES_BEFORE_COMPACTION:
            self.compact()

    def file_counts(self) -> dict[str, int]:
        """Data files of each table at its newest version."""
        return {name: len(DeltaTable(str(self.path / name)).file_uris()) for name in TABLES}

    def _check(self) -> None:
        mark = self.path / _MARK
        refused = sorted(_REFUSED & set(str(self.path.absolute())))
        if refused:
            raise BadInput(
                f"A store cannot lie in a folder with {' '.join(refused)} in its path: {self.path}.",
                "Choose a path without it.",
            )
        try:
            if self.path.is_file():
                raise BadInput(f"{self.path} is a file, not a store.", "Name a folder with --store.")
            if mark.exists():
                version = msgspec.json.decode(mark.read_bytes(), type=dict[str, Any]).get("schema")
                if version != SCHEMA_VERSION:
                    raise BadInput(
                        f"The store {self.path} has schema {version}; this version reads {SCHEMA_VERSION}.",
                        "Install the newest shp-miner.",
                    )
            elif self.path.is_dir() and any(entry.name not in TABLES for entry in self.path.iterdir()):
                raise BadInput(f"The folder {self.path} holds other things than a store.", "Name an empty folder.")
        except msgspec.DecodeError as error:
            raise BadInput(f"{mark} is damaged.", "Restore it from a backup.") from error
        except OSError as error:
            raise from_os_error(error, f"opening the store {self.path}") or error from error

    def _create(self) -> None:
        """Make the empty tables, then the mark, so that a mark always has tables."""
        if self.exists:
            return
        with _explained(f"creating the store {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            for name, schema in TABLES.items():
                DeltaTable.create(str(self.path / name), schema=schema, mode="ignore", configuration=_CONFIGURATION)
            temporary = self.path / f"{_MARK}.{os.getpid()}"
            temporary.write_bytes(msgspec.json.encode({"schema": SCHEMA_VERSION}))
            temporary.replace(self.path / _MARK)


class StoreWriter:
    """Collects chunks and commits them in large pieces; what is left is committed on leaving the `with` statement.

    If the block ends with an exception nothing more is committed; what was committed stays.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._posts: list[pa.Table] = []
        self._answers: list[pa.Table] = []
        self.commits = 0

    def add(self, chunk: Chunk) -> None:
        """Take over the rows of `chunk`."""
        self._posts.append(chunk.posts)
        self._answers.append(chunk.answers)
        tables = [*self._posts, *self._answers]
        rows, size = sum(table.num_rows for table in tables), sum(table.nbytes for table in tables)
        if rows >= _ROWS_PER_COMMIT or size >= _BYTES_PER_COMMIT:
            self.flush()

    def flush(self) -> None:
        """Commit what is held."""
        if any(table.num_rows for table in (*self._posts, *self._answers)):
            chunk = Chunk(pa.concat_tables(self._posts), pa.concat_tables(self._answers))
            self._posts, self._answers = [], []
            self._store.append(chunk)
            self.commits += 1

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()


def _versions(as_of: str) -> dict[str, int | datetime]:
    posts, dot, answers = as_of.partition(".")
    if dot and posts.isdigit() and answers.isdigit():
        return {"posts": int(posts), "answers": int(answers)}
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError as error:
        raise UsageError(
            f"{as_of!r} is neither a store version nor a time.", "Write a version such as 3.5 or 2026-01-31T12:00:00Z."
        ) from error
    moment = moment if moment.tzinfo else moment.astimezone()
    return dict.fromkeys(TABLES, moment)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn what the system or the Delta library refuses into one of our errors."""
    try:
        yield
    except (OSError, DeltaError) as error:
        raise from_os_error(error, doing) or BadInput(
            f"Something failed while {doing}: {error}.", "Run `shp-miner doctor`."
        ) from error
