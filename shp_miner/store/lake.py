"""Writing the store: creating, appending, compacting, and opening it as it is or as it was.

Posts are committed before their answers, so the store is valid at every moment. An answer without a post is counted as
such.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import msgspec
import polars as pl
import pyarrow as pa
from deltalake import ColumnProperties, DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError

from shp_miner.arguments import Moment
from shp_miner.arguments import version as written_version
from shp_miner.errors import BadInput, UsageError, from_os_error
from shp_miner.model import ANSWER, POST, TEXT_COLUMNS
from shp_miner.paths import IMPORTING, expanded, whole
from shp_miner.places.access import of_library
from shp_miner.places.lease import confirm
from shp_miner.platforms.rows import Chunk
from shp_miner.store import vacuum
from shp_miner.store.files import COMPRESSION, COMPRESSION_LEVEL, ROW_GROUP, STATISTICS, sync_to_disk, write_file
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import list_names, look_noted, note_look
from shp_miner.store.frames import Frames
from shp_miner.store.identity import settle_identity
from shp_miner.store.local import IDENTITY, settle_proof
from shp_miner.store.lock import LOCKS, exclusive_lock, shared_lock
from shp_miner.store.migrate import MARK, first_mark, migrate_store, schema_of
from shp_miner.store.replacing import is_temporary
from shp_miner.store.snapshot import Snapshot
from shp_miner.store.table import create_table, open_table
from shp_miner.store.vacuum import (
    KEEP_S,
    LOG,
    Ended,
    WouldEnd,
    cutoff_time,
    end_before,
    live_files,
    log_entries,
    made_ms,
    sync_log,
)

#: Characters that the Delta library takes for something else in a path.
_REFUSED = frozenset("%[]|^\\")

TABLES: dict[str, pa.Schema] = {"posts": POST, "answers": ANSWER}

_CONFIGURATION = {"delta.dataSkippingStatsColumns": ",".join(STATISTICS)}

#: How the Delta library writes when it compacts: as `files` does.
_WRITER = WriterProperties(
    compression=COMPRESSION,
    compression_level=COMPRESSION_LEVEL,
    max_row_group_size=ROW_GROUP,
    column_properties={
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE") for name in TEXT_COLUMNS
    },
)

#: A writer commits when it holds this much: fewer and larger files, within the memory promised. One full chunk of a
#: big dump is as much, so that it is written as it comes, without being put together with others.
ROWS_PER_COMMIT = 200_000
BYTES_PER_COMMIT = 72_000_000

#: An append makes a file; beyond this many, an import compacts when it ends.
FILES_BEFORE_COMPACTION = 64
_COMPACTED_FILE_BYTES = 256_000_000


class Store(Frames):
    """A folder with the tables, read as frames (`posts`, `answers`). Opening creates nothing; the first append does.

    `path` is the folder. Raises BadInput if the folder has something else in it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = expanded(path)
        self._check()
        self._is_settled = False

    @property
    def exists(self) -> bool:
        """Whether anything has been written."""
        return (self.path / MARK).exists()

    def require(self) -> None:
        """Raise BadInput if nothing has been written."""
        if not self.exists:
            raise BadInput(
                f"There is no store at {whole(self.path)}.",
                "Import or crawl something first, or name another store with --store or SHP_MINER_STORE.",
            )

    def writer(self, *, look: bool = False) -> StoreWriter:
        """A buffered writer, to be used in a `with` statement; `look` as for `append`."""
        return StoreWriter(self, look=look)

    def append(self, chunk: Chunk, *, look: bool = False) -> None:
        """Commit the rows of `chunk`, posts first, without content on the list of the forgotten.

        When this returns they are on the disk: a crawl or an import then notes that it need not read them again. With
        `look` the next purge checks whether the rows report deletions of items whose text is in the store.
        """
        self.create()
        with explained_errors(f"writing to the store {self.path}"), shared_lock(self.path, "writing rows"):
            if look and not look_noted(self.path):
                note_look(self.path, self.snapshot().version)
            chunk = Forgotten.load(self.path).filter(chunk)
            for name, table in (("posts", chunk.posts), ("answers", chunk.answers)):
                if table.num_rows:
                    written = write_file(self.path / name, table)
                    delta = open_table(self.path / name)
                    before = delta.version()
                    confirm()
                    delta.create_write_transaction([written], mode="append", schema=delta.schema(), partition_by=[])
                    sync_log(self.path / name, before)

    def snapshot(self, as_of: Moment | None = None) -> Snapshot:
        """The store as it is, or as it was: `as_of` is a version ("3.5") or a time (ISO 8601, date or datetime)."""
        as_of = written_version(as_of)
        self.require()
        with explained_errors(f"opening the store {self.path}"):
            tables = {name: open_table(self.path / name) for name in TABLES}
        if as_of is not None:
            newest = ".".join(str(tables[name].version()) for name in TABLES)
            for name, version in _versions(as_of, newest).items():
                self._take_back(tables[name], name, version, as_of, newest)
        return Snapshot(self.path, tables["posts"], tables["answers"])

    def compact(self) -> None:
        """Rewrite the current rows into few files ordered by thread. Old versions stay readable until vacuumed."""
        self.create()
        with explained_errors(f"compacting the store {self.path}"), shared_lock(self.path, "compacting"):
            for name in TABLES:
                folder = self.path / name
                table = open_table(folder)
                before = table.version()
                if len(table.file_uris()) > 1:
                    table.optimize.z_order(
                        ["thread_hash"], target_size=_COMPACTED_FILE_BYTES, writer_properties=_WRITER
                    )
                    sync_to_disk(*(folder / file for file in live_files(table)), folder)
                    sync_log(folder, before)

    def compact_if_due(self) -> bool:
        """Compact if many appends have made so many files that reading is slow; return whether it was done."""
        # A folder is listed faster than a log is read, and the live files are among those that lie in it.
        lying = max(sum(1 for _ in (self.path / name).glob("*.parquet")) for name in TABLES)
        due = lying > FILES_BEFORE_COMPACTION and max(self.file_counts().values()) > FILES_BEFORE_COMPACTION
        if due:
            self.compact()
        return due

    def vacuum(self, keep_s: float = KEEP_S, *, now_s: float | None = None, wait_s: float = 10.0) -> Ended:
        """Delete the files that only versions older than `keep_s` seconds need. No row and no version number changes.

        Nobody may use the store meanwhile. Raises TryLater if it is still in use after `wait_s` seconds. `now_s` is the
        time in seconds since 1970, by default the machine's.
        """
        self.require()
        self.create()
        moment, done = cutoff_time(keep_s, now_s), Ended()
        with (
            explained_errors(f"vacuuming the store {self.path}"),
            exclusive_lock(self.path, "deleting files of old versions", wait_s=wait_s),
        ):
            vacuum.begin(self.path, moment)
            for name in TABLES:
                done.add(end_before(self.path / name, moment))
            vacuum.finish(self.path)
        return done

    def would_vacuum(self, keep_s: float = KEEP_S, *, now_s: float | None = None) -> dict[str, WouldEnd]:
        """Return what `vacuum` would delete of each table, without changing anything."""
        self.require()
        moment = cutoff_time(keep_s, now_s)
        with (
            explained_errors(f"reading the store {self.path}"),
            shared_lock(self.path, "counting files of old versions"),
        ):
            return {name: vacuum.would_end(self.path / name, moment) for name in TABLES}

    def complete_vacuum(self) -> None:
        """Complete a vacuum that was interrupted between two steps. Raises as `vacuum`."""
        if vacuum.is_unfinished(self.path):
            moment = vacuum.begun(self.path)
            if moment is None:  # not even a full disk loses more than the note
                vacuum.finish(self.path)
            else:
                self.vacuum(0.0, now_s=moment.timestamp())

    def content(self) -> str:
        """Return a value that changes with every row added or emptied, and not by compaction."""
        # Rows are never taken away, and are emptied only for what is on the list of the forgotten.
        return msgspec.json.encode((self.snapshot().counted(), list_names(self.path))).decode()

    def file_counts(self) -> dict[str, int]:
        """Data files of each table at its newest version."""
        return {name: len(open_table(self.path / name).file_uris()) for name in TABLES}

    def _check(self) -> None:
        """Raise BadInput where the folder holds something else, or a store that this version cannot read."""
        refused = sorted(_REFUSED & set(str(self.path.absolute())))
        if refused:
            raise BadInput(
                f"The path of a store cannot contain {' '.join(refused)}: {self.path}.",
                "Choose a path without it.",
            )
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            raise BadInput(f"The path of the store {self.path} is not valid UTF-8.", "Choose another path.") from None
        try:
            if self.path.is_file():
                raise BadInput(f"{whole(self.path)} is a file, not a store.", "Name a folder with --store.")
            schema = schema_of(self.path)
            foreign = schema is None and self.path.is_dir() and not all(map(_ours, self.path.iterdir()))
            if foreign and (self.path / "manifest.json").is_file():
                raise BadInput(
                    f"{whole(self.path)} is an export, not a store.",
                    f"Name the store with --store; `shp-miner show {self.path}` prints the export's pairs.",
                )
            if foreign and schema_of(self.path) is None:  # not made just now, by somebody else
                raise BadInput(
                    f"The folder {whole(self.path)} is not a store and not empty.",
                    "Name the store's own folder, or an empty one for a new store.",
                )
        except OSError as error:
            raise from_os_error(error, f"opening the store {self.path}") or error from error

    def _take_back(self, table: DeltaTable, name: str, version: int | datetime, as_of: str, newest: str) -> None:
        log = self.path / name / LOG
        # The library takes a time before the oldest version for the oldest version.
        if isinstance(version, datetime) and version < _oldest(log)[1]:
            raise self._gone(name, as_of)
        try:
            table.load_as_version(version)
        except (DeltaError, OSError, ValueError) as error:
            if (refused := of_library(error)) is not None:
                raise refused from None
            if isinstance(version, int) and version < _oldest(log)[0]:
                raise self._gone(name, as_of) from error
            raise UsageError(
                f"The store {self.path} has no version {as_of!r}; it may have been deleted.",
                _how_to_write(newest),
            ) from error

    def _gone(self, name: str, as_of: str) -> UsageError:
        oldest, since = _oldest(self.path / name / LOG)
        return UsageError(
            f"The version {as_of} of the store {self.path} was deleted: old versions are deleted after a time, and "
            f"with forgotten content. The oldest version of its {name} is {oldest}, of {since:%Y-%m-%d %H:%M:%S} UTC.",
            "Leave out --as-of to use the newest version.",
        )

    def create(self) -> None:
        """Create the empty tables, then the mark, so that a marked store always has tables; or migrate an older store.

        If several processes call it at once, one does the work and the others find it done.
        """
        if self._is_settled and self.exists:
            return
        with explained_errors(f"creating the store {self.path}"):
            settle_proof(self.path)
            if not self.exists:
                self.path.mkdir(parents=True, exist_ok=True)
                with exclusive_lock(self.path, "making the store"):
                    self._make()
            migrate_store(self.path)
            settle_identity(self.path)
        self._is_settled = True

    def _make(self) -> None:
        if self.exists:
            return
        for name, schema in TABLES.items():
            create_table(self.path / name, schema, _CONFIGURATION)
        first_mark(self.path)


