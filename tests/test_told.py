"""What a run tells when something is wrong, and that nobody listening keeps it from nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shp_miner import cli
from shp_miner.cli.crawl import ended_by_sigterm
from shp_miner.store.runs import Runs

from .build import thread, write_month
from .flows import written

MAIN = [sys.executable, "-c", "from shp_miner.cli import main; main()"]


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    """A pipeline that needs no site: a dump is imported and exported."""
    paths = [str(path) for path in write_month(tmp_path / "dumps", thread("p1"))]
    imported = [{"kind": "reddit-dump", "paths": paths}]
    return {"store": "store", "import": imported, "export": [{"out": "out"}], "limits": {"workers": 1}}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"stor": "x"}, 5, "there is no key 'stor'. Did you mean 'store'?"),
        ({"credentials": {"reddit_client_id": "${NOT_SET_ANYWHERE}"}}, 4, "NOT_SET_ANYWHERE"),
    ],
)
def test_what_keeps_a_run_from_starting_is_a_line_as_the_others_are(
    changes: dict[str, Any], code: int, words: str, tmp_path: Path, tables: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = written(tmp_path / "p.toml", tables | changes)
    assert cli.run(["run", str(path), "--quiet"]) == code
    (line,) = lines(capsys)
    assert line.keys() >= {"time", "message"}
    assert (line["level"], line["event"], line["exit_code"]) == ("error", "error", code)
    assert words in line["message"]


def test_a_bug_is_a_line_too(
    tmp_path: Path, tables: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shp_miner.pipeline.launch.run_pipeline", lambda *_, **__: 1 / 0)
    assert cli.run(["run", str(written(tmp_path / "p.toml", tables))]) == 1
    (line,) = lines(capsys)
    assert (line["event"], line["exit_code"]) == ("error", 1)
    assert line["message"].startswith("ZeroDivisionError: division by zero This is a bug")


def test_people_are_told_in_words(tmp_path: Path, tables: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    missing = {"credentials": {"reddit_client_id": "${NOT_SET_ANYWHERE}"}, "log": {"format": "human"}}
    assert cli.run(["run", str(written(tmp_path / "p.toml", tables | missing))]) == 4
    assert capsys.readouterr().err.startswith("Error: ")


def test_a_quiet_run_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget = {"store": "store", "forget": {"file": "nowhere.txt"}}
    assert cli.run(["run", str(written(tmp_path / "p.toml", forget)), "--quiet"]) == 5
    failed, summary = lines(capsys)
    assert "The forget list" in failed["message"]
    assert failed["level"] == summary["level"] == "warning"


def test_metrics_that_cannot_be_written_are_a_failure_that_status_knows(
    tmp_path: Path, tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    path = written(tmp_path / "p.toml", tables | {"log": {"metrics": "file/shp.prom"}})
    assert cli.run(["run", str(path), "--json"]) == 5
    output = capsys.readouterr()
    steps = {step["step"]: step["exit_code"] for step in json.loads(output.out)["steps"]}
    assert steps == {"import": 0, "export": 0, "metrics": 5}
    *_, failed, summary = [json.loads(line) for line in output.err.splitlines()]
    assert (
        f"The metrics file {tmp_path}/file/shp.prom cannot be written: File exists. Correct `log.metrics`"
        in failed["message"]
    )
    assert (summary["event"], summary["exit_code"]) == ("summary", 5)
    with Runs(tmp_path / "store") as runs:
        assert [run.exit_code for run in runs.last(5)] == [5]


def test_half_a_metrics_file_is_not_left(
    tmp_path: Path, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m" / "shp.prom").mkdir(parents=True)  # so that the new one cannot take its place
    path = written(tmp_path / "p.toml", tables | {"log": {"metrics": "m/shp.prom"}})
    assert cli.run(["run", str(path)]) == 5
    assert [file.name for file in (tmp_path / "m").iterdir()] == ["shp.prom"]


# -- nobody listens ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_keeps_no_run_from_being_done(tmp_path: Path, tables: dict[str, Any]) -> None:
    path = written(tmp_path / "p.toml", tables)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*MAIN, "run", str(path), "--json"], stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["pairs"] > 0
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--min-free", "1000000GB"), 3)])
@pytest.mark.parametrize("form", ["people", "--json"])
def test_a_reader_who_goes_away_does_not_change_the_exit_code(
    form: str, options: tuple[str, ...], code: int, tmp_path: Path, tables: dict[str, Any]
) -> None:
    assert cli.run(["run", str(written(tmp_path / "p.toml", tables)), "--quiet"]) == 0
    words = ["status", "--store", str(tmp_path / "store"), *options, *(["--json"] if form == "--json" else [])]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*MAIN, *words], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


def test_help_without_a_reader_is_no_bug() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*MAIN, "--help"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_connection_ends_a_run_in_order_unless_it_is_to_be_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have left it ignored
    try:
        with pytest.raises(KeyboardInterrupt), ended_by_sigterm():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ended_by_sigterm():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_is_ended_while_it_reads_its_file_ends_in_order(
    tmp_path: Path, tables: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("this would have ended the process"))
    try:
        monkeypatch.setattr("shp_miner.pipeline.config.read", lambda _: signal.raise_signal(signal.SIGTERM))
        assert cli.run(["run", str(written(tmp_path / "p.toml", tables))]) == 3
    finally:
        signal.signal(signal.SIGTERM, before)
    (line,) = lines(capsys)
    assert (line["event"], line["exit_code"]) == ("error", 3)
