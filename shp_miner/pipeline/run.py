"""Runs all steps of a pipeline once. A run may be ended and repeated at any time.

STEPS has the steps in their order, and the module `steps` their parts. A part that fails is reported and does not stop
the others; the result names unfinished work, and the next run continues it.
"""

from __future__ import annotations

import logging
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
from shp_miner.store.local import free_bytes
from shp_miner.store.lock import only_one, run_lock
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
    advance: Callable[..., None] = lambda *_: None,
    free_bytes: Callable[[Path], int] = free_bytes,
) -> Ran:
    """Return what a run of `pipeline` (from `config.read`) did; `name` is its name in logs.

    `access` has the request clocks and the clock (its site is ignored), `only` names the steps to do. `say` gets a line
    for each finished part and `warn` for each failed one (default: `say`). `advance` is as in `launch.run`.
    Raises TryLater if another run uses the store; other failures are in the result.
    """
    access = access or Access()
    store = Store(pipeline.store)
    store.create()
    with (
        only_one(run_lock(store.path), f"The store {store.path} is in use by a run", f"running {name}"),
        Runs(store.path) as runs,
    ):
        clock = WaitedClock(access.clock or SYSTEM)
        budget = DiskBudget(pipeline.limits, clock, lambda: free_bytes(store.path))
        access = structs.replace(access, clock=clock, budget=budget)
        context = Context(pipeline, store, runs, access, clock, budget, clock.now(), say, advance)
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
    """Do the parts of the steps and add up their counts. An interrupted part ends the run."""
    for step, about, work in _parts(context, steps):
        start_s = context.clock.now()
        context.advance(step)
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
    """Yield the parts of all steps; the parts of a step are found when earlier parts are done."""
    for about, work in left_parts(context):
        yield "forget", about, work
    for step in steps:
        for about, work in STEP_PARTS[step](context):
            yield step, about, work


def _outcome(context: Context, step: StepName, work: Work) -> Outcome | None:
    """Return how a part ended. Any error, even a bug, is the failure of this part only."""
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
    """Return the error with a message that a person can read."""
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
    """Write the metrics file. If that fails, the run fails in part."""
    path = context.pipeline.log.metrics
    if path is None:
        return
    try:
        metrics.write(Path(path), ran.pipeline, ran.counts(), context.clock.now())
    except Error as error:
        note(StepDone("metrics", path, f"{error.message} {error.hint}", error.exit_code))
        ran.exit_code = exit_code_of(ran.steps)
