"""Ctrl-C ends a command, although compiled libraries drop exceptions of the Python code that they call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from shp_miner.cli import lasting
from shp_miner.cli.lasting import lasting_interrupts


class Loses:
    """Gets Ctrl-C where nobody can catch the exception."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "_AGAIN_S", 0.02)


def work(end_s: float) -> None:
    end = time.monotonic() + end_s
    while time.monotonic() < end:
        pass


def test_an_interrupt_that_a_library_lost_comes_again_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        lost = Loses()
        del lost
        work(20)

    with pytest.raises(KeyboardInterrupt), lasting_interrupts(["train", "out"]):
        command()
    assert capfd.readouterr().err == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_handles_an_interrupt_may_take_its_time() -> None:
    done: list[Any] = []

    def command() -> None:
        try:
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                work(0.1)
                done.append("finally")
        except KeyboardInterrupt as error:
            try:
                work(0.1)
                done.append("except")
                raise RuntimeError from error
            except RuntimeError:
                work(0.1)
                done.append("another error")
                raise

    with pytest.raises(RuntimeError), lasting_interrupts([]):
        command()
    assert done == ["finally", "except", "another error"]


@pytest.mark.parametrize("command", ["crawl", "recheck", "run"])
def test_commands_that_store_what_was_read_get_it_once(command: str) -> None:
    with lasting_interrupts([command, "x"]):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        work(0.1)


#: Ctrl-C comes when the library of the command line is about to be imported.
_EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from shp_miner.__main__ import main
main()
"""


def test_an_interrupt_while_the_program_is_loaded_ends_it_without_a_traceback() -> None:
    ended = subprocess.run([sys.executable, "-c", _EARLY, "--help"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
