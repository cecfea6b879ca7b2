"""The file of waits: a damaged one stops nobody, and does not send anybody off at full speed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from shp_miner.errors import BadInput
from shp_miner.sources.clocks import FileClocks

NOW = 1_000_000.0


def clocks(path: Path, now: float = NOW) -> FileClocks:
    return FileClocks(path, lambda: now)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "state" / "hosts.sqlite"
    with closing(clocks(file)) as made:
        for number in range(200):
            made.set(f"host{number}.example", NOW + 3600, "x" * 100)
    return file


def _other_table(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE clocks (name TEXT)")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"x" * 9000),
    "header": lambda path: path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:]),
    "page": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(8192) + path.read_bytes()[12288:]),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "another's": _other_table,
}


@pytest.mark.parametrize("how", list(DAMAGE))
def test_a_damaged_file_is_begun_anew_with_a_wait_for_everybody(
    how: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGE[how](path)
    damaged = path.read_bytes()
    with closing(clocks(path)) as anew:
        assert anew.until("any.example") == NOW + 60
        assert [anew.take("any.example", NOW, 2.0, 1) for _ in range(3)] == [NOW + 60, NOW + 62, NOW + 64]
        anew.set("slow.example", NOW + 900, "it said so")
        assert anew.until("slow.example") == NOW + 900
        assert anew.take("late.example", NOW + 100, 2.0, 1) == NOW + 100, "after a minute all is as ever"
    assert path.with_name("hosts.sqlite.damaged").read_bytes() == damaged
    assert "was set aside as hosts.sqlite.damaged: requests to all hosts wait 60 seconds" in caplog.text
    caplog.clear()
    with closing(clocks(path, NOW + 5)) as again:
        assert again.until("any.example") == NOW + 66
    assert caplog.text == ""


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "hosts.sqlite").write_bytes(b"")
    with closing(clocks(tmp_path / "hosts.sqlite")) as made:
        assert made.until("any.example") == 0.0


def test_a_file_that_is_damaged_while_it_is_open(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(clocks(path)) as opened, closing(clocks(path)) as other:
        DAMAGE["garbage"](path)
        assert opened.take("any.example", NOW, 2.0, 1) == NOW + 60
        assert other.take("any.example", NOW, 2.0, 1) == NOW + 62, "both go on with the same file"
    assert caplog.text.count("set aside") == 1


def test_processes_that_find_it_damaged_at_once_make_one_new_file(path: Path) -> None:
    DAMAGE["garbage"](path)
    code = (
        "import sys; from pathlib import Path; from shp_miner.sources.clocks import FileClocks\n"
        f"print(FileClocks(Path(sys.argv[1]), lambda: {NOW}).take('any.example', {NOW}, 2.0, 1))"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(path)]
    started = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    said = [process.communicate() for process in started]
    assert sorted(float(out) for out, _ in said) == [NOW + 60 + 2 * n for n in range(4)]
    assert sum(error.count("set aside") for _, error in said) == 1


def test_what_is_no_damage_is_said(tmp_path: Path) -> None:
    (tmp_path / "hosts.sqlite").mkdir()
    with pytest.raises(BadInput):
        clocks(tmp_path / "hosts.sqlite")
