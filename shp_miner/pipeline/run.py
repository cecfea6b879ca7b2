"""Running a pipeline: all that its file asks for, in one go that may be ended and repeated at any time.

The steps stand in STEPS, in their order, and their parts in `steps`. A part that fails is told and does not keep the
others from being done; what is left is in the result, and the next run goes on there.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec
from msgspec import structs

from shp_miner.crawling.community import INTERRUPTED
from shp_miner.crawling.look import Look
from shp_miner.errors import Error, Incomplete, TryLater, from_os_error, in_words, is_interrupt
from shp_miner.pipeline import metrics
from shp_miner.pipeline.budget import DiskBudget, WaitedClock
from shp_miner.pipeline.keys import Pipeline
from shp_miner.pipeline.ran import STEPS, Ran, StepDone, StepName, exit_code_of
from shp_miner.pipeline.steps import STEP_PARTS, Context, Outcome, Work, left_parts
from shp_miner.sources.http import SYSTEM
from shp_miner.sources.registry import Access
from shp_miner.store import Store
from shp_miner.store.lock import LOCK, only_one
from shp_miner.store.runs import Runs

log = logging.getLogger("shp_miner")


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
        clock = WaitedClock(access.clock or SYSTEM)
        budget = DiskBudget(pipeline.limits, clock, lambda: free_bytes(store.path))
        access = structs.replace(access, clock=clock, budget=budget)
        context = Context(pipeline, store, runs, access, clock, budget, clock.now(), say)
        ran = Ran(name)

        def note(done: StepDone) -> None:
            ran.steps.append(done)
            (warn or say if done.exit_code else say)(f"{done.step} {done.about}: {done.said}")

        number = runs.begin(name, context.now())
        try:
            _take_steps(context, [step for step in STEPS if step in only or not only], ran, note)
        except BaseException as error:
            ran.exit_code = Incomplete.exit_code if is_interrupt(error) else getattr(error, "exit_code", 1)
            ran.steps.append(StepDone("run", name, str(error) or type(error).__name__, ran.exit_code))
            raise
        finally:
            _add_up(context, ran)
            _write_metrics(context, ran, note)
            try:
                runs.end(number, context.now(), ran.exit_code, msgspec.to_builtins(ran))
            except TryLater as full:  # what was done stays done, and the summary says the rest
                ran.steps.append(StepDone("run", name, full.message, full.exit_code))
                _add_up(context, ran)
    return ran


def _take_steps(context: Context, steps: list[StepName], ran: Ran, note: Callable[[StepDone], None]) -> None:
    """Do the parts of the steps and add up what they did. A part that was told to end ends all."""
    for step, about, work in _parts(context, steps):
        start_s = context.clock.now()
        outcome = _outcome(context, step, work)
        if outcome is None:
            continue
        ran.new += outcome.new
        ran.changed += outcome.changed
        ran.deleted += outcome.deleted
        ran.pairs += outcome.pairs
        note(StepDone(step, about, outcome.said, outcome.exit_code, context.clock.now() - start_s))
        if outcome.said == INTERRUPTED:
            break
    with Look(context.store.path) as look:
        ran.given_up = len(look.given_up())


def _parts(context: Context, steps: list[StepName]) -> Iterator[tuple[StepName, str, Work]]:
    """The parts of all steps, each found when those before it are done."""
    for about, work in left_parts(context):
        yield "forget", about, work
    for step in steps:
        for about, work in STEP_PARTS[step](context):
            yield step, about, work


def _outcome(context: Context, step: StepName, work: Work) -> Outcome | None:
    """How a part ended. What it raises is its failure; a bug is the failure of one part like others."""
    try:
        if step != "tidy" and (sentence := context.budget.full_disk()):  # that one makes room
            return Outcome(sentence, TryLater.exit_code)
        return work(context)
    except BaseException as error:
        if is_interrupt(error):
            return Outcome(INTERRUPTED, Incomplete.exit_code)
        if not isinstance(error, Exception):
            raise
        known = _known(error, step)
        return Outcome(f"{known.message} {known.hint}".strip(), known.exit_code)


def _known(error: Exception, step: StepName) -> Error:
    """What a person can be told of it."""
    known = error if isinstance(error, Error) else from_os_error(error, f"doing the step {step}")
    if known is None:
        log.debug("The step %s failed", step, exc_info=error)
        known = in_words(error)
    assert known is not None
    return known


def _add_up(context: Context, ran: Ran) -> None:
    ran.seconds = context.seconds()
    ran.requests, ran.waited_s = context.budget.requests, context.clock.waited_s
    ran.exit_code = ran.exit_code or exit_code_of(ran.steps)


def _write_metrics(context: Context, ran: Ran, note: Callable[[StepDone], None]) -> None:
    """Write the file for Prometheus. That it cannot be written is a failure of the run like others."""
    path = context.pipeline.log.metrics
    if path is None:
        return
    try:
        metrics.write(Path(path), ran.pipeline, ran.counts(), context.clock.now())
    except Error as error:
        note(StepDone("metrics", path, f"{error.message} {error.hint}", error.exit_code))
        ran.exit_code = exit_code_of(ran.steps)