class StoreWriter:
    """Collects chunks and commits them in large pieces; the rest is committed on leaving the `with` statement.

    A thread writes one piece while the next is collected. If the block ends with an exception nothing more is
    committed; committed pieces stay.
    """

    def __init__(self, store: Store, *, look: bool) -> None:
        self._store, self._look = store, look
        self._held: list[Chunk] = []
        self._thread = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None

    def add(self, chunk: Chunk) -> None:
        """Take over the rows of `chunk`."""
        self._held.append(chunk)
        tables = [table for held in self._held for table in (held.posts, held.answers)]
        rows, size = sum(table.num_rows for table in tables), sum(table.nbytes for table in tables)
        if rows >= ROWS_PER_COMMIT or size >= BYTES_PER_COMMIT:
            self._commit()

    def flush(self) -> None:
        """Commit what is held and wait until it is done."""
        self._commit()
        if self._written is not None:
            self._written.result()

    def _commit(self) -> None:
        if self._written is not None:
            self._written.result()  # an error of the thread is raised here
        chunks, self._held = self._held, []
        if chunks:
            self._written = self._thread.submit(self._write, chunks)

    def _write(self, chunks: list[Chunk]) -> None:
        posts, answers = (_ordered([getattr(chunk, name) for chunk in chunks]) for name in TABLES)
        self._store.append(Chunk(posts, answers), look=self._look)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._thread.shutdown()


