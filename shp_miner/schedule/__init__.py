"""Running a pipeline again and again: a crontab line or systemd units, as text, and how each is installed.

Nothing here looks at the clock. When in an interval a pipeline runs is decided by a hash of the host and the
pipeline's path, so that machines all over do not ask the same site in the same minute.
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
from shp_miner.pipeline.keys import Pipeline
from shp_miner.schedule.interval import EVEN_S
from shp_miner.sources.clocks import default_path
from shp_miner.sources.table import ROWS
from shp_miner.store import Store

#: What marks as ours a line of a crontab or a unit; the pipeline's path follows.
MARK = "# shp-miner: "


class Job(Struct, frozen=True, kw_only=True):
    """A pipeline's run again and again.

    `pipeline` and `program` are absolute paths, `offset_min` is when in a week it starts (minutes), `state` the folder
    of shp-miner's own state, `environment` what a run needs to find it, `writes` the folders that a run writes to,
    `exported` those of other exports that forgetting writes to, `reads` the paths it imports from and the list of what
    is to be forgotten (with wildcards as they are), and `variables` the credentials' names.
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
        """A name for files: the pipeline's own, and what tells it from others of that name."""
        return name_of(self.pipeline)


def job(file: Path, pipeline: Pipeline, every_s: float, host: str) -> Job:
    """The job of running the pipeline in a file. Raises UsageError where its paths cannot be written down."""
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
            raise UsageError(f"A schedule cannot hold the path {str(place)!r}.", "Give it a plain name.")
    return made


def absolute(file: Path) -> Path:
    """The path by which a job is known; links stay as they are."""
    return Path(os.path.abspath(file))  # noqa: PTH100 - Path.absolute keeps ".."


def name_of(path: Path) -> str:
    """See Job.name."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:40] or "pipeline"
    return f"shp-miner-{plain}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:6]}"


def program() -> Path:
    """The installed command `shp-miner` of this very Python. Raises BadInput where there is none."""
    folders = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    folders.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))
    for folder in folders:
        if found := shutil.which("shp-miner", path=str(folder.absolute())):
            return Path(found)
    raise BadInput(f"There is no command shp-miner beside {sys.executable}.", "Install it: pip install shp-miner.")


def _environment(state: Path) -> dict[str, str]:
    """What a run without the shell's files needs, so that it keeps the pace that runs by hand keep."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    usual = home / ".local" / "state"
    return {} if state.parent == usual else {"XDG_STATE_HOME": str(state.parent)}


def _writes(pipeline: Pipeline, state: Path) -> tuple[Path, ...]:
    """An export and a metrics file are made beside their place and moved there, so the folder is the parent."""
    files = [one.out for one in pipeline.exports]
    if pipeline.log.metrics is not None:
        files.append(pipeline.log.metrics)
    return tuple(dict.fromkeys([Path(pipeline.store), state, *(Path(file).parent for file in files)]))


def _exported(pipeline: Pipeline) -> tuple[Path, ...]:
    """Folders of exports made by hand: what must be forgotten is taken out of these too."""
    files = [file for known in known_exports(Store(pipeline.store)) for file in (known.path, *known.dropped)]
    return tuple(dict.fromkeys(Path(file).parent for file in files))


def _reads(pipeline: Pipeline) -> tuple[Path, ...]:
    files = [path for one in pipeline.imports for path in one.paths]
    return tuple(map(Path, [*files, *filter(None, [pipeline.forget.file])]))


def _variables(pipeline: Pipeline) -> tuple[str, ...]:
    keys = pipeline.credentials
    named = [value[2:-1] for key in keys.__struct_fields__ if (value := getattr(keys, key)) is not None]
    if not named:
        needed = dict.fromkeys(row for one in pipeline.sources if (row := ROWS[one.kind]).needs_credentials)
        named = [one.variable for row in needed for one in row.credentials]
    return tuple(named)
