"""Schedules as a systemd service and timer: the user's own units, or for root the machine's.

The timer uses times of day (OnCalendar) if it can, because Persistent= then runs what was missed while the machine was
off. Other intervals are counted from start to start (OnUnitActiveSec), again from each boot. Times are UTC, so that
no interval is longer or shorter when the clocks change.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from shp_miner.errors import TryLater, UsageError
from shp_miner.schedule import MARK, Job, cron, name_of, programs
from shp_miner.store.replacing import replace_file
from shp_miner.units import written_duration

#: Where the machine's units are.
MACHINE = Path("/etc/systemd/system")

_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - nothing is written there

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

_SERVICE = """\
{mark}
# Written by `shp-miner schedule`, which overwrites it. Make your changes with: {systemctl} edit {name}.service

[Unit]
Description=shp-miner run {stem}{network}

[Service]
Type=oneshot
ExecStart={program} run {pipeline}
# Credentials: one NAME=value per line, readable by you alone. The file is optional.
EnvironmentFile=-{secrets}{environment}
# 3 is done in part, 75 is try later: the next run continues. `shp-miner status` reports if this lasts too long.
SuccessExitStatus=3 75
# The log is JSON on stderr; the table on stdout is for people.
StandardOutput=null
StandardError=journal
SyslogIdentifier={name}
Nice=10
# A run ends cleanly: the main process gets SIGTERM and ends its workers. A last answer may take two minutes.
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=5min

# What the run may access.
NoNewPrivileges=yes
PrivateTmp={private_tmp}
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={writes}
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
{alone}"""

_TIMER = """\
{mark}

[Unit]
Description=shp-miner run {stem} every {every}

[Timer]
{when}

[Install]
WantedBy=timers.target
"""

#: Otherwise starts are up to a minute late, and intervals counted from start to start are longer by as much.
_EXACT = "AccuracySec=1s"

#: For the machine's units only: a user's service manager has no network target and cannot drop capabilities.
_NETWORK = "\nWants=network-online.target\nAfter=network-online.target"

#: For the machine's units only: without the store's disk, a run would begin a new store in the empty folder.
_DISKS = "\nRequiresMountsFor={}"
_OF_MACHINE = """\
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
"""

#: For a user's units only: without it, the limits on folders above have no effect.
_OF_PERSON = "PrivateUsers=yes\n"


def for_machine() -> bool:
    """Return whether units are the machine's, not the user's."""
    return os.geteuid() == 0


def folder() -> Path:
    """Return the folder of the units."""
    return MACHINE if for_machine() else _config() / "systemd" / "user"


def secrets() -> Path:
    """Return the file that credentials are read from."""
    return (Path("/etc") if for_machine() else _config()) / "shp-miner" / "environment"


def _config() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser().absolute()


def systemctl() -> tuple[str, ...]:
    """Return the first words of a command to the service manager."""
    return ("systemctl",) if for_machine() else ("systemctl", "--user")


def units(job: Job) -> dict[Path, str]:
    """Return the text of each unit file: the service, then the timer."""
    own = folder() / job.name
    environment = "".join(f"\nEnvironment={_word(f'{name}={value}')}" for name, value in job.environment.items())
    places = [*job.writes, *job.exported]
    seen = (job.pipeline, job.program, *job.reads, *places)
    temporary = [path for path in _TEMPORARY if any(place.is_relative_to(path) for place in seen)]
    disks = " ".join(_path(place, prefix="") for place in (job.pipeline, *job.writes))
    # A folder that is gone must not keep a run from starting.
    writes = " ".join(_path(place) for place in dict.fromkeys([*places, *temporary]))
    service = _SERVICE.format(
        mark=MARK + str(job.pipeline),
        systemctl=" ".join(systemctl()),
        name=job.name,
        stem=_plain(job.pipeline.stem),
        network=_NETWORK + _DISKS.format(disks) if for_machine() else "",
        program=_word(str(job.program), program=True),
        pipeline=_word(str(job.pipeline)),
        secrets=_specifiers(str(secrets())),
        environment=environment,
        private_tmp="no" if temporary else "yes",  # which would hide what lies there
        writes=writes,
        alone=_OF_MACHINE if for_machine() else _OF_PERSON,
    )
    timer = _TIMER.format(
        mark=MARK + str(job.pipeline),
        stem=_plain(job.pipeline.stem),
        every=written_duration(job.every_s),
        when=when(job),
    )
    return {own.with_name(f"{own.name}.service"): service, own.with_name(f"{own.name}.timer"): timer}


def when(job: Job) -> str:
    """Return the lines of [Timer] with the times."""
    calendar = on_calendar(job.every_s, job.offset_min)
    if calendar is not None:
        spread = "RandomizedDelaySec=1min\nFixedRandomDelay=yes"
        lines = f"OnCalendar={calendar}\nPersistent=yes\n# The second of the minute, the same each time.\n{spread}"
    else:
        # A random delay would be added to each interval: the start of the first one spreads them instead.
        first_s = job.offset_min * 60 % min(job.every_s, 3600)
        lines = f"OnActiveSec={first_s:.15g}s\nOnUnitActiveSec={job.every_s:.15g}s"
    return f"{lines}\n{_EXACT}"


def on_calendar(every_s: float, offset_min: int) -> str | None:
    """Return a calendar expression of systemd.time(7) for the crontab's five fields, in UTC; None if there is none."""
    fields = cron.expression(every_s, offset_min)
    if fields is None:
        return None
    minute, hour, _, _, day = (re.sub(r"^(\d+)-\d+/", r"\1/", field) for field in fields.split())
    weekday = "" if day == "*" else f"{_DAYS[int(day)]} "
    return f"{weekday}*-*-* {_two(hour)}:{_two(minute)}:00 UTC"