def _ours(path: Path) -> bool:
    """Whether a store that is being made, or whose maker was killed, may hold this."""
    return path.name in (*TABLES, LOCKS, IDENTITY, IMPORTING) or path.name.startswith(MARK) or is_temporary(path.name)


def _ordered(tables: list[pa.Table]) -> pa.Table:
    """The rows of tables of one schema, by thread: a reader of a hash range finds it in few row groups."""
    filled = [table for table in tables if table.num_rows]
    if len(filled) < 2:  # a chunk is ordered by itself
        return (filled or tables)[0]
    joined = pl.concat([pl.DataFrame(table) for table in filled]).sort("thread_hash", maintain_order=True)
    return joined.to_arrow().cast(tables[0].schema)


def _how_to_write(newest: str) -> str:
    return f"Write a version (the newest is {newest}) or a time, for example: --as-of 2026-01-31T12:00:00Z."


def _versions(as_of: str, newest: str) -> dict[str, int | datetime]:
    posts, dot, answers = as_of.partition(".")
    if dot and posts.isdigit() and answers.isdigit():
        return {"posts": int(posts), "answers": int(answers)}
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError as error:
        raise UsageError(
            f"{as_of!r} is neither a version of the store (two numbers, POSTS.ANSWERS) nor a time.",
            _how_to_write(newest),
        ) from error
    moment = moment if moment.tzinfo else moment.astimezone()
    return dict.fromkeys(TABLES, moment)


def _oldest(log: Path) -> tuple[int, datetime]:
    """The oldest version that a table's log still has and when it was made; a log that begins at 0 has them all."""
    first = min(log_entries(log), default=None)
    if first is None or first[0] == 0:
        return 0, datetime.min.replace(tzinfo=UTC)
    return first[0], datetime.fromtimestamp(made_ms(first[1]) / 1000, UTC)


@contextmanager
def explained_errors(doing: str) -> Iterator[None]:
    """Turn an error of the system or the Delta library into one of our errors."""
    try:
        yield
    except (OSError, DeltaError, pa.ArrowException, msgspec.DecodeError) as error:
        raise from_os_error(error, doing) or BadInput(
            f"Something failed while {doing}: {error}.", "Run `shp-miner doctor`."
        ) from error
