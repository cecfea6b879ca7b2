"""Schedules: intervals a pipeline allows, crontab lines and systemd units, and how each is installed.

Nothing reaches the machine's own crontab or service manager: programs of these names in a folder of the test stand in.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cronsim import CronSim

from shp_miner import schedule
from shp_miner.cli import run
from shp_miner.errors import BadInput, UsageError
from shp_miner.pipeline import config
from shp_miner.schedule import Job, cron, interval, programs, systemd

from .conftest import ROOT

#: A Monday.
START = datetime(2026, 3, 2, 0, 0, 30, tzinfo=UTC)

_CRONTAB = """#!/bin/sh
echo "$@" >>"{folder}/calls"
case "$1" in
-l) [ -f "{folder}/table" ] || {{ echo "no crontab for somebody" >&2; exit 1; }}
    exec /bin/cat "{folder}/table" ;;
-)  exec /bin/cat >"{folder}/table" ;;
esac
exit 9
"""

_SYSTEMCTL = """#!/bin/sh
echo "$@" >>"{folder}/calls"
[ ! -f "{folder}/fails" ] || {{ echo "Failed to connect to bus" >&2; exit 1; }}
"""


class Machine:
    """A machine with the programs that a test puts there, a home, and one pipeline."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.home = folder / "machine", folder / "home"
        self.programs = self.folder / "bin"
        self.table, self.calls = self.folder / "table", self.folder / "calls"
        self.units = self.home / ".config" / "systemd" / "user"
        self.programs.mkdir(parents=True)
        self.home.mkdir()
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.setenv("HOME", str(self.home))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.delenv("SHP_MINER_STACKEXCHANGE_KEY", raising=False)
        # Whoever runs the tests: the machine's own units are out of reach.
        monkeypatch.setattr(systemd, "for_machine", lambda: False)
        monkeypatch.setattr(systemd, "MACHINE", folder / "etc")

    def has(self, name: str) -> None:
        program = self.programs / name
        program.write_text({"crontab": _CRONTAB, "systemctl": _SYSTEMCTL}[name].format(folder=self.folder))
        program.chmod(0o755)

    def told(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    file = tmp_path / "eli5.toml"
    file.write_text('store = "store"\n[[source]]\nkind = "discourse"\nsite = "f.example"\ncommunities = ["latest"]\n')
    return file


def job(path: Path = Path("/srv/eli5.toml"), every_s: float = 21_600, **values: Any) -> Job:
    values = {"program": Path("/opt/bin/shp-miner"), "state": Path("/var/s"), "environment": {}, **values}
    return Job(pipeline=path, every_s=every_s, offset_min=values.pop("offset_min", 4567), writes=(), **values)


def output(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    assert run(["schedule", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


# -- what a crontab line says -----------------------------------------------------------------------------------------


def starts(expression: str, days: int) -> list[datetime]:
    found: list[datetime] = []
    for moment in CronSim(expression, START):
        if moment > START + timedelta(days=days):
            return found
        found.append(moment)
    return found


@pytest.mark.parametrize("offset_min", [0, 59, 60, 4567, 7 * 1440 - 1])
@pytest.mark.parametrize("every_s", interval.EVEN_S)
def test_the_fields_start_a_run_at_the_interval_for_a_week(every_s: int, offset_min: int) -> None:
    expression = cron.expression(every_s, offset_min)
    assert expression is not None
    days = 7 if every_s < 86_400 else 35
    found = starts(expression, days)
    assert len(found) == days * 86_400 // every_s
    assert {(b - a).total_seconds() for a, b in pairwise(found)} == {float(every_s)}
    sunday = datetime(2026, 3, 1, tzinfo=UTC)
    assert (found[0] - sunday).total_seconds() % every_s == offset_min * 60 % every_s


@pytest.mark.parametrize("every_s", [30, 90, 45 * 60, 7 * 60, 90 * 60, 5 * 3600, 2 * 86_400, 14 * 86_400, 3600.5, 0])
def test_what_the_fields_cannot_say_exactly_is_not_said(every_s: float) -> None:
    assert cron.expression(every_s, 4567) is None


@pytest.mark.parametrize(
    ("asked", "nearest"), [("45m", "1h"), ("7m", "6m"), ("7h", "8h"), ("2d", "1d"), ("5d", "7d"), ("90s", "2m")]
)
def test_the_refusal_names_the_nearest_interval_and_the_other_way(
    asked: str, nearest: str, machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = output(capsys, pipeline, "--as", "cron", "--every", asked, code=2)
    assert f"cannot express every {asked} exactly" in said
    assert f"--every {nearest};" in said
    assert "--as systemd" in said


def test_hosts_and_pipelines_are_spread_over_the_interval(machine: Machine, pipeline: Path) -> None:
    read = config.read(pipeline)
    offsets = {schedule.job(pipeline, read, 86_400, f"host{number}").offset_min % 1440 for number in range(50)}
    assert len(offsets) > 40
    again = [schedule.job(pipeline, read, 86_400, "host1").offset_min for _ in range(2)]
    assert again[0] == again[1]
    other = pipeline.with_name("other.toml")
    assert schedule.job(other, read, 86_400, "host1").offset_min != again[0]


# -- what sites and limits allow --------------------------------------------------------------------------------------


def bound(environment: dict[str, str] | None = None, **keys: Any) -> interval.Bound:
    return interval.least(config.parse(keys), environment or {})


def source(kind: str, count: int = 1, **keys: Any) -> dict[str, Any]:
    site = {} if kind in ("reddit", "arctic-shift") else {"site": f"{kind}.example"}
    return {"kind": kind, "communities": [f"c{number}" for number in range(count)], **site, **keys}


STACK = source("stackexchange", site="cooking.stackexchange.com")


@pytest.mark.parametrize(
    ("keys", "seconds", "shortest"),
    [
        ({}, 0, "1m"),
        ({"limits": {"max_seconds": "20m"}}, 0, "1m"),  # nobody is asked
        ({"source": [source("discourse")], "limits": {"max_seconds": "20m"}}, 1200, "30m"),
        ({"source": [source("discourse")], "limits": {"max_seconds": "10d"}}, 864_000, "11d"),
        # 100 requests a minute, 0.6 s each; a run ends at the limit that it meets first.
        ({"source": [source("discourse")], "limits": {"max_requests": 2000}}, 1200, "30m"),
        ({"source": [source("discourse")], "limits": {"max_requests": 2000, "max_seconds": "5m"}}, 300, "6m"),
        # The slowest of the sources, 1 s each.
        ({"source": [source("discourse"), source("lemmy")], "limits": {"max_requests": 100}}, 100, "2m"),
        # 3 to begin with and a page for each of 300 communities.
        ({"source": [source("lemmy", 300, site="lemmy.world")]}, 303, "6m"),
        # Two tables for one host are one host, two hosts are two.
        ({"source": [source("lemmy", 100, site="a.example"), source("lemmy", 100, site="a.example")]}, 206, "4m"),
        ({"source": [source("lemmy", 100, site="a.example"), source("lemmy", 100, site="b.example")]}, 103, "2m"),
        # Stack Exchange: 2 of 300 requests a day, all its sites together.
        ({"source": [STACK]}, 576, "10m"),
        ({"source": [STACK, source("stackexchange", 3, site="a.stackexchange.com")]}, 1728, "30m"),
        ({"source": [source("arctic-shift", 89)]}, 90, "2m"),
        ({"source": [source("reddit", 200)]}, 121.2, "3m"),
    ],
)
def test_the_least_interval(keys: dict[str, Any], seconds: float, shortest: str) -> None:
    found = bound(**keys)
    assert found.seconds == pytest.approx(seconds)
    assert interval.written_duration(interval.sensible(found)) == shortest


def test_a_stackexchange_key_allows_more() -> None:
    assert bound({"SHP_MINER_STACKEXCHANGE_KEY": "k"}, source=[STACK]).seconds == pytest.approx(17.28)
    named = {"stackexchange_key": "${KEY}"}
    assert bound(source=[STACK], credentials=named).seconds == pytest.approx(17.28)


def test_an_interval_that_is_too_short_is_refused_with_the_shortest(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pipeline.open("a") as file:
        file.write('[limits]\nmax_seconds = "20m"\n')
    for every in ("10m", "20m"):
        _, said = output(capsys, pipeline, "--every", every, code=2)
        assert f"Every {every} is too often: a run may send requests for 20m (limits.max_seconds)." in said
        assert "--every 30m." in said
    output(capsys, pipeline, "--every", "30m")
    _, said = output(capsys, pipeline, "--every", "30s", code=2)
    assert "too often" in said


def test_the_quota_of_the_day_is_told_where_runs_may_use_it_up() -> None:
    limits = {"max_requests": 100}
    pipeline = config.parse({"source": [STACK], "limits": limits})
    (told,) = interval.notes(pipeline, 6 * 3600, {})
    assert "300 requests a day without a key" in told
    assert "limits.max_requests = 75." in told
    assert not interval.notes(pipeline, 12 * 3600, {})
    assert not interval.notes(pipeline, 6 * 3600, {"SHP_MINER_STACKEXCHANGE_KEY": "k"})


# -- quoting ----------------------------------------------------------------------------------------------------------

ODD = ["plain", "a b", "100%", r"back\slash", r"a\%b", r"a\\%b", "it's", 'say "it"', "$HOME", "a;b&c|d", "ünï", "# no"]


def as_cron_hands_it_on(line: str) -> str:
    """The command of a line as Debian's cron gives it to /bin/sh (do_command.c: one loop over the characters)."""
    command, escaped = "", False
    for character in line.split(maxsplit=5)[5]:
        if escaped and character == "%":
            command = command[:-1]
        elif not escaped and character == "%":
            return command
        command += character
        escaped = not escaped and character == "\\"
    return command


def shell(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run as cron does: with next to no environment."""
    return subprocess.run(["/bin/sh", "-c", command], check=False, env=environment, cwd="/", capture_output=True)


@pytest.mark.parametrize("odd", ODD)
def test_cron_and_the_shell_run_what_was_meant(odd: str, tmp_path: Path) -> None:
    folder = tmp_path / odd
    folder.mkdir()
    program = folder / "shp-miner"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$XDG_STATE_HOME" "$@" >&2; echo table\n')
    program.chmod(0o755)
    path = folder / f"{odd}.toml"
    made = job(path, program=program, state=folder, environment={"XDG_STATE_HOME": str(folder)})
    done = shell(as_cron_hands_it_on(cron.line(made)), {})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert cron.log(made).read_text().splitlines() == [str(folder), "run", str(path)]


def test_a_path_that_no_line_can_hold_is_refused(machine: Machine, tmp_path: Path, pipeline: Path) -> None:
    with pytest.raises(UsageError, match="cannot contain"):
        schedule.job(tmp_path / "a\nb.toml", config.read(pipeline), 3600, "host")
    with pytest.raises(UsageError, match="more than 998 bytes"):
        cron.line(job(Path("/" + "x" * 600 + ".toml")))


def test_the_command_is_that_of_this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert schedule.program() == Path(sys.executable).parent / "shp-miner"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    with pytest.raises(BadInput, match="shp-miner is not installed"):
        schedule.program()


def test_a_run_finds_its_state_without_the_shells_files(
    machine: Machine, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = config.read(pipeline)
    monkeypatch.setenv("XDG_STATE_HOME", str(machine.home / "st"))
    assert schedule.job(pipeline, read, 3600, "h").environment == {"XDG_STATE_HOME": str(machine.home / "st")}
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: type("Entry", (), {"pw_dir": str(machine.home)}))
    assert schedule.job(pipeline, read, 3600, "h").environment == {}


# -- crontab ----------------------------------------------------------------------------------------------------------

OTHERS = b"# Mine\nMAILTO=me@example.org\n\n5 4 * * * caf\xe9 \t \n@daily x # shp-miner: /other.toml\n"


def test_install_replaces_its_own_line_alone(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("crontab")
    machine.table.write_bytes(OTHERS)
    line, _ = output(capsys, pipeline)
    assert machine.told() == [], "printing asks nobody"
    output(capsys, pipeline, "--install")
    assert machine.table.read_bytes() == OTHERS + line.encode()
    assert line.endswith(f" # shp-miner: {pipeline}\n")
    output(capsys, pipeline, "--install", "--every", "1d")
    other = machine.table.read_bytes().removeprefix(OTHERS).decode()
    assert other.count("\n") == 1
    assert other != line
    told, _ = output(capsys, pipeline, "--remove")
    assert told == "Removed from cron.\n"
    assert machine.table.read_bytes() == OTHERS
    told, _ = output(capsys, pipeline, "--remove")
    assert told == f"No schedule was installed for {pipeline}.\n"


def test_install_where_nobody_had_a_crontab_and_the_file_is_gone_later(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("crontab")
    _, said = output(capsys, pipeline, "--install")
    assert "Installed." in said
    assert machine.table.read_text().count("\n") == 1
    pipeline.unlink()
    output(capsys, pipeline, "--remove")
    assert machine.table.read_text() == ""


@pytest.mark.parametrize("words", ["You (me) are not allowed to use this program", "cannot open spool"])
def test_a_crontab_that_cannot_be_read_is_not_written(
    words: str, machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("crontab")
    (machine.programs / "crontab").write_text(f'#!/bin/sh\necho "$@" >>{machine.calls}\necho "{words}" >&2\nexit 1\n')
    _, said = output(capsys, pipeline, "--install", code=4)
    assert words in said
    assert machine.told() == ["-l"]


def test_the_installed_line_runs_the_pipeline(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("crontab")
    thread = {"post_id": "p", "title": "t", "body": "b", "created_at": "2024-01-01T00:00:00Z", "score": 3}
    (tmp_path / "a.jsonl").write_text(json.dumps({"site": "f.example", "community": "c", **thread, "answers": []}))
    file = tmp_path / "100% mine.toml"
    file.write_text('[[import]]\nkind = "threads"\npaths = ["a.jsonl"]\n')
    output(capsys, file, "--install")
    command = as_cron_hands_it_on(machine.table.read_text().rstrip("\n"))
    done = shell(command, {"HOME": str(machine.home)})
    (log,) = (tmp_path / "state" / "shp-miner").glob("*.log")
    summary = json.loads(log.read_text().splitlines()[-1])
    assert (summary["event"], summary["exit_code"], summary["pipeline"]) == ("summary", done.returncode, file.name)
    assert (tmp_path / "data" / "store").is_dir()


# -- systemd ----------------------------------------------------------------------------------------------------------


def test_units_are_installed_started_again_and_removed(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("systemctl")
    printed, _ = output(capsys, pipeline)
    assert machine.told() == []
    assert not machine.units.exists()
    output(capsys, pipeline, "--install")
    name = schedule.name_of(pipeline)
    files = sorted(machine.units.iterdir())
    assert [file.name for file in files] == [f"{name}.service", f"{name}.timer"]
    assert all(f"# {file}\n{file.read_text()}" in printed for file in files)
    started = ["daemon-reload", f"enable {name}.timer", f"restart {name}.timer"]
    assert machine.told() == [f"--user {words}" for words in started]
    output(capsys, pipeline, "--install", "--every", "7h")
    assert "OnUnitActiveSec=25200s" in files[1].read_text()
    assert len(list(machine.units.iterdir())) == 2
    told, _ = output(capsys, pipeline, "--remove")
    assert told == "Removed from systemd.\n"
    assert list(machine.units.iterdir()) == []
    assert machine.told()[-2:] == [f"--user disable --now {name}.timer", "--user daemon-reload"]
    assert output(capsys, pipeline, "--remove")[0].startswith("No schedule was installed")


def test_a_service_manager_that_fails_leaves_everything_as_it_was(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("systemctl")
    output(capsys, pipeline, "--install")
    before = {file: file.read_text() for file in machine.units.iterdir()}
    (machine.folder / "fails").touch()
    _, said = output(capsys, pipeline, "--install", "--every", "1h", code=75)
    assert "Failed to connect to bus" in said
    assert {file: file.read_text() for file in machine.units.iterdir()} == before
    other = shutil.copy(pipeline, pipeline.with_name("other.toml"))
    output(capsys, other, "--install", code=75)
    assert set(machine.units.iterdir()) == set(before)


def test_a_pipeline_has_one_schedule(machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has("systemctl")
    machine.has("crontab")
    machine.table.write_bytes(OTHERS)
    output(capsys, pipeline, "--install")
    assert machine.table.read_bytes() != OTHERS
    output(capsys, pipeline, "--install", "--as", "systemd")
    assert machine.table.read_bytes() == OTHERS
    output(capsys, pipeline, "--install", "--as", "cron")
    assert list(machine.units.iterdir()) == []


def test_a_unit_may_write_where_a_run_writes(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        'store = "s"\n[[export]]\nout = "e/one"\n[[export]]\nout = "e/two"\n[log]\nmetrics = "m/p.prom"\n'
        '[[import]]\nkind = "reddit-dump"\npaths = ["d/RC_*"]\n[forget]\nfile = "forget.txt"\n'
    )
    made = schedule.job(file, config.read(file), 3600, "host")
    assert made.reads == (tmp_path / "d" / "RC_*", tmp_path / "forget.txt")
    assert made.writes == (tmp_path / "s", tmp_path / "state" / "shp-miner", tmp_path / "e", tmp_path / "m")
    service, timer = systemd.units(made).values()
    assert re.search(rf'^ReadWritePaths="-{tmp_path}/s" ".* "-{tmp_path}/m"', service, re.M)
    assert "\nPrivateUsers=yes\n" in service
    assert "\nSuccessExitStatus=3 75\n" in service
    assert "\nPersistent=yes\n" in timer
    assert "RequiresMountsFor" not in service
    monkeypatch.setattr(systemd, "for_machine", lambda: True)
    service = next(iter(systemd.units(made).values()))
    assert "PrivateUsers" not in service
    assert f'\nRequiresMountsFor="{file}" "{tmp_path}/s" ' in service


@pytest.mark.parametrize("every_s", [3600, 90])
def test_a_timer_is_not_a_minute_late(every_s: int) -> None:
    assert "\nAccuracySec=1s\n" in list(systemd.units(job(every_s=every_s)).values())[1]


def test_what_lies_in_tmp_is_not_hidden_from_the_run() -> None:
    hidden = next(iter(systemd.units(job(Path("/srv/p.toml"))).values()))
    assert "\nPrivateTmp=yes\n" in hidden
    seen = next(iter(systemd.units(job(Path("/tmp/p.toml"))).values()))
    assert "\nPrivateTmp=no\n" in seen
    assert 'ReadWritePaths="-/tmp"' in seen
    for reads in ("/tmp/dumps/*.zst", "/var/tmp/forget.txt"):
        assert "\nPrivateTmp=no\n" in next(iter(systemd.units(job(Path("/srv/p.toml"), reads=(Path(reads),))).values()))
    program = next(iter(systemd.units(job(program=Path("/var/tmp/venv/bin/shp-miner"))).values()))
    assert "\nPrivateTmp=no\n" in program


@pytest.fixture
def analyze() -> Callable[..., str]:
    """The real `systemd-analyze`, which reads files and asks no service manager."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine")

    def call(*words: str) -> str:
        done = subprocess.run([program, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return call


def in_folder(folder: Path, every_s: float, program: Path) -> Job:
    folder.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = job(folder / f"{folder.name}.toml", every_s, program=program, environment={"XDG_STATE_HOME": str(folder)})
    return msgspec.structs.replace(made, writes=(folder,))


@pytest.mark.parametrize("for_machine", [False, True])
@pytest.mark.parametrize("every_s", [3600, 25_200])
def test_systemd_takes_the_units(
    every_s: int,
    for_machine: bool,
    analyze: Callable[..., str],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(systemd, "for_machine", lambda: for_machine)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    systemd.folder().mkdir(parents=True)
    # systemd cannot run a program with quotes or a backslash in its name; pipelines and folders may have them.
    jobs = [in_folder(tmp_path / odd, every_s, tmp_path / odd / "run") for odd in ODD if not refused(odd)]
    jobs += [in_folder(tmp_path / odd, every_s, tmp_path / "plain" / "run") for odd in ODD if refused(odd)]
    files = {path: text for made in jobs for path, text in systemd.units(made).items()}
    for path, text in files.items():
        path.write_text(text)
    said = analyze(*([] if for_machine else ["--user"]), "verify", *map(str, files))
    assert "shp-miner" not in said, said
    assert len(files) == 2 * len(ODD)
    (tmp_path / "100%" / "run").unlink()  # it is this very path that was looked for
    with pytest.raises(AssertionError, match="100%/run is not executable"):
        analyze("verify", *(str(path) for path in files if "shp-miner-100-" in path.name))


def refused(odd: str) -> bool:
    return any(character in odd for character in "\"'\\")


def test_a_program_that_systemd_does_not_take_is_refused() -> None:
    for odd in filter(refused, ODD):
        with pytest.raises(UsageError, match="systemd cannot run a program"):
            systemd.units(job(program=Path(f"/opt/{odd}/shp-miner")))
    with pytest.raises(UsageError, match="cannot take the path"):
        systemd.units(msgspec.structs.replace(job(), writes=(Path("/a'\"b"),)))


@pytest.mark.parametrize("every_s", interval.EVEN_S)
def test_the_calendar_has_the_times_of_the_crontab(every_s: int, analyze: Callable[..., str]) -> None:
    calendar, expression = systemd.on_calendar(every_s, 4567), cron.expression(every_s, 4567)
    assert calendar is not None
    assert expression is not None
    said = analyze("calendar", "--base-time=2026-03-02 00:00:30 UTC", "--iterations=30", calendar)
    found = re.findall(r"(?:Next elapse|Iter(?:ation|\.) #\d+|\(in UTC\)): \w+ (\S+ \S+) UTC", said)
    elapsed = list(dict.fromkeys(datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in found))
    times = CronSim(expression, START)
    assert elapsed == [next(times) for _ in range(30)]


# -- the page ---------------------------------------------------------------------------------------------------------


def test_every_message_that_the_page_explains_is_one_of_the_code() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "shp_miner").rglob("*.py")))
    table = (ROOT / "docs" / "cron.md").read_text().split("### Messages\n")[1].split("\n### ")[0]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(messages) == 12
    for message in messages:
        assert message in source, message


def test_the_pipeline_of_the_page_can_be_scheduled_as_it_says(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "cron.md").read_text()
    file = tmp_path / "support.toml"
    file.write_text(textwrap.dedent(page.split("```toml\n")[1].split("```")[0]))
    machine.has("crontab")
    output(capsys, file, "--every", "1d", "--install")
    assert machine.table.read_text().count(str(file)) == 2


# -- the command ------------------------------------------------------------------------------------------------------


def test_without_either_program_both_are_printed_and_none_installed(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, said = output(capsys, pipeline)
    assert "# shp-miner: " in printed
    assert "[Timer]" in printed
    assert "--as cron --install" in said
    assert "--as systemd --install" in said
    for more in ([], ["--as", "cron"], ["--as", "systemd"]):
        _, said = output(capsys, pipeline, "--install", *more, code=2)
        assert re.search("is installed|is not installed", said)
    assert not machine.units.exists()
    assert output(capsys, pipeline, "--remove")[0].startswith("No schedule was installed")


def test_json_has_the_parts(machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(output(capsys, pipeline, "--json", "--every", "1d")[0])
    assert (data["every_s"], data["pipeline"], data["installed"]) == (86_400, str(pipeline), False)
    assert data["cron"]["line"].startswith(data["cron"]["expression"] + " ")
    assert [unit["path"].rpartition(".")[2] for unit in data["systemd"]["units"]] == ["service", "timer"]
    machine.has("crontab")
    assert "systemd" not in json.loads(output(capsys, pipeline, "--json")[0])
    assert json.loads(output(capsys, pipeline, "--json", "--remove")[0])["removed"] == []


def test_credentials_are_named_where_they_must_be_set(
    machine: Machine, pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pipeline.open("a") as file:
        file.write('[credentials]\nstackexchange_key = "${MY_KEY}"\n')
    _, said = output(capsys, pipeline, "--as", "cron")
    assert "set MY_KEY as lines NAME=value" in said
    _, said = output(capsys, pipeline, "--as", "systemd")
    assert f"set MY_KEY in {machine.home}/.config/shp-miner/environment" in said


def test_a_program_that_hangs_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has("crontab")
    (machine.programs / "crontab").write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    monkeypatch.setattr(programs, "_PATIENCE_S", 0.1)
    with pytest.raises(Exception, match="has not ended after"):
        programs.call("crontab", "-l")
