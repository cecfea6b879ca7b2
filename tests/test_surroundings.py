"""Exit codes and sentences where a process finds closed streams, little memory, or names that are no text."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from shp_miner import import_dump
from shp_miner.cli import run
from shp_miner.errors import in_words

from .build import thread, tree, write_month

NO_TEXT = os.fsdecode(b"name\xff")


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> Path:
    records = [*thread("p1", (3, 9, 5)), *thread("p9", subreddit="\u0434\u043e\u043c")]
    import_dump("reddit-dump", write_month(tmp_path / "dumps", records), tmp_path / "store", now=now)
    return tmp_path / "store"


def shell(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of `words`, where `$M` is the program."""
    script = f'M() {{ "$PYTHON" -c "from shp_miner.cli import main; main()" "$@"; }}; {words}'
    around = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60, env=around, errors="replace"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("M stats --store store >&-", 0),
        ("M stats --store store --json >&- 2>&- <&-", 0),
        ("M export out --store store >&- 2>&-", 0),
        ("M --help >&-", 0),
        ("M stats --store nowhere 2>&-", 5),
        ("M nonsense 2>&-", 2),
        ("M nonsense 2>/dev/full", 2),
        ("M stats --store nowhere 2>/dev/full", 5),
        ("M stats --store store >/dev/full", 75),
    ],
)
def test_streams_that_are_closed_or_full_change_no_other_exit_code(words: str, code: int, store: Path) -> None:
    done = shell(words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_what_is_written_to_closed_streams_goes_into_no_file(store: Path, tmp_path: Path) -> None:
    assert run(["export", "expected", "--store", "store", "--quiet"]) == 0
    assert shell("M export out --store store -v >&- 2>&- <&-").returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "expected")


def test_names_are_printed_whatever_the_terminal_s_encoding(store: Path) -> None:
    done = shell("M export out --store store", PYTHONIOENCODING="ascii")
    assert (done.returncode, "\\u0434" in done.stdout) == (0, True), done
    assert shell("M export out --store store --json", PYTHONIOENCODING="ascii").returncode == 0


@pytest.mark.parametrize("limit_kb", [300_000, 900_000, 1_600_000])
def test_a_limit_on_memory_that_is_too_low_is_said(limit_kb: int, store: Path) -> None:
    for words in ("export out --store store", "import reddit-dump dumps --store other", "stats --store store"):
        done = shell(f"ulimit -v {limit_kb}; M {words}")
        assert done.returncode == 75, done.stderr
        assert "needs" in done.stderr
    assert shell(f"ulimit -v {limit_kb}; M export --help").returncode == 0


def test_a_limit_on_memory_that_is_enough_is_kept(store: Path) -> None:
    cores = os.cpu_count() or 1
    limit = (3_000_000_000 + 65_000_000 * cores) // 1024
    assert shell(f"ulimit -v {limit}; M export out --store store --quiet").returncode == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libarrow.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_no_bug(error: Exception) -> None:
    words = in_words(error)
    assert words is not None
    assert words.exit_code == 75
    assert "memory" in f"{words}".lower()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["export", NO_TEXT, "--store", "store"], 2),
        (["export", "out", "--store", "store", "--keep-dropped", NO_TEXT], 2),
        (["export", "out", "--store", "store", "--community", NO_TEXT], 5),
        (["export", "out", "--store", NO_TEXT], 5),
        (["stats", "--store", NO_TEXT], 5),
        (["status", "--store", NO_TEXT], 5),
        (["vacuum", "--store", NO_TEXT], 5),
        (["doctor", "--repair", "--store", NO_TEXT], 5),
        (["import", "reddit-dump", "dumps", "--store", NO_TEXT], 5),
        (["import", "reddit-dump", NO_TEXT, "--store", "other"], 0),
        (["forget", "--author", NO_TEXT, "--store", "store"], 2),
        (["forget", "--id", NO_TEXT, "--store", "store"], 2),
        (["run", f"{NO_TEXT}.toml"], 2),
    ],
    ids=lambda value: " ".join(value[:2]).encode(errors="replace").decode() if isinstance(value, list) else "",
)
def test_a_name_that_is_no_text_is_no_bug(
    words: list[str], code: int, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dumps").rename(tmp_path / NO_TEXT) if words[:3] == ["import", "reddit-dump", NO_TEXT] else None
    (tmp_path / f"{NO_TEXT}.toml").write_text('store = "other"\n[[export]]\nout = "out"\n')
    got = run(words)
    said = capsys.readouterr().err
    assert got == code, said
    assert ("name\\" in said and "udcff" in said) == (code != 0), said
    assert "bug" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["/proc/x", "/proc/self/x/y", "/dev/null/x", "/dev/null"])
def test_a_place_where_nothing_can_be_written_is_no_bug(
    place: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", place, "--store", "store"]) in (2, 5)
    said = capsys.readouterr().err
    assert place in said
    assert "bug" not in said
