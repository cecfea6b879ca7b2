"""Terminals of 80 and of 60 columns: no line of a command is longer, and no table is broken."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from shp_miner.forum.serve.discourse import DiscourseApi
from shp_miner.forum.serve.server import Forum

from .build import thread, write_month
from .crawls import settled
from .test_progress import MAIN

#: Lines that are pasted and so never broken: commands, and addresses.
_WHOLE = ("shp-miner ", "http")


class Window:
    """A terminal that tells its size, as a real one does; `lines` are what a person sees of a command."""

    def __init__(self, columns: int, folder: Path) -> None:
        self.columns, self.folder = columns, folder

    def lines(self, *words: str) -> list[str]:
        """Run a command to its end."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        process = subprocess.Popen(
            [*MAIN, *words],
            stdin=slave, stdout=slave, stderr=slave, cwd=self.folder, env={**environment, "TERM": "xterm"},
        )  # fmt: skip
        os.close(slave)
        written = b""
        while data := _read(master):
            written += data
        os.close(master)
        text = written.decode()
        assert process.wait() == 0, text
        lines = [line.split("\r\x1b[2K")[-1] for line in text.replace("\r\n", "\n").split("\n")]
        return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in lines]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the command ended
        return b""


def tables(lines: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Each table's head, rule and rows."""
    for place, line in enumerate(lines):
        if re.fullmatch(r" ─+", line):
            rows = lines[place + 1 :]
            end = next((number for number, row in enumerate(rows) if not row), len(rows))
            yield lines[place - 1], line, rows[:end]


@pytest.fixture(params=[80, 60])
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Window:
    places = ("AskAcademia", "explainlikeimfive")
    threads = [thread(f"p{number}", scores=(3, 9, 5, 12), subreddit=places[number % 2]) for number in range(12)]
    write_month(tmp_path / "dumps", [record for records in threads for record in records])
    return Window(request.param, tmp_path)


def check(window: Window, *words: str) -> list[str]:
    """What is seen of a command, checked."""
    lines = window.lines(*words)
    long = [line for line in lines if len(line) > window.columns and not line.lstrip().startswith(_WHOLE)]
    assert not long, (words, long)
    for head, rule, rows in tables(lines):
        assert "…" not in head + "".join(rows), "nothing is cut"
        assert rows, head
        assert all(len(row) <= len(rule) + 1 for row in [head, *rows]), (words, head, rows)
    return lines


def test_no_line_is_longer_than_the_window_and_no_table_is_broken(window: Window) -> None:
    community = settled(6)
    with Forum(community, [DiscourseApi(community)]) as forum:
        site = ["--site", "forum.example", "--url", forum.url("discourse"), "--allow-private"]
        check(window, "import", "reddit-dump", "dumps")
        check(window, "crawl", "discourse", community.name, *site)
    check(window, "export", "data/eli5")
    check(window, "compare")
    check(window, "show", "data/eli5", "-n", "2")
    check(window, "show", "--thread", "p1")
    check(window, "status")


@pytest.mark.slow
def test_the_demo_fits_into_the_window(window: Window) -> None:
    assert any("shp-strict" in line for line in check(window, "demo"))


@pytest.mark.parametrize("command", ["export", "crawl", "import", "show", "compare"])
def test_no_help_speaks_of_bounds_that_are_none(command: str, window: Window) -> None:
    assert "None" not in "".join(check(window, command, "--help"))