def _two(field: str) -> str:
    return re.sub(r"^\d\b", lambda digit: f"0{digit[0]}", field)


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _plain(text: str) -> str:
    return _specifiers(text).replace("\\", "")


def _word(text: str, *, program: bool = False) -> str:
    """Return a quoted word of a command or an assignment. systemd does not expand variables in the program's name."""
    if program and any(character in text for character in "\"'\\"):
        raise UsageError(
            f"systemd cannot run a program with quotes in its path: {text}.", "Install it in another folder."
        )
    text = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text if program or "=" in text else text.replace("$", "$$")}"'


def _path(place: Path, *, prefix: str = "-") -> str:
    """Return a quoted path of a list of paths; the prefix "-" marks a path that may be missing."""
    text = prefix + _specifiers(str(place))
    if '"' in text and "'" in text:
        raise UsageError(
            f"systemd cannot take the path {place}, which has both kinds of quotes.", "Rename it, or use --as cron."
        )
    return f"'{text}'" if '"' in text else f'"{text}"'


def commands(job: Job) -> list[str]:
    """Return the commands that install the printed units."""
    start = " ".join(systemctl())
    return [f"{start} daemon-reload", f"{start} enable --now {job.name}.timer"]


def install(job: Job) -> None:
    """Write the units and start the timer, or change nothing. Folders that a run writes to are created."""
    new = units(job)
    _require()
    before = {path: path.read_bytes() if path.exists() else None for path in new}
    for place in (*job.writes, folder()):
        place.mkdir(parents=True, exist_ok=True)
    for path, text in new.items():
        replace_file(path, text.encode(errors="surrogateescape"), durable=True)
    try:
        _tell("daemon-reload")
        _tell("enable", f"{job.name}.timer")
        _tell("restart", f"{job.name}.timer")  # a timer that runs already does not see its new times otherwise
    except TryLater:
        for path, content in before.items():
            if content is None:
                path.unlink()
            else:
                replace_file(path, content, durable=True)
        raise


def remove(pipeline: Path) -> bool:
    """Stop the timer and delete the units; return whether there were any."""
    own = [folder() / f"{name_of(pipeline)}.{kind}" for kind in ("timer", "service")]
    found = [path for path in own if path.exists()]
    if not found:
        return False
    _require()
    _tell("disable", "--now", own[0].name)
    for path in found:
        path.unlink()
    _tell("daemon-reload")
    return True


def _require() -> None:
    if not programs.there("systemctl"):
        raise UsageError("The program `systemctl` is not installed.", "Use --as cron if cron is installed.")


def _tell(*words: str) -> None:
    done = programs.call(*systemctl(), *words)
    if done.returncode:
        alone = "" if for_machine() else " A user's service manager needs a login session: see `loginctl`."
        raise TryLater(
            f"`{' '.join((*systemctl(), *words))}` failed: {programs.said(done)}.", f"Nothing changed.{alone}"
        )
