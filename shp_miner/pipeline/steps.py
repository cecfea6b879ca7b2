"""The parts of each step of a pipeline's run.

A part is a plain function that takes the run's context, does its work, and returns its outcome. STEP_PARTS names the
parts of each step. The loop in `run` takes them one by one, notes the outcomes, and adds up their counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import structs

from shp_miner.crawling.community import INTERRUPTED
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.run import crawl, recheck
from shp_miner.dumps.importing import import_dump, matching_paths
from shp_miner.dumps.sharing import state_of_files
from shp_miner.errors import BadInput, Incomplete
from shp_miner.export.dataset import export_dataset
from shp_miner.export.nothing import NoPairs, NoThreads
from shp_miner.export.owned import REPORT, export_fingerprint, formats_in, is_report
from shp_miner.export.registered import waiting_copies
from shp_miner.export.screens import delete_unused_items, evaluation_sets
from shp_miner.forgetting.complete import complete_pending, is_left
from shp_miner.forgetting.forget import forget, purge
from shp_miner.paths import expanded
from shp_miner.pipeline.budget import DiskBudget, WaitedClock
from shp_miner.pipeline.config import cleaning_of, rule_of
from shp_miner.pipeline.keys import ExportKeys, ImportKeys, Pipeline, SourceKeys
from shp_miner.pipeline.own import ALL, Own, import_key, import_options
from shp_miner.pipeline.ran import StepName
from shp_miner.platforms.communities import NoSuchCommunity
from shp_miner.report.write import report
from shp_miner.sources.registry import Access
from shp_miner.store import Store
from shp_miner.store.database import shrink_log
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.lock import InUse
from shp_miner.store.runs import Runs
from shp_miner.tally import counted
from shp_miner.units import microseconds, sized

#: Old versions are deleted about once a day; 20 h, because daily runs do not start at exactly the same time. Runs that
#: never have time left delete them after three days anyway: it takes seconds, and disks are finite.
_VACUUM_US = 20 * 3_600_000_000
_VACUUM_AT_LAST_US = 72 * 3_600_000_000


@dataclass(frozen=True)
class Context:
    """The store, clock, budget and other objects that all parts of one run share.

    `access` asks sites by `clock` and within `budget`. `started_s` is when the run began, in seconds since 1970. `say`
    gets a line now and then while a part works. `advance` gets the name of the step when a part begins, then
    the name and what the function behind it tells of its progress.
    """

    pipeline: Pipeline
    store: Store
    runs: Runs
    access: Access
    clock: WaitedClock
    budget: DiskBudget
    started_s: float
    say: Callable[[str], None]
    advance: Callable[..., None]

    def now(self) -> int:
        """Return the time in microseconds since 1970."""
        return microseconds(self.clock.now())

    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return self.clock.now() - self.started_s


class Outcome(msgspec.Struct, frozen=True):
    """How a part ended: a sentence, an exit code, and its share of the run's counts."""

    said: str
    exit_code: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    pairs: int = 0


#: A function that does a part and returns its outcome, or None if there was nothing to do.
Work = Callable[[Context], Outcome | None]

#: The parts of a step: what each is about, and how to do it.
Parts = Iterator[tuple[str, Work]]


# -- forget -----------------------------------------------------------------------------------------------------------


def left_parts(context: Context) -> Parts:
    """Yield the unfinished forget request of an earlier run, if there is one. It comes before all steps."""
    if is_left(context.store.path):
        yield "unfinished work of an earlier run", _complete_forgetting


def _complete_forgetting(context: Context) -> None:
    if (error := complete_pending(context.store.path)) is not None:
        raise error


def _forget_parts(context: Context) -> Parts:
    name = context.pipeline.forget.file
    if name is not None:
        yield name, partial(_forget_listed, file=Path(name))


def _forget_listed(context: Context, file: Path) -> Outcome | None:
    if not file.exists():
        raise BadInput(
            f"The forget list {file} does not exist.", "Create the file (it may be empty), or correct forget.file."
        )
    state = _digest(file.read_bytes())
    key = f"forget:{file}"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if context.runs.state_of(key) == state or not lines:
        return None
    forgotten = forget(context.store, file=file)
    context.runs.did(key, state, context.now())
    items = sum(table.items for table in forgotten.tables.values())
    # An export that is away is reported by the step tidy.
    return Outcome(f"{items:,} items removed, {counted(len(forgotten.exports), 'export')} checked")


# -- import -----------------------------------------------------------------------------------------------------------


