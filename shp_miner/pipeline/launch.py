"""Runs a pipeline from its file: the entry point of the command `run` and of Python programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from shp_miner.arguments import Names, several
from shp_miner.errors import UsageError, nearest_name
from shp_miner.paths import expanded
from shp_miner.pipeline import config
from shp_miner.pipeline.keys import Pipeline
from shp_miner.pipeline.ran import STEPS, Ran
from shp_miner.pipeline.run import run as run_pipeline
from shp_miner.sources.access import Access, shared_clocks


def run(
    pipeline: Pipeline | str | os.PathLike[str],
    name: str | None = None,
    *,
    only: Names | None = None,
    access: Access | None = None,
    say: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] | None = None,
    advance: Callable[..., None] = lambda *_: None,
) -> Ran:
    """Return what a run of a pipeline did. `pipeline` is its file's path, or the result of `pipeline.config.read`.

    `only` names the step or steps to do (default: all). `say` gets a line for each finished part and `warn` for each
    failed one. `name` is the pipeline's name in logs; default: the file's name. `advance` gets the name of the step
    when a part begins; then the name and what the step's function tells: crawl and recheck a CrawlProgress, import
    bytes, export (done, total).

    Sets the environment variables of the file's credentials. Raises BadInput for a file that is not valid and TryLater
    if another run uses the store; other failures are in the result.
    """
    steps = several(only, "only")
    for step in steps:
        if step not in STEPS:
            raise UsageError(f"A run has no step {step!r}.", nearest_name(step, STEPS))
    if not isinstance(pipeline, Pipeline):
        name, pipeline = name or Path(pipeline).name, config.read(expanded(pipeline))
    os.environ.update(config.credentials(pipeline))
    with shared_clocks(access or Access()) as paced:
        return run_pipeline(pipeline, name or "pipeline", access=paced, only=steps, say=say, warn=warn, advance=advance)


def bounded(pipeline: Pipeline, *, max_seconds: float | None = None, max_requests: int | None = None) -> Pipeline:
    """Return the pipeline with other limits; None keeps the file's limit."""
    given = {"max_seconds": max_seconds, "max_requests": max_requests}
    limits = structs.replace(pipeline.limits, **{name: value for name, value in given.items() if value is not None})
    return structs.replace(pipeline, limits=limits)
