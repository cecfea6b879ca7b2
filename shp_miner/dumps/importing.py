"""Importing a dump into the store, in tasks that workers share. The command calls these functions; programs may too."""

from __future__ import annotations

import glob
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shp_miner import shown
from shp_miner.arguments import Amount, Paths, several, size, whole_number
from shp_miner.arguments import paths as given_paths
from shp_miner.dumps.compressed import Advance, ignore_progress
from shp_miner.dumps.guess import of_other_kinds
from shp_miner.dumps.kinds import KINDS, known_kind
from shp_miner.dumps.pipes import at_hand
from shp_miner.dumps.sharing import ImportJob, import_jobs, readers_of, state_of_files
from shp_miner.engine import LOCAL, Engine, Means, Processes, Step, Threads, default_memory, fitting_workers
from shp_miner.engine.kept import RESULTS, Kept, content_digest
from shp_miner.engine.plan import begin_plan, end_plan
from shp_miner.errors import BadInput, Error, Incomplete, TryLater, UsageError
from shp_miner.paths import IMPORTING, expanded, is_remote
from shp_miner.platforms.communities import meant_communities, no_such_community
from shp_miner.tally import Tally, counted, total_tally

if TYPE_CHECKING:
    from shp_miner.platforms.rows import Chunk
    from shp_miner.store import Snapshot, Store, StoreWriter

#: A reader of one kind of dump: read(paths, tally, *, now, advance, **options) yields the observations in `paths` and
#: counts the rest in `tally`.
Reader = Callable[..., "Iterator[Chunk]"]


class Imported(Struct):
    """What an import did: the counts, and the store's version after it.

    `missing` says in a sentence which of the communities asked for had no record. `new` and `known` count the posts and
    answers that the store did not have before, and those that it had; both are empty if nobody can tell.
    """

    tally: Tally
    version: str
    missing: str = ""
    new: dict[str, int] = {}
    known: dict[str, int] = {}

    @property
    def complete(self) -> bool:
        """Whether everything could be read and every requested community was found."""
        return self.tally.complete and not self.missing

    @property
    def exit_code(self) -> int:
        """What a command ends with: 0, 3 if something is missing, and 1 after an error of this program."""
        if self.tally.defects:
            return Error.exit_code
        return 0 if self.complete else Incomplete.exit_code

    def __repr__(self) -> str:
        kept = ", ".join(counted(count, kind) for kind, count in sorted(self.tally.read.items(), reverse=True))
        lost = f"{counted(self.tally.lost, 'record')} could not be used" if self.tally.lost else ""
        broken = f"{counted(len(self.tally.damages), 'place')} damaged" if self.tally.damages else ""
        parts = [kept or "nothing read", lost, broken, "some communities missing" if self.missing else ""]
        return f"Imported(store version {self.version}: {', '.join(filter(None, parts))})"

    def _repr_html_(self) -> str:
        kept = [(kind, "kept", count) for kind, count in sorted(self.tally.read.items())]
        left_out = [(kind, reason, count) for (kind, reason), count in sorted(self.tally.dropped.items())]
        return shown.table(repr(self), ("kind", "outcome", "records"), [*kept, *left_out])

    def said(self, files: int) -> str:
        """Return a line that reports how many files were imported."""
        kept = ", ".join(counted(count, kind) for kind, count in sorted(self.tally.read.items())) or "nothing"
        lost = f", {counted(self.tally.lost, 'record')} could not be used" if self.tally.lost else ""
        told = [
            *(damage.sentence() for damage in self.tally.damages),
            *self.tally.passed,
            *self.tally.hints,
            self.missing,
        ]
        about = " ".join(filter(None, told))
        return ". ".join(filter(None, [f"{kept} of {counted(files, 'file')}{lost}", about]))


def import_dump(  # noqa: PLR0913  (every option of the command, by name)
    kind: str,
    paths: Paths,
    store: Store | str | os.PathLike[str],
    *,
    now: datetime | None = None,
    advance: Advance = ignore_progress,
    workers: int | None = None,
    memory: Amount | None = None,
    engine: str = LOCAL,
    address: str | None = None,
    **options: Any,
) -> Imported:
    """Read dump files into a store. Importing the same again changes no export.

    `kind` is "reddit-dump", "stackexchange-dump", "discourse-json", "threads" or "table"; `options` are that reader's
    (for example `communities`, one name or several, or the `map` of a table). `paths` is one path or several: a file,
    a folder, a pipe or "-" for standard input; what can be read only once is kept in TMPDIR meanwhile. `now`
    (default: the clock) is what later times are refused by. `workers` (default: the cores) and `memory` (bytes, or
    "2GiB"; default: half) bound the work; the `engine` "ray" or "slurm" does it on a cluster, Ray's at `address`.
    Damage is in the result's tally; raises BadInput for files of another kind, before anything is written, and
    NoSuchCommunity where no record is of a community asked for.
    """
    kind = known_kind(kind)
    _require_options(kind, options)
    means = Means(whole_number(workers, "workers"), size(memory, "memory"), engine, address).checked()
    path = store.path if hasattr(store, "path") else expanded(store)
    files = given_paths(paths, "paths")
    if not files:
        raise UsageError("No file is named.", 'Name files or folders: paths=["FILE", ...].')
    if "communities" in options:
        options["communities"] = several(options["communities"], "communities")
    if kind == "table":
        from shp_miner.dumps.table import known_map  # noqa: PLC0415  (heavy, and only here)

        options["map"] = known_map(options.get("map"))
    with at_hand(files) as kept:
        job = ImportJob(kind, kept.paths, path, now or datetime.now(UTC), options)
        before = snapshot_before(path)
        try:
            tally = kept.named(_read(job, means, advance))
        except (BadInput, UsageError) as error:
            raise of_other_kinds(error, kind, files) from error
        missing = _missing(job, tally)
    advance(Step(doing="tidying the store"))
    return finished(path, tally, before, missing)


