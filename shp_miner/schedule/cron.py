r"""A job as a line of a crontab.

Debian's crontab(5): five fields, then a command for /bin/sh, in which % ends the command unless it is written \%, and
which may have 998 bytes.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from shp_miner.errors import NotAllowed, TryLater, UsageError
from shp_miner.schedule import MARK, Job, programs

_LONGEST = 998

#: What `crontab -l` says where a person has none: Debian's and Fedora's cron, and busybox.
_NONE_YET = re.compile(rb"no crontab for|can't open")


def expression(every_s: float, offset_min: int) -> str | None:
    """The five fields, for a start `offset_min` minutes after a Sunday's midnight; None where they cannot say it."""
    if every_s % 60 or every_s < 60:
        return None
    every_min = int(every_s) // 60
    minute, hour, day = offset_min % 60, offset_min // 60 % 24, offset_min // 1440 % 7
    if every_min < 60:
        return f"{_steps(minute, every_min, 60)} * * * *" if 60 % every_min == 0 else None
    hours, rest = divmod(every_min, 60)
    if rest:
        return None
    if hours < 24 and 24 % hours == 0:
        return f"{minute} {_steps(hour, hours, 24)} * * *"
    if hours == 24:
        return f"{minute} {hour} * * *"
    return f"{minute} {hour} * * {day}" if hours == 7 * 24 else None


def _steps(start: int, step: int, end: int) -> str:
    return "*" if step == 1 else f"{start % step}-{end - 1}/{step}"


def log(job: Job) -> Path:
    """Where the lines of its runs go."""
    return job.state / f"{job.name}.log"


def line(job: Job) -> str:
    """The line, its mark at its end. Raises UsageError where it is too long or the interval cannot be said.

    What a run logs is one JSON object a line on stderr; the table on stdout is for people and would be among them.
    """
    when = expression(job.every_s, job.offset_min)
    if when is None:
        raise UsageError("A crontab line cannot say this interval exactly.", "Use --as systemd.")
    words = [f"{name}={_quoted(value)}" for name, value in job.environment.items()]
    words += [_quoted(str(job.program)), "run", _quoted(str(job.pipeline))]
    command = f"{' '.join(words)} >/dev/null 2>>{_quoted(str(log(job)))} {_mark(job.pipeline)}"
    if len(command.encode()) > _LONGEST:
        raise UsageError("The crontab line is longer than cron takes.", "Use shorter paths, or --as systemd.")
    return f"{when} {command}"


def _quoted(text: str) -> str:
    """A word for the shell, as cron hands it on.

    A backslash before a percent sign is cron's, so one of the path's own is kept apart from it by empty quotes.
    """
    quoted = shlex.quote(text)
    return quoted.replace("\\%", "\\''%").replace("%", "\\%")


def _mark(pipeline: Path) -> str:
    """The comment, which the shell leaves out; cron reads it first."""
    return MARK + str(pipeline).replace("%", "\\%")


def _without(table: bytes, pipeline: Path) -> list[bytes]:
    """The lines of a crontab but for the pipeline's own, byte for byte."""
    mark = b" " + _mark(pipeline).encode(errors="surrogateescape")
    return [one for one in table.splitlines(keepends=True) if not one.rstrip(b"\r\n").endswith(mark)]


def _read() -> bytes:
    if not programs.there("crontab"):
        raise UsageError("There is no program `crontab` here.", "Install cron, or use --as systemd.")
    done = programs.call("crontab", "-l")
    if done.returncode == 0:
        return done.stdout
    if _NONE_YET.search(done.stderr):
        return b""
    raise NotAllowed(f"The crontab cannot be read: {programs.said(done)}.", "Ask who runs the machine to allow it.")


def _write(lines: list[bytes]) -> None:
    done = programs.call("crontab", "-", given=b"".join(lines))
    if done.returncode:
        raise TryLater(f"The crontab was not taken: {programs.said(done)}.", "It is as it was; try `crontab -e`.")


def install(job: Job) -> None:
    """Put the line into the person's crontab, in the place of an earlier one; the log's folder is made."""
    new = line(job).encode(errors="surrogateescape")
    lines = _without(_read(), job.pipeline)
    log(job).parent.mkdir(parents=True, exist_ok=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    _write([*lines, new + b"\n"])


def remove(pipeline: Path) -> bool:
    """Take the line out of the crontab; False where there is none."""
    table = _read()
    lines = _without(table, pipeline)
    if b"".join(lines) == table:
        return False
    _write(lines)
    return True