def _import_parts(context: Context) -> Parts:
    for keys in context.pipeline.imports:
        yield keys.kind, partial(_import_new_files, keys=keys)


def _import_new_files(context: Context, keys: ImportKeys) -> Outcome | None:
    states = {path: state_of_files(path) for path in matching_paths(keys.paths)}
    fresh = [path for path, state in states.items() if context.runs.state_of(import_key(keys, path)) != state]
    if not fresh:
        return None
    limits = context.pipeline.limits
    try:
        imported = import_dump(
            keys.kind,
            fresh,
            context.store,
            workers=limits.workers,
            memory=limits.memory,
            engine=limits.engine,
            address=limits.address,
            advance=partial(context.advance, "import"),
            **import_options(keys),
        )
    except NoSuchCommunity as none:
        outcome = Outcome(f"{none.message} {none.hint}", none.exit_code)
    else:
        Own(context.pipeline, context.runs).imported(keys, imported.tally.places, context.now())
        outcome = Outcome(imported.said(len(fresh)), imported.exit_code)
        if imported.tally.defects:
            return outcome  # another version of the program may read these files
    # Damage and missing communities are reported once; the file is read again when it has changed.
    for path in fresh:
        context.runs.did(import_key(keys, path), states[path], context.now())
    return outcome


# -- recheck and crawl ------------------------------------------------------------------------------------------------


def _recheck_parts(context: Context) -> Parts:
    if context.pipeline.recheck.enabled:
        yield "due threads", _recheck_due


def _recheck_due(context: Context) -> Outcome | None:
    keys = context.pipeline.recheck
    return _crawled(
        recheck(
            context.store,
            context.access,
            limit=keys.limit,
            visits_s=sorted(keys.at),
            older_than_s=keys.older_than,
            say=context.say,
            advance=partial(context.advance, "recheck"),
        )
    )


def _crawl_parts(context: Context) -> Parts:
    for keys in context.pipeline.sources:
        about = " ".join(filter(None, (keys.kind, keys.site, ", ".join(keys.communities))))
        yield about, partial(_crawl_source, keys=keys)


def _crawl_source(context: Context, keys: SourceKeys) -> Outcome | None:
    access = structs.replace(context.access, site=keys.site, url=keys.url, allow_private=keys.allow_private)
    visits_s = sorted(context.pipeline.recheck.at)
    results = crawl(
        keys.kind,
        keys.communities,
        context.store,
        access,
        limit=keys.limit,
        visits_s=visits_s,
        say=context.say,
        advance=partial(context.advance, "crawl"),
    )
    Own(context.pipeline, context.runs).crawled(keys, [result.community for result in results], context.now())
    return _crawled(results)


def _crawled(results: list[Crawled]) -> Outcome | None:
    """Return the sums over the crawled communities; None if there were none."""
    if not results:
        return None
    read, new, gone, failed, waits, hidden = (
        sum(getattr(result, name) for result in results)
        for name in ("read", "new", "gone", "failed", "waiting", "unreadable")
    )
    if any(result.stopped == INTERRUPTED for result in results):
        said, exit_code = INTERRUPTED, Incomplete.exit_code
    else:
        reasons = (why for result in results for why in (result.stopped, result.refused, result.lost_in_words()) if why)
        left = f", {failed:,} failed, {waits:,} waiting" if failed or waits else ""
        left += f", {hidden:,} threads unreadable" if hidden else ""
        said = f"{read:,} threads read, {gone:,} items gone{left}. {' '.join(dict.fromkeys(reasons))}".strip()
        exit_code = 0 if all(result.complete for result in results) else Incomplete.exit_code
    return Outcome(said, exit_code, new=new, changed=read - new, deleted=gone)


# -- export -----------------------------------------------------------------------------------------------------------


def _export_parts(context: Context) -> Parts:
    for keys in context.pipeline.exports:
        yield keys.out, partial(_export_and_report, keys=keys)


def _export_and_report(context: Context, keys: ExportKeys) -> Outcome:
    """Export if something changed; then write the report, if it is asked for and is not there.

    A report that cannot be written is a failure of its own, and leaves the export as it is.
    """
    outcome, out = _export_if_changed(context, structs.replace(keys, report=False)), expanded(keys.out)
    if not keys.report or is_report(out / REPORT) or not formats_in(out):
        return outcome
    page = report(out).page
    return structs.replace(outcome, said=f"{outcome.said}. Report: {page}")


