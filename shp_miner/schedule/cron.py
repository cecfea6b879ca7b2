r"""Schedules as lines of a crontab.

See Debian's crontab(5): five fields, then a command for /bin/sh of at most 998 bytes. % ends the command unless it is
written \%.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from shp_miner.errors import NotAllowed, TryLater, UsageError
from shp_miner.schedule import MARK, Job, programs
from shp_miner.units import written_duration

_LONGEST = 998

#: The message of `crontab -l` if there is no crontab: Debian's and Fedora's cron, and busybox.
_NONE_YET = re.compile(rb"no crontab for|can't open")


def expression(every_s: float, offset_min: int) -> str | None:
    """Return the five fields for a start `offset_min` minutes after a Sunday's midnight; None if there are none."""
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
    """Return the path of the job's log."""
    return job.state / f"{job.name}.log"


def line(job: Job) -> str:
    """Return the crontab line with its mark. Raises UsageError if it is too long or cannot express the interval.

    Only stderr is logged, one JSON object per line; the table on stdout is for people.
    """
    when = expression(job.every_s, job.offset_min)
    if when is None:
        raise UsageError(
            f"A crontab line cannot express every {written_duration(job.every_s)} exactly.", "Use --as systemd."
        )
    words = [f"{name}={_quoted(value)}" for name, value in job.environment.items()]
    words += [_quoted(str(job.program)), "run", _quoted(str(job.pipeline))]
    command = f"{' '.join(words)} >/dev/null 2>>{_quoted(str(log(job)))} {_mark(job.pipeline)}"
    if len(command.encode()) > _LONGEST:
        raise UsageError(
            f"The crontab line has more than {_LONGEST} bytes, the most that cron takes.",
            "Use shorter paths, or --as systemd.",
        )
    return f"{when} {command}"


def _quoted(text: str) -> str:
    """Return a word for the shell behind cron.

    cron removes a backslash before a percent sign, so empty quotes separate a path's own backslash from it.
    """
    quoted = shlex.quote(text)
    return quoted.replace("\\%", "\\''%").replace("%", "\\%")


def _mark(pipeline: Path) -> str:
    """Return the comment that marks the pipeline's line; the shell ignores it."""
    return MARK + str(pipeline).replace("%", "\\%")


def _without(table: bytes, pipeline: Path) -> list[bytes]:
    """Return the lines of a crontab without the pipeline's own, byte for byte."""
    mark = b" " + _mark(pipeline).encode(errors="surrogateescape")
    return [line for line in table.splitlines(keepends=True) if not line.rstrip(b"\r\n").endswith(mark)]


def _read() -> bytes:
    if not programs.there("crontab"):
        raise UsageError("The program `crontab` is not installed.", "Install cron, or use --as systemd.")
    done = programs.call("crontab", "-l")
    if done.returncode == 0:
        return done.stdout
    if _NONE_YET.search(done.stderr):
        return b""
    raise NotAllowed(
        f"The crontab cannot be read: {programs.said(done)}.", "Ask the machine's administrator to allow it."
    )


def _write(lines: list[bytes]) -> None:
    done = programs.call("crontab", "-", given=b"".join(lines))
    if done.returncode:
        raise TryLater(f"cron refused the new crontab: {programs.said(done)}.", "Nothing changed; try `crontab -e`.")


def install(job: Job) -> None:
    """Write the line into the user's crontab, replacing an earlier one, and create the log's folder."""
    new = line(job).encode(errors="surrogateescape")
    lines = _without(_read(), job.pipeline)
    log(job).parent.mkdir(parents=True, exist_ok=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    _write([*lines, new + b"\n"])


def remove(pipeline: Path) -> bool:
    """Remove the line from the crontab; return whether there was one."""
    table = _read()
    lines = _without(table, pipeline)
    if b"".join(lines) == table:
        return False
    _write(lines)
    return True
