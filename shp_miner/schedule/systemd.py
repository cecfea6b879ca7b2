"""A job as a systemd service and timer: the person's own units, or the machine's where root asks.

The timer names times of day (OnCalendar) where it can, because Persistent= then makes up for a time at which the
machine was off. Other intervals are counted from start to start (OnUnitActiveSec), and from the next boot on.
Times are UTC, so that no interval is longer or shorter when the clocks change.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from shp_miner.errors import TryLater, UsageError
from shp_miner.schedule import MARK, Job, cron, name_of, programs
from shp_miner.store.replacing import replace_file
from shp_miner.units import written

#: Where the machine's units are.
MACHINE = Path("/etc/systemd/system")

_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - nothing is written there

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

_SERVICE = """\
{mark}
# Written by `shp-miner schedule`, which writes it anew; for changes of yours: {systemctl} edit {name}.service

[Unit]
Description=shp-miner run {stem}{network}

[Service]
Type=oneshot
ExecStart={program} run {pipeline}
# Credentials, NAME=value a line, readable by you alone. It need not be there.
EnvironmentFile=-{secrets}{environment}
# 3 is done in part, 75 try later: the next run goes on by itself. `shp-miner status` tells when that goes on too long.
SuccessExitStatus=3 75
# Lines are JSON on stderr; the table on stdout is for people.
StandardOutput=null
StandardError=journal
SyslogIdentifier={name}
Nice=10
# A run ends in order: the main process is told and ends its helpers. The answer it waits for may take two minutes.
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=5min

# What it may touch.
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

#: Otherwise starts come up to a minute late, and intervals that are counted from start to start are as much longer.
_EXACT = "AccuracySec=1s"

#: Of the machine alone: a person's own service manager knows no network target and cannot drop capabilities.
_NETWORK = "\nWants=network-online.target\nAfter=network-online.target"

#: Of the machine alone, too: without the disk that the store is on, a run would begin a new one in the empty folder.
_DISKS = "\nRequiresMountsFor={}"
_OF_MACHINE = """\
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
"""

#: Of a person alone: without it the folders above stay as they are.
_OF_PERSON = "PrivateUsers=yes\n"


def for_machine() -> bool:
    """Whether units are the machine's."""
    return os.geteuid() == 0


def folder() -> Path:
    """Where the units are written."""
    return MACHINE if for_machine() else _config() / "systemd" / "user"


def secrets() -> Path:
    """The file that credentials are read from."""
    return (Path("/etc") if for_machine() else _config()) / "shp-miner" / "environment"


def _config() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser().absolute()


def systemctl() -> tuple[str, ...]:
    """The words that a command to the service manager starts with."""
    return ("systemctl",) if for_machine() else ("systemctl", "--user")


def units(job: Job) -> dict[Path, str]:
    """The files and their text: the service, then the timer."""
    own = folder() / job.name
    environment = "".join(f"\nEnvironment={_word(f'{name}={value}')}" for name, value in job.environment.items())
    places = [*job.writes, *job.exported]
    seen = (job.pipeline, job.program, *job.reads, *places)
    temporary = [one for one in _TEMPORARY if any(place.is_relative_to(one) for place in seen)]
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
        mark=MARK + str(job.pipeline), stem=_plain(job.pipeline.stem), every=written(job.every_s), when=when(job)
    )
    return {own.with_name(f"{own.name}.service"): service, own.with_name(f"{own.name}.timer"): timer}


def when(job: Job) -> str:
    """The lines of [Timer] that say when."""
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
    """systemd.time(7)'s way to say what the crontab's five fields say, in UTC; None where nothing does."""
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
    """A word of a command or an assignment, quoted. In the name of the program, no variable is looked for."""
    if program and any(character in text for character in "\"'\\"):
        raise UsageError(f"systemd takes no program with quotes in its path: {text}.", "Install it elsewhere.")
    text = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text if program or "=" in text else text.replace("$", "$$")}"'


def _path(place: Path, *, prefix: str = "-") -> str:
    """A word of a list of paths, in which a backslash is a backslash; "-" for one that may be gone."""
    text = prefix + _specifiers(str(place))
    if '"' in text and "'" in text:
        raise UsageError(
            f"systemd cannot be given the path {place}.", "Give it a name with fewer quotes, or --as cron."
        )
    return f"'{text}'" if '"' in text else f'"{text}"'


def commands(job: Job) -> list[str]:
    """What a person types to install the printed units."""
    start = " ".join(systemctl())
    return [f"{start} daemon-reload", f"{start} enable --now {job.name}.timer"]


def install(job: Job) -> None:
    """Write the units and start the timer, or leave everything as it was. Folders that a run writes to are made."""
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
    """Stop the timer and delete the units; False where there are none."""
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
        raise UsageError("There is no program `systemctl` here.", "Use --as cron where cron runs.")


def _tell(*words: str) -> None:
    done = programs.call(*systemctl(), *words)
    if done.returncode:
        alone = "" if for_machine() else " A service manager of your own needs a login session: see `loginctl`."
        raise TryLater(
            f"`{' '.join((*systemctl(), *words))}` failed: {programs.said(done)}.", f"Nothing changed.{alone}"
        )