def _require_options(kind: str, options: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that the reader of a kind does not take."""
    taken = list(inspect.signature(reader(kind)).parameters)
    own = [name for name in taken if name not in ("paths", "tally", "now", "advance", "section", "believed")]
    for name in options:
        if name not in own:
            known = f"Its options: {', '.join(own)}." if own else "It has no options of its own."
            raise UsageError(f"The import {kind} has no option {name!r}.", known)


def finished(path: Path, tally: Tally, before: Snapshot | None, missing: str = "") -> Imported:
    """Return the result of an import, after deleting what its records report deleted and compacting if that is due.

    `before` is the store as it was before the import; None if there was none.
    """
    done = _store(path)
    counts = None
    if done.exists:
        from shp_miner.dumps.novelty import novelty  # noqa: PLC0415  (tables take a second to import)

        counts = novelty(before, done)
        from shp_miner.forgetting.due import purge_if_due  # noqa: PLC0415  (of no use before)

        # Who uses the store now takes out what the files tell to be deleted when done; until then `doctor` says so.
        with suppress(TryLater):
            purge_if_due(done)
    done.compact_if_due()
    version = done.snapshot().version if done.exists else "0.0"
    return Imported(tally, version, missing, *((counts.new, counts.known) if counts else ()))


def _missing(job: ImportJob, tally: Tally) -> str:
    """A sentence on communities that were asked for and not met. Raises NoSuchCommunity where none was."""
    missing = meant_communities(job.options.get("communities") or (), tally.met)[1]
    if not missing:
        return ""
    from shp_miner.dumps.reddit import communities_in, dump_files  # noqa: PLC0415

    there = communities_in([file for file, _ in dump_files(job.paths, Tally())])
    none = no_such_community(missing, there | tally.met, "The dump has")
    if not tally.met:
        raise none
    return f"{none.message} {none.hint}"


def _read(job: ImportJob, means: Means, advance: Advance) -> Tally:
    """Do the job, by as many workers as its files and the memory allow."""
    before = Tally()
    jobs, each_bytes = import_jobs(job, means, before)
    if len(jobs) == 1 and not means.on_cluster:
        return total_tally([before, *_engine(job, means, 1, each_bytes).run(import_part, jobs, advance)])
    if not means.on_cluster:
        advance(Step(doing=f"{counted(len(jobs), 'part')} in turn"))
    with _kept_results(job, jobs) as work:
        engine = Kept(_engine(job, means, len(jobs), each_bytes, work), work / RESULTS, content=_what_is_read)
        with engine:
            return total_tally([before, *engine.run(import_part, jobs, advance)])


def _what_is_read(job: ImportJob) -> object:
    """Return what decides the result of a job: not the clock, which has gone on when a killed import goes on."""
    return job.kind, job.paths, job.options, job.section


def _engine(job: ImportJob, means: Means, jobs: int, each_bytes: int, work: Path | None = None) -> Engine:
    """Return what runs so many jobs of `each_bytes` of memory; the files of a cluster's engine go to `work`."""
    if means.on_cluster and work is not None:
        return means.cluster(work, means.memory or each_bytes)
    fitting = min(fitting_workers(readers_of(job, means), means.memory or default_memory(), each_bytes), jobs)
    if fitting == 1 or job.options.get("communities"):
        # Threads are enough where decompressing is the work; this one imports what is needed when the rows come. And
        # Ctrl-C finds this one waiting, not inside polars, which raises a KeyboardInterrupt of its own.
        return Threads(fitting, meanwhile=lambda: _store(job.store))
    _store(job.store)
    return Processes(fitting)


@contextmanager
def _kept_results(job: ImportJob, jobs: Sequence[ImportJob]) -> Iterator[Path]:
    """Yield the folder, in the store, for the results of an import's jobs; it is deleted when all are done.

    Raises TryLater while another import of the same files to this store has it.
    """
    from shp_miner.store.lock import import_lock, only_import  # noqa: PLC0415  (of no use to a single job)

    files = [state_of_files(path) for path in dict.fromkeys(path for part in jobs for path in part.paths)]
    plan = content_digest(version("shp-miner"), job.kind, job.options, files)
    work = job.store.absolute() / IMPORTING / plan
    with ExitStack() as stack:
        try:
            lock = import_lock(job.store.absolute(), plan)
            stack.callback(_remove_if_empty, lock.parent)
            stack.enter_context(only_import(job.store.absolute(), plan))
            begin_plan(work, plan)
        except OSError:
            _store(job.store)  # says what is wrong with the place
            raise
        try:
            yield work
        except BaseException as error:
            if isinstance(error, BadInput | UsageError) or not any((work / RESULTS).glob("*")):
                end_plan(work)
            raise
        end_plan(work)


def _remove_if_empty(locks: Path) -> None:
    """Delete the folder of locks, and the store's around it, where an import was refused before it stored anything."""
    with suppress(OSError):
        locks.rmdir()
        locks.parent.rmdir()


def matching_paths(patterns: list[str]) -> list[Path]:
    """Return files and folders in the order of their names. A path without a wildcard must exist."""
    found: list[Path] = []
    for pattern in patterns:
        if is_remote(pattern):
            found += _matching_objects(pattern)
            continue
        paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob wants a folder and a rest
        if not paths and not glob.has_magic(pattern):
            raise BadInput(f"There is no file {pattern}.", "Correct `paths` in the pipeline.")
        found += map(Path, paths)
    return list(dict.fromkeys(found))


def _matching_objects(pattern: str) -> list[Path]:
    """Return the objects of a pattern, whose wildcards are in its last part; without one, the address itself."""
    path = expanded(pattern)
    if glob.has_magic(path.name):
        return sorted(path.parent.glob(path.name))
    if not path.exists():
        raise BadInput(f"There is no file {pattern}.", "Correct `paths` in the pipeline.")
    return [path]


def _store(path: Path) -> Store:
    """The store at a path. Raises BadInput where something else lies."""
    from shp_miner.store import Store  # noqa: PLC0415  (tables take a second to import)

    return Store(path)


def snapshot_before(path: Path) -> Snapshot | None:
    """The store at a path as it is before an import; None if it does not exist yet."""
    if not path.is_dir():
        return None  # the library of tables is imported later, beside the reading
    store = _store(path)
    return store.snapshot() if store.exists else None


def import_part(job: ImportJob, advance: Advance) -> Tally:
    """Read what the job names and commit it to the store. Doing it twice changes no export."""
    tally = Tally()
    section = {"section": job.section} if job.section else {}
    chunks = reader(job.kind)(job.paths, tally, now=job.now, advance=advance, **job.options, **section)
    commit(chunks, job.store, tally, advance)
    return tally


def commit(chunks: Iterable[Chunk], store: Path, tally: Tally, advance: Advance = ignore_progress) -> None:
    """Write chunks to the store at a path, and note their sites and communities."""
    with ExitStack() as stack:
        writer: StoreWriter | None = None
        for chunk in chunks:
            # Opened late: a file of another kind is refused before a store is made.
            writer = writer or stack.enter_context(_store(store).writer(look=True))
            writer.add(chunk)
            _note_places(chunk, tally)
        advance(Step(doing="writing the store"))


def _note_places(chunk: Chunk, tally: Tally) -> None:
    """Note which sites and communities a chunk is of."""
    import polars as pl  # noqa: PLC0415  (heavy, and here already)

    from shp_miner.model import PROFILE  # noqa: PLC0415

    for table in (chunk.posts, chunk.answers):
        frame = pl.DataFrame(table.select(["site", "community"])).unique()
        for (site,), names in frame.group_by("site"):
            communities = names["community"].drop_nulls().to_list()
            # A person's own page bears the person's name, which is kept nowhere but in the tables.
            own = any(name.startswith(PROFILE) for name in communities)
            tally.saw(str(site), None if own else communities)


def reader(kind: str) -> Reader:
    """The reader of a kind of dump."""
    # Imported late: each kind has libraries that the others do not need.
    match kind:
        case "reddit-dump":
            from shp_miner.dumps.reddit import read  # noqa: PLC0415

            return read
        case "stackexchange-dump":
            from shp_miner.dumps.stackexchange import read as read_stackexchange  # noqa: PLC0415

            return read_stackexchange
        case "discourse-json":
            from shp_miner.dumps.discourse import read as read_discourse  # noqa: PLC0415

            return read_discourse
        case "table":
            from shp_miner.dumps.table import read as read_table  # noqa: PLC0415

            return read_table
        case "threads":
            from shp_miner.dumps.threads import read as read_threads  # noqa: PLC0415

            return read_threads
    raise UsageError(f"There is no import kind {kind!r}.", f"The kinds: {', '.join(KINDS)}.")
