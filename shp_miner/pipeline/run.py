"""Running a pipeline: all that its file asks for, in one go that may be ended and repeated at any time.

The steps stand in STEPS, in their order. A step that fails is told and does not keep the others from being done; what
is left is in the result, and the next run goes on there.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from shp_miner.crawling.community import INTERRUPTED
from shp_miner.crawling.look import Look
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.run import crawl, recheck
from shp_miner.dumps.importing import import_dump, matching, state_of_files
from shp_miner.errors import BadInput, Error, Incomplete, TryLater, from_os_error, in_words, is_interrupt
from shp_miner.export.dataset import NoPairs, NoThreads, export_dataset
from shp_miner.export.owned import fingerprint, formats_in
from shp_miner.export.registered import waiting
from shp_miner.forgetting.complete import complete_pending, is_left
from shp_miner.forgetting.forget import forget, purge
from shp_miner.pipeline import metrics
from shp_miner.pipeline.budget import DiskBudget, WaitedClock
from shp_miner.pipeline.config import rule_of
from shp_miner.pipeline.keys import ExportKeys, ImportKeys, Pipeline, SourceKeys
from shp_miner.pipeline.own import ALL, Own, import_key, options
from shp_miner.pipeline.ran import STEPS, Ran, StepDone, StepName, exit_code_of
from shp_miner.platforms.communities import NoSuchCommunity
from shp_miner.sources.http import SYSTEM
from shp_miner.sources.registry import Access
from shp_miner.store import Store
from shp_miner.store.database import shrink
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.lock import LOCK, InUse, only_one
from shp_miner.store.runs import Runs

log = logging.getLogger("shp_miner")

#: Old versions are deleted about daily: runs of one day come a little earlier or later than those of the day before.
#: Runs that never have time left do it after three days all the same: it takes seconds, and a disk is not without end.
_VACUUM_US = 20 * 3_600_000_000
_VACUUM_AT_LAST_US = 72 * 3_600_000_000


#: The parts of a step: what each is about, and how to do it; None where there was nothing to do.
Steps = Iterator[tuple[str, Callable[[], StepDone | None]]]


def run(
    pipeline: Pipeline,
    name: str,
    *,
    access: Access | None = None,
    only: Collection[str] = (),
    say: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] | None = None,
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> Ran:
    """Do what a pipeline (as `config.read` gave it) asks for; `name` is what logs call it.

    `access` brings clocks and a clock (its site is not looked at), `only` names the steps to take, `say` is told what
    was done and `warn` what was not (the same, unless given). Raises TryLater where another run has the store. All else
    that goes wrong is in the result.
    """
    access = access or Access()
    store = Store(pipeline.store)
    store.create()
    with (
        only_one(store.path / LOCK, f"The store {store.path} has a run", f"running {name}"),
        Runs(store.path) as runs,
    ):
        going = _Going(pipeline, Ran(name), store, runs, access, free_bytes, say, warn or say)
        number = runs.begin(name, going.now())
        try:
            going.go([step for step in STEPS if step in only or not only])
        except BaseException as error:
            going.ran.exit_code = Incomplete.exit_code if is_interrupt(error) else getattr(error, "exit_code", 1)
            going.ran.steps.append(StepDone("run", name, str(error) or type(error).__name__, going.ran.exit_code))
            raise
        finally:
            going.finish()
            going.measure()
            try:
                runs.end(number, going.now(), going.ran.exit_code, msgspec.to_builtins(going.ran))
            except TryLater as full:  # what was done stays done, and the summary says the rest
                going.ran.steps.append(StepDone("run", name, full.message, full.exit_code))
                going.finish()
    return going.ran


class _Stopped(Exception):
    """The run was told to end."""


class _Going:
    """A run that goes on."""

    def __init__(  # noqa: PLR0917 - each is a part that tests exchange
        self,
        pipeline: Pipeline,
        ran: Ran,
        store: Store,
        runs: Runs,
        access: Access,
        free_bytes: Callable[[Path], int],
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._pipeline, self.ran, self._store, self._runs = pipeline, ran, store, runs
        self._free_bytes, self._say, self._warn = free_bytes, say, warn
        self._clock = WaitedClock(access.clock or SYSTEM)
        self._started_s = self._clock.now()
        self._budget = DiskBudget(pipeline, self._clock, self._full)
        self._access = structs.replace(access, clock=self._clock, budget=self._budget)

    def now(self) -> int:
        """The time in microseconds since 1970."""
        return round(self._clock.now() * 1_000_000)

    def go(self, steps: list[StepName]) -> None:
        """Take the steps. What one of them raises is a step that failed; being told to end ends all."""
        try:
            if is_left(self._store.path):
                self._step("forget", "what an earlier run left", self._complete)
            for step in steps:
                for about, work in getattr(self, f"_{step}")():
                    self._step(step, about, work)
        except _Stopped:
            pass
        with Look(self._store.path) as look:
            self.ran.given_up = len(look.given_up())

    def finish(self) -> None:
        """Add up."""
        ran = self.ran
        ran.seconds = self._clock.now() - self._started_s
        ran.requests, ran.waited_s = self._budget.requests, self._clock.waited_s
        ran.exit_code = ran.exit_code or exit_code_of(ran.steps)

    def measure(self) -> None:
        """Write the file for Prometheus. That it cannot be written is a failure of the run like others."""
        path = self._pipeline.log.metrics
        if path is None:
            return
        try:
            metrics.write(Path(path), self.ran.pipeline, self.ran.counts(), self._clock.now())
        except Error as error:
            self._did(StepDone("metrics", path, f"{error.message} {error.hint}", error.exit_code))
            self.ran.exit_code = exit_code_of(self.ran.steps)

    def _did(self, done: StepDone) -> None:
        self.ran.steps.append(done)
        (self._warn if done.exit_code else self._say)(f"{done.step} {done.about}: {done.said}")

    def _step(self, step: StepName, about: str, work: Callable[[], StepDone | None]) -> None:
        start = self._clock.now()
        stopped = False
        try:
            if step != "tidy" and (sentence := self._full()):  # that one makes room
                done: StepDone | None = StepDone(step, about, sentence, TryLater.exit_code)
            else:
                done = work()
        except BaseException as error:
            if is_interrupt(error):
                done, stopped = StepDone(step, about, INTERRUPTED, Incomplete.exit_code), True
            else:
                if not isinstance(error, Exception):
                    raise
                known = _known(error, step)
                done = StepDone(step, about, f"{known.message} {known.hint}".strip(), known.exit_code)
        if done is None:
            return
        done.seconds = self._clock.now() - start
        self._did(done)
        if stopped or done.said == INTERRUPTED:
            raise _Stopped

    def _full(self) -> str | None:
        least = self._pipeline.limits.min_free
        free = self._free_bytes(self._store.path)
        if free >= least:
            return None
        sizes = f"Only {free / 1e9:.1f} GB are free, and {least / 1e9:.1f} GB shall stay so"
        return f"{sizes}: free some space, or lower limits.min_free."

    # -- the steps ----------------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        if (error := complete_pending(self._store.path)) is not None:
            raise error

    def _forget(self) -> Steps:
        name = self._pipeline.forget.file
        if name is not None:
            yield name, partial(self._forget_file, Path(name))

    def _forget_file(self, file: Path) -> StepDone | None:
        if not file.exists():
            raise BadInput(f"There is no list {file} of what is to be forgotten.", "Make it, if only an empty one.")
        state = _digest(file.read_bytes())
        key = f"forget:{file}"
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        if self._runs.state_of(key) == state or not lines:
            return None
        done = forget(self._store, file=file)
        self._runs.did(key, state, self.now())
        items = sum(one.items for one in done.tables.values())
        said = f"{items:,} items forgotten, {len(done.exports)} exports looked through"
        return StepDone("forget", str(file), said)  # an export that is away is reported by the step tidy

    def _import(self) -> Steps:
        for one in self._pipeline.imports:
            yield one.kind, partial(self._import_new, one)

    def _import_new(self, keys: ImportKeys) -> StepDone | None:
        found = {path: state_of_files(path) for path in matching(keys.paths)}
        fresh = [path for path, state in found.items() if self._runs.state_of(import_key(keys, path)) != state]
        if not fresh:
            return None
        limits = self._pipeline.limits
        nothing: NoSuchCommunity | None = None
        try:
            how = options(keys)
            done = import_dump(keys.kind, fresh, self._store, workers=limits.workers, memory=limits.memory, **how)
        except NoSuchCommunity as none:
            nothing = none
        else:
            Own(self._pipeline, self._runs).imported(keys, done.tally.places, self.now())
        # What is damaged or not there is told once, and read again when the file is another.
        for path in fresh:
            self._runs.did(import_key(keys, path), found[path], self.now())
        if nothing is not None:
            return StepDone("import", keys.kind, f"{nothing.message} {nothing.hint}", nothing.exit_code)
        return StepDone("import", keys.kind, done.said(len(fresh)), 0 if done.complete else Incomplete.exit_code)

    def _recheck(self) -> Steps:
        if self._pipeline.recheck.enabled:
            yield "what is due", self._revisit

    def _revisit(self) -> StepDone | None:
        keys = self._pipeline.recheck
        how: dict[str, Any] = {"limit": keys.limit, "visits_s": sorted(keys.at), "older_than_s": keys.older_than}
        done = recheck(self._store, self._access, **how, say=self._say)
        return self._crawled("recheck", "what is due", done)

    def _crawl(self) -> Steps:
        for one in self._pipeline.sources:
            about = " ".join(filter(None, (one.kind, one.site, ", ".join(one.communities))))
            yield about, partial(self._crawl_source, about, one)

    def _crawl_source(self, about: str, keys: SourceKeys) -> StepDone | None:
        access = structs.replace(self._access, site=keys.site, url=keys.url, allow_private=keys.allow_private)
        visits_s = sorted(self._pipeline.recheck.at)
        done = crawl(
            keys.kind, keys.communities, self._store, access, limit=keys.limit, visits_s=visits_s, say=self._say
        )
        Own(self._pipeline, self._runs).crawled(keys, [one.community for one in done], self.now())
        return self._crawled("crawl", about, done)

    def _crawled(self, step: StepName, about: str, done: list[Crawled]) -> StepDone | None:
        if not done:
            return None
        self.ran.new += sum(one.new for one in done)
        self.ran.changed += sum(one.read - one.new for one in done)
        self.ran.deleted += sum(one.gone for one in done)
        if any(one.stopped == INTERRUPTED for one in done):
            return StepDone(step, about, INTERRUPTED, Incomplete.exit_code)
        read, gone, failed = (sum(getattr(one, name) for one in done) for name in ("read", "gone", "failed"))
        waiting, hidden = sum(one.waiting for one in done), sum(one.unreadable for one in done)
        why = " ".join(
            dict.fromkeys(why for one in done for why in (one.stopped, one.refused, one.lost_in_words()) if why)
        )
        left = f", {failed:,} failed, {waiting:,} waiting" if failed or waiting else ""
        left += f", {hidden:,} threads unreadable" if hidden else ""
        said = f"{read:,} threads read, {gone:,} items gone{left}. {why}".strip()
        return StepDone(step, about, said, 0 if all(one.complete for one in done) else Incomplete.exit_code)

    def _export(self) -> Steps:
        for one in self._pipeline.exports:
            yield one.out, partial(self._export_if_changed, one)

    def _export_if_changed(self, keys: ExportKeys) -> StepDone | None:
        rule, limits, out = rule_of(self._pipeline.rule, keys.rule), self._pipeline.limits, Path(keys.out)
        places = Own(self._pipeline, self._runs).places() if not keys.sites else {}
        settings = msgspec.json.encode((keys, rule, places, self._store.content(), version("shp-miner")))
        key, state = f"export:{out}", _digest(settings)
        there = formats_in(out)
        # What somebody else wrote there meanwhile, with other settings or of another store, is not ours.
        if there and self._runs.state_of(key) == f"{state} {fingerprint(there)}":
            return StepDone("export", keys.out, "up to date")
        try:
            done = export_dataset(
                self._store,
                out,
                rule=rule,
                formats=keys.formats,
                communities=keys.communities,
                sites=() if ALL in keys.sites else keys.sites,
                places=places,
                validation=keys.validation,
                test=keys.test,
                workers=limits.workers,
                memory=limits.memory,
            )
        except NoPairs as none:
            # A young store is no failure, since scores must have had time; what was imported must be there, though.
            lacking = isinstance(none, NoThreads) and self._pipeline.imports
            return StepDone("export", keys.out, none.message, Incomplete.exit_code if lacking else 0)
        except NoSuchCommunity as none:
            code = Incomplete.exit_code if self._store.snapshot().communities() else 0
            return StepDone("export", keys.out, f"{none.message} {none.hint}", code)
        self._runs.did(key, f"{state} {fingerprint(formats_in(out))}", self.now())
        pairs = sum(done.pairs.values())
        self.ran.pairs += pairs
        said = f"{pairs:,} pairs of {sum(done.posts.values()):,} posts"
        return StepDone("export", keys.out, ". ".join(filter(None, [said, done.missing])))

    def _tidy(self) -> Steps:
        yield "the store", self._tidied
        yield "forget requests", self._finish_forgetting

    def _finish_forgetting(self) -> StepDone | None:
        """Try again what forget requests wait for, such as an export that was away."""
        if not (has_pending(self._store.path) or waiting(self._store)):
            return None
        with suppress(InUse):  # who uses it now: the next run
            purge(self._store)
        left = waiting(self._store)
        if left:
            said = " ".join(f"{one.path} was not reached. {one.why} {one.hint}" for one in left)
            return StepDone("tidy", "forget requests", f"not finished yet: {said}", Incomplete.exit_code)
        return StepDone("tidy", "forget requests", "finished")

    def _tidied(self) -> StepDone | None:
        limit, last = self._pipeline.limits.max_seconds, self._runs.state_of("vacuum")
        late = limit is not None and self._clock.now() - self._started_s >= limit
        waited = self.now() - int(last or 0)
        said = []
        with suppress(InUse):  # who else is in the store keeps it; the next run does it
            if not (late or self._full()) and self._store.compact_if_due():
                said.append("compacted")
            # A clock that was ahead at the last one puts none off.
            if waited < 0 or waited >= (_VACUUM_AT_LAST_US if late else _VACUUM_US):
                done = self._store.vacuum(wait_s=1.0)
                shrink(self._store.path)
                self._runs.did("vacuum", str(self.now()), self.now())
                if done.files:
                    said.append(f"{done.files:,} files of old versions deleted, {done.size_bytes / 1e6:,.1f} MB")
        return StepDone("tidy", "the store", ", ".join(said)) if said else None


def _known(error: Exception, step: StepName) -> Error:
    """What a person can be told of it. A bug is the failure of one part like others: the rest of the run is done."""
    known = error if isinstance(error, Error) else from_os_error(error, f"doing the step {step}")
    if known is None:
        log.debug("The step %s failed", step, exc_info=error)
        known = in_words(error)
    assert known is not None
    return known


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
