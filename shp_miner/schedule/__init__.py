"""Schedules of pipelines: a crontab line or systemd units, as text, and their installation.

A hash of the host and the pipeline's path decides when in an interval a pipeline runs, so that machines do not all ask
the same site in the same minute. Nothing here reads the clock.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from msgspec import Struct

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.registered import known_exports
from shp_miner.paths import expanded, is_remote
from shp_miner.pipeline.keys import Pipeline
from shp_miner.schedule.interval import EVEN_S
from shp_miner.sources.clocks import default_path
from shp_miner.sources.table import ROWS
from shp_miner.store import Store

#: Marks a line of a crontab or a unit as ours; the pipeline's path follows.
MARK = "# shp-miner: "


class Job(Struct, frozen=True, kw_only=True):
    """A scheduled pipeline.

    `pipeline` and `program` are absolute paths, and `offset_min` is the start within a week in minutes. `state` is the
    folder of shp-miner's own state, and `environment` the variables that a run needs to find it. `writes` are the
    folders that a run writes to, and `exported` those of other exports that forgetting writes to. `reads` are the paths
    of imports (wildcards unchanged) and the forget list. `variables` are the names of credentials' variables.
    """

    pipeline: Path
    every_s: float
    program: Path
    offset_min: int
    state: Path
    environment: dict[str, str]
    writes: tuple[Path, ...]
    exported: tuple[Path, ...] = ()
    reads: tuple[Path, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A unique name for files, made of the pipeline's name and a hash."""
        return name_of(self.pipeline)


def job(file: Path, pipeline: Pipeline, every_s: float, host: str) -> Job:
    """Return the job of the pipeline in a file. Raises UsageError if a schedule cannot contain one of its paths."""
    path = absolute(file)
    digest = hashlib.sha256(f"{host}\0{path}".encode(errors="surrogateescape")).digest()
    state = default_path().parent.absolute()
    made = Job(
        pipeline=path,
        every_s=every_s,
        program=program(),
        offset_min=int.from_bytes(digest[:8]) % (EVEN_S[-1] // 60),
        state=state,
        environment=_environment(state),
        writes=_writes(pipeline, state),
        exported=_exported(pipeline),
        reads=_reads(pipeline),
        variables=_variables(pipeline),
    )
    for place in (made.program, path, *made.writes, *made.exported):
        if not str(place).isprintable() or str(place).endswith("\\"):
            raise UsageError(
                f"A schedule cannot contain the path {str(place)!r}.", "Rename it: use printable characters."
            )
    return made


def absolute(file: Path) -> Path:
    """Return the absolute path that identifies a job; links are not followed."""
    return Path(os.path.abspath(file))  # noqa: PTH100 - Path.absolute keeps ".."


def name_of(path: Path) -> str:
    """See Job.name."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:40] or "pipeline"
    return f"shp-miner-{plain}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:6]}"


def program() -> Path:
    """Return the installed command `shp-miner` of this Python. Raises BadInput if there is none."""
    folders = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    folders.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))
    for folder in folders:
        if found := shutil.which("shp-miner", path=str(folder.absolute())):
            return Path(found)
    raise BadInput(
        f"The command shp-miner is not installed beside {sys.executable}.", "Install it: pip install shp-miner."
    )


def _environment(state: Path) -> dict[str, str]:
    """Return the variables that let a run without the shell's files share the pace with runs by hand."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    usual = home / ".local" / "state"
    return {} if state.parent == usual else {"XDG_STATE_HOME": str(state.parent)}


def _writes(pipeline: Pipeline, state: Path) -> tuple[Path, ...]:
    """Return the folders that a run writes to: parents too, because exports are written beside their place first."""
    files = [export.out for export in pipeline.exports]
    if pipeline.log.metrics is not None:
        files.append(pipeline.log.metrics)
    folders = [expanded(pipeline.store), state, *(expanded(file).parent for file in files)]
    return tuple(dict.fromkeys(folder for folder in folders if not is_remote(folder)))


def _exported(pipeline: Pipeline) -> tuple[Path, ...]:
    """Return the folders of exports made by hand, which forgetting cleans too."""
    files = [file for known in known_exports(Store(pipeline.store)) for file in (known.path, *known.dropped)]
    return tuple(dict.fromkeys(Path(file).parent for file in files if not is_remote(file)))


def _reads(pipeline: Pipeline) -> tuple[Path, ...]:
    files = [path for keys in pipeline.imports for path in keys.paths]
    return tuple(Path(file) for file in [*files, *filter(None, [pipeline.forget.file])] if not is_remote(file))


def _variables(pipeline: Pipeline) -> tuple[str, ...]:
    keys = pipeline.credentials
    named = [value[2:-1] for key in keys.__struct_fields__ if (value := getattr(keys, key)) is not None]
    if not named:
        needed = dict.fromkeys(row for source in pipeline.sources if (row := ROWS[source.kind]).needs_credentials)
        named = [credential.variable for row in needed for credential in row.credentials]
    return tuple(named)