def _export_if_changed(context: Context, keys: ExportKeys) -> Outcome:
    pipeline, runs, store = context.pipeline, context.runs, context.store
    rule, limits, out = rule_of(pipeline.rule, keys.rule), pipeline.limits, expanded(keys.out)
    places = Own(pipeline, runs).places() if not keys.sites else {}
    clean = cleaning_of(pipeline.clean, keys.clean)
    sets = None
    if keys.decontaminate:
        sets = evaluation_sets(keys.decontaminate, columns=keys.decontaminate_columns, preset=keys.decontaminate_preset)
    screened = sets and sets.about
    settings = msgspec.json.encode((keys, rule, clean, screened, places, store.content(), version("shp-miner")))
    key, state = f"export:{out}", _digest(settings)
    there = formats_in(out)
    # Somebody else may have exported there meanwhile, with other settings or from another store.
    if there and runs.state_of(key) == f"{state} {export_fingerprint(there)}":
        return Outcome("up to date")
    try:
        exported = export_dataset(
            store,
            out,
            rule=rule,
            formats=keys.formats,
            communities=keys.communities,
            sites=() if ALL in keys.sites else keys.sites,
            places=places,
            validation=keys.validation,
            test=keys.test,
            layout=keys.layout,
            margin=keys.margin,
            clean=clean,
            decontaminate=sets,
            replace=True,  # the file says what shall be there
            refit=keys.refit,
            workers=limits.workers,
            memory=limits.memory,
            engine=limits.engine,
            address=limits.address,
            advance=partial(context.advance, "export"),
        )
    except NoPairs as none:
        # A young store is not a failure, because scores need time; imported threads must exist, though.
        lacking = isinstance(none, NoThreads) and context.pipeline.imports
        return Outcome(none.message, Incomplete.exit_code if lacking else 0)
    except NoSuchCommunity as none:
        code = Incomplete.exit_code if store.snapshot().communities() else 0
        return Outcome(f"{none.message} {none.hint}", code)
    runs.did(key, f"{state} {export_fingerprint(formats_in(out))}", context.now())
    pairs = sum(exported.pairs.values())
    said = f"{pairs:,} pairs from {sum(exported.posts.values()):,} posts"
    unseen = sets.unseen() if sets else []
    return Outcome(". ".join(filter(None, [said, exported.missing, *unseen])), pairs=pairs)


# -- tidy -------------------------------------------------------------------------------------------------------------


def _tidy_parts(_: Context) -> Parts:
    yield "the store", _tidy_store
    yield "forget requests", _finish_forgetting


def _tidy_store(context: Context) -> Outcome | None:
    limit, last = context.pipeline.limits.max_seconds, context.runs.state_of("vacuum")
    late = limit is not None and context.seconds() >= limit
    waited = context.now() - int(last or 0)
    said = []
    with suppress(InUse):  # somebody else uses the store: the next run does it
        if not (late or context.budget.full_disk()) and context.store.compact_if_due():
            said.append("compacted")
        # A clock that was ahead at the last vacuum does not delay the next.
        if waited < 0 or waited >= (_VACUUM_AT_LAST_US if late else _VACUUM_US):
            ended = context.store.vacuum(wait_s=1.0)
            ended.add(delete_unused_items(context.store, wait_s=1.0))
            shrink_log(context.store.path)
            context.runs.did("vacuum", str(context.now()), context.now())
            if ended.files:
                said.append(f"{ended.files:,} files of old versions deleted, {sized(ended.size_bytes)}")
    return Outcome(", ".join(said)) if said else None


def _finish_forgetting(context: Context) -> Outcome | None:
    """Try again the exports that forget requests wait for, for example one that was away."""
    if not (has_pending(context.store.path) or waiting_copies(context.store)):
        return None
    with suppress(InUse):  # somebody else uses the store: the next run does it
        purge(context.store)
    left = waiting_copies(context.store)
    if left:
        said = " ".join(f"{export.path} was not reached. {export.why} {export.hint}" for export in left)
        return Outcome(f"not finished yet: {said}", Incomplete.exit_code)
    return Outcome("finished")


#: The function that yields the parts of each step; `ran.STEPS` has the order of the steps.
STEP_PARTS: dict[StepName, Callable[[Context], Parts]] = {
    "forget": _forget_parts,
    "import": _import_parts,
    "recheck": _recheck_parts,
    "crawl": _crawl_parts,
    "export": _export_parts,
    "tidy": _tidy_parts,
}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
