"""One command measured from outside as a whole: wall time, CPU time, and the memory of its whole process tree.

Three figures of memory, since none says everything:

    peak_rss_bytes   the highest sum of resident memory over the tree, seen every 50 ms. Pages that processes share are
                     counted once for each, so this is an upper bound
    peak_pss_bytes   the same with shared pages divided among those that share them, also outside the tree: closer to
                     what the machine must have, but dependent on what else runs there. The kernel takes 10 ms a GiB to
                     say it and holds the process up, so what is shared is read only now and then, and taken off the sum
                     above at every sample
    largest_bytes    the kernel's own record (ru_maxrss) of the largest single process, without sampling

The first two need Linux's /proc and are None elsewhere. Resident memory includes pages of files that are mapped.
This module and all it imports stay small: a child starts as a copy of its parent, and ru_maxrss remembers that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.05
#: Looking for new processes of the tree costs more than reading those known, so it is done at every so many samples.
SAMPLES_A_SEARCH = 4
#: What is shared is read when the processes have changed, and otherwise for at most this share of the time.
SHARE_OF_TIME = 0.02

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ERROR_CHARS = 2_000


@dataclass(frozen=True)
class Measure:
    """What one run of a command took. `output` is its standard output, `error` the end of its standard error."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int | None
    peak_pss_bytes: int | None
    largest_bytes: int
    exit_code: int
    output: str
    error: str


def measure(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, discard: bool = False
) -> Measure:
    """Run `command` in `folder` to its end and measure it; with `discard` its output goes to /dev/null.

    Raises FileNotFoundError if there is no such program. CPU time is user and system time of the command and of all
    its descendants that it waited for.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if discard else output,
            stderr=error,
            start_new_session=True,
        )
        watch = _Watch(process.pid)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - start
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            watch.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        error.seek(0)
        return Measure(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss_bytes=watch.peak_rss_bytes,
            peak_pss_bytes=watch.peak_pss_bytes,
            largest_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            exit_code=process.returncode,
            output=output.read().decode(errors="replace"),
            error=error.read().decode(errors="replace")[-_ERROR_CHARS:],
        )


class _Watch(threading.Thread):
    """Samples the memory of a session's processes until it is stopped.

    A session is the process tree of its first process, including those whose parent has ended.
    """

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.peak_rss_bytes: int | None = None
        self.peak_pss_bytes: int | None = None
        self._session = session
        self._ended = threading.Event()

    def stop(self) -> None:
        """End the sampling and wait for the last sample."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        if not _PROC.is_dir():
            return
        processes: list[int] = []
        samples, counted_twice, next_look_s = 0, 0, 0.0
        while not self._ended.is_set():
            if samples % SAMPLES_A_SEARCH == 0:
                found = _processes(self._session)
                if found != processes:
                    processes, next_look_s = found, 0.0
            samples += 1
            rss_bytes = sum(map(_rss_bytes, processes))
            start_s = time.perf_counter()
            if start_s >= next_look_s:
                counted_twice = max(rss_bytes - sum(map(_pss_bytes, processes)), 0)
                end_s = time.perf_counter()
                next_look_s = end_s + (end_s - start_s) / SHARE_OF_TIME
            self.peak_rss_bytes = max(self.peak_rss_bytes or 0, rss_bytes)
            self.peak_pss_bytes = max(self.peak_pss_bytes or 0, rss_bytes - counted_twice)
            self._ended.wait(SAMPLE_S)


def _processes(session: int) -> list[int]:
    found = []
    for name in os.listdir(_PROC):  # noqa: PTH208 (twenty times a second: names are enough)
        if name.isdigit():
            # After the command's name in brackets: state, parent, process group, session.
            fields = _read(name, "stat").rpartition(")")[2].split()
            if len(fields) > 3 and int(fields[3]) == session:
                found.append(int(name))
    return found


def _rss_bytes(process: int) -> int:
    fields = _read(process, "statm").split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 else 0


def _pss_bytes(process: int) -> int:
    for line in _read(process, "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(process: int | str, name: str) -> str:
    """A file under /proc; empty if the process has ended."""
    try:
        return (_PROC / str(process) / name).read_text(errors="replace")
    except OSError:
        return ""
