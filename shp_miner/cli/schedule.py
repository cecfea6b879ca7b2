"""`shp-miner schedule`: run a pipeline regularly with cron or systemd."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import click

from shp_miner.cli.options import Duration, PipelinePath, example, printing
from shp_miner.cli.output import show_result
from shp_miner.cli.saying import say
from shp_miner.units import written_duration

if TYPE_CHECKING:
    from shp_miner.schedule import Job
    from shp_miner.schedule.interval import Bound

KINDS = ("cron", "systemd")


class _Unit(TypedDict):
    path: str
    text: str


class _Parts(TypedDict):
    """The parts of a schedule: a line for a crontab, or units for systemd."""

    expression: NotRequired[str | None]
    line: NotRequired[str]
    units: NotRequired[list[_Unit]]
    log: str
    commands: list[str]


@click.command(
    "schedule",
    epilog=example(
        "shp-miner schedule pipelines/discourse.toml --every 1d",
        "shp-miner schedule eli5.toml --as systemd --install",
        "shp-miner schedule eli5.toml --remove",
    ),
)
@click.argument("pipeline", type=PipelinePath())
@click.option(
    "--every", type=Duration(), default="6h", show_default=True, help="The interval (for example 30m, 6h or 1d)."
)
@click.option(
    "--as", "kind", type=click.Choice(KINDS, case_sensitive=False), help="cron or systemd; default: cron if available."
)
@click.option("--install", is_flag=True, help="Install it for your user (as root with systemd: for the machine).")
@click.option("--remove", is_flag=True, help="Remove the installed schedule.")
@printing
def command(
    pipeline: Path,
    every: float,
    kind: str | None,
    install: bool,
    remove: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Print or install a crontab line or systemd units that run PIPELINE (a TOML file, see `shp-miner run`).

    An interval that is too short for the pipeline's sites or limits is refused; the message names the shortest allowed
    one. The minute depends on this machine's name and the file's path, so that machines do not all ask a site at the
    same time. `shp-miner docs cron` explains logs, credentials, monitoring and troubleshooting.
    """
    from shp_miner.errors import Error, UsageError

    if install and remove:
        raise UsageError("--install and --remove cannot be used together.", "Give one of them.")
    if remove:
        return _remove(pipeline, kind, as_json=as_json, quiet=quiet)

    from shp_miner import schedule
    from shp_miner.pipeline import config
    from shp_miner.schedule import cron, interval, systemd

    read = config.read(pipeline)
    bound = interval.check(read, every, os.environ)
    kinds = _kinds(kind, every, bound, install=install)
    job = schedule.job(pipeline, read, every, socket.gethostname())
    parts = {scheduler: _parts(scheduler, job) for scheduler in kinds}
    notes = [
        *interval.notes(read, every, os.environ),
        *(note for scheduler in kinds for note in _credentials(scheduler, job)),
    ]
    data = {
        "pipeline": str(job.pipeline),
        "every_s": every,
        "shortest_s": interval.sensible(bound),
        **parts,
        "notes": notes,
        "installed": install,
    }
    if install:
        {"cron": cron, "systemd": systemd}[kinds[0]].install(job)
        # One schedule is enough: a run that starts during another one does nothing.
        for other in set(KINDS) - set(kinds):
            with suppress(Error):
                _take_away(other, job.pipeline)
    show_result(data, lambda: _people(job, parts, notes, install), as_json=as_json, quiet=quiet)
    return 0


def _kinds(kind: str | None, every: float, bound: Bound, *, install: bool) -> list[str]:
    """Return the schedulers to write for: the named one, else the first that is installed, else all.

    Raises UsageError if cron cannot express the interval, or if nothing can be installed.
    """
    from shp_miner.errors import UsageError
    from shp_miner.schedule import cron, interval, programs

    there = [scheduler for scheduler, name in _programs() if programs.there(name)]
    kinds = [kind] if kind else there[:1] or list(KINDS)
    if "cron" in kinds and cron.expression(every, 0) is None:
        nearest = written_duration(interval.nearest(every, bound))
        raise UsageError(
            f"A crontab line cannot express every {written_duration(every)} exactly.",
            f"The nearest interval that it can express is --every {nearest}; --as systemd takes any.",
        )
    if install and len(kinds) > 1:
        raise UsageError("Neither `crontab` nor `systemctl` is installed.", "Install cron, or leave --install out.")
    return kinds


def _programs() -> list[tuple[str, str]]:
    return [("cron", "crontab"), ("systemd", "systemctl")]


def _parts(kind: str, job: Job) -> _Parts:
    """Return the text, its destination, and the commands that install it."""
    from shp_miner.schedule import cron, systemd

    if kind == "cron":
        log = cron.log(job)
        own = ["mkdir -p " + shlex.quote(str(log.parent)), "crontab -e"]
        expression = cron.expression(job.every_s, job.offset_min)
        return {"expression": expression, "line": cron.line(job), "log": str(log), "commands": own}
    files: list[_Unit] = [{"path": str(path), "text": text} for path, text in systemd.units(job).items()]
    journal = ["journalctl", *systemd.systemctl()[1:], "--unit", f"{job.name}.service"]
    return {"units": files, "log": " ".join(journal), "commands": systemd.commands(job)}


def _credentials(kind: str, job: Job) -> list[str]:
    from shp_miner.schedule import systemd

    if not job.variables:
        return []
    names = ", ".join(job.variables)
    where = f"in {systemd.secrets()}" if kind == "systemd" else "as lines NAME=value above the others in the crontab"
    return [f"{kind} does not read your shell's files: set {names} {where}."]


def _people(job: Job, parts: Mapping[str, _Parts], notes: Sequence[str], installed: bool) -> None:
    """Print the parts on stdout, to be piped on, and notes about them on stderr."""
    flag = shlex.join(["shp-miner", "schedule", str(job.pipeline), "--every", written_duration(job.every_s)])
    for kind, part in parts.items():
        if "line" in part:
            say(part["line"])
        for unit in part.get("units", []):
            say(f"# {unit['path']}", *unit["text"].split("\n"))
        if installed:
            say(f"Installed. Log: {part['log']}", err=True)
        else:
            say(f"Nothing is installed yet. Install it with: {flag} --as {kind} --install", err=True)
            say(f"or install it yourself with: {', '.join(part['commands'])}", err=True)
    for note in notes:
        say(note, err=True)
    if installed and list(parts) == ["systemd"]:
        from shp_miner.schedule import systemd

        if not systemd.for_machine():
            say("It runs only while you are logged in; `loginctl enable-linger` lets it run always.", err=True)


def _take_away(kind: str, pipeline: Path) -> bool:
    from shp_miner.schedule import cron, systemd

    return cron.remove(pipeline) if kind == "cron" else systemd.remove(pipeline)


def _remove(pipeline: Path, kind: str | None, *, as_json: bool, quiet: bool) -> int:
    from shp_miner import schedule
    from shp_miner.schedule import programs

    path = schedule.absolute(pipeline)
    places = [kind] if kind else [scheduler for scheduler, name in _programs() if programs.there(name)]
    removed = [scheduler for scheduler in places if _take_away(scheduler, path)]
    said = f"Removed from {' and '.join(removed)}." if removed else f"No schedule was installed for {path}."
    show_result({"pipeline": str(path), "removed": removed}, lambda: say(said), as_json=as_json, quiet=quiet)
    return 0
