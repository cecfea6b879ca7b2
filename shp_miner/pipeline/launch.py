"""Running the pipeline that stands in a file, as the command `run` and programs do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec import structs

from shp_miner.pipeline import config
from shp_miner.pipeline.keys import Pipeline
from shp_miner.pipeline.ran import Ran
from shp_miner.pipeline.run import run as run_pipeline
from shp_miner.sources.access import Access, shared


def run(
    pipeline: Pipeline | str | os.PathLike[str],
    name: str | None = None,
    *,
    only: Collection[str] = (),
    access: Access | None = None,
    say: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] | None = None,
) -> Ran:
    """Do all that a pipeline asks for: the path of its file, or what `pipeline.config.read` made of one.

    `only` names the steps to take, `say` is told what was done and `warn` what was not. `name` is what logs call it:
    the file's name unless given. Sets the environment variables of the file's credentials. Raises BadInput for a file
    that cannot be read and TryLater where another run has the store; all else that goes wrong is in the result.
    """
    if not isinstance(pipeline, Pipeline):
        name, pipeline = name or Path(pipeline).name, config.read(Path(pipeline))
    os.environ.update(config.credentials(pipeline))
    with shared(access or Access()) as paced:
        return run_pipeline(pipeline, name or "pipeline", access=paced, only=only, say=say, warn=warn)


def bounded(pipeline: Pipeline, *, max_seconds: float | None = None, max_requests: int | None = None) -> Pipeline:
    """The pipeline with other limits; None keeps the file's."""
    given = {"max_seconds": max_seconds, "max_requests": max_requests}
    limits = structs.replace(pipeline.limits, **{name: value for name, value in given.items() if value is not None})
    return structs.replace(pipeline, limits=limits)
