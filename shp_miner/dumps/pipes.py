"""Input that can be read only once (standard input, a named pipe, `<(...)`), kept in a file during the import.

Readers look at the beginning of a file before they read it, and some read it twice or begin at its end; a pipe allows
none of this. Its bytes go to a temporary file, without a name where the system allows that, so nothing is left after
the import. Lines of text are compressed on the way.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import zstandard

from shp_miner.engine.interrupts import interrupt_waiting_reads
from shp_miner.errors import BadInput, Error, UsageError, from_os_error
from shp_miner.tally import Tally

#: Names of standard input.
_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")

_READ = 1 << 20


def is_read_once(path: Path) -> bool:
    """Whether a path can be read only once. Raises BadInput for a device."""
    if str(path) in _STANDARD_INPUT:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # its reader says what is wrong with it
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise BadInput(f"{path} is a device, not a file.", "Name a file, a folder or a pipe.")
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Kept:
    """The paths to read, and what the user calls those that are kept files."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.names: dict[str, str] = {}

    def named(self, tally: Tally) -> Tally:
        """The tally with the user's names."""
        for name, known in self.names.items():
            tally.damages = [
                replace(damage, path=damage.path.replace(name, known), hint=self.in_words(damage.hint))
                for damage in tally.damages
            ]
            tally.examples = [replace(damage, path=damage.path.replace(name, known)) for damage in tally.examples]
        return tally

    def in_words(self, text: str) -> str:
        """A message with the user's names."""
        for name, known in self.names.items():
            text = text.replace(name, known)
        return text


@contextmanager
def at_hand(paths: Sequence[Path]) -> Iterator[Kept]:
    """Yield the paths, with files in place of those that can be read only once. Errors use the user's names.

    Raises BadInput if no data came, TryLater if the disk for temporary files (TMPDIR) is full.
    """
    kept = Kept()
    once = [path for path in paths if is_read_once(path)]
    if len(set(once) & set(map(Path, _STANDARD_INPUT))) > 1 or len(once) > len(set(once)):
        raise UsageError("Standard input or a pipe is named twice.", "Name it once: it can be read only once.")
    with ExitStack() as stack:
        for path in paths:
            if path not in once:
                kept.paths.append(path)
                continue
            name = "standard input" if str(path) in _STANDARD_INPUT else str(path)
            file = _kept(path, name, stack)
            kept.names[str(file)] = name
            kept.paths.append(file)
        try:
            yield kept
        except Error as error:
            if not kept.names:
                raise
            raise type(error)(kept.in_words(error.message), kept.in_words(error.hint)) from error


def _kept(path: Path, name: str, stack: ExitStack) -> Path:
    """The file that holds what came through a pipe; `stack` removes it."""
    try:
        interrupt_waiting_reads()
        with _opened(path) as pipe:
            if sys.platform == "linux":
                file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
                place = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
            else:
                file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="shp-miner-"))  # noqa: SIM115
                place = Path(file.name)
            _copy(pipe, file, name)
            file.flush()
    except OSError as error:
        raise from_os_error(error, f"saving the data from {name}") or BadInput(
            f"{name} cannot be read: {error.strerror or error}.", "Check the command that writes to it."
        ) from error
    return place


def _opened(path: Path) -> BinaryIO:
    if str(path) not in _STANDARD_INPUT:
        return path.open("rb", buffering=0)
    if sys.stdin is None or sys.stdin.closed:
        raise BadInput("Standard input is closed.", "Pipe a dump to it: zstd -dc FILE | shp-miner import KIND -")
    if os.isatty(0):
        raise UsageError("Standard input is a terminal.", "Pipe a dump to it: zstd -dc FILE | shp-miner import KIND -")
    return os.fdopen(os.dup(0), "rb", buffering=0)


def _copy(pipe: BinaryIO, file: BinaryIO, name: str) -> None:
    start = pipe.read(_READ)
    if not start:
        raise BadInput(f"No data came from {name}.", "Check the command that writes to it.")
    # Only records of JSON are read through a decoder in every case.
    compressed = start.lstrip()[:1] == b"{"
    with zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False) if compressed else _Plain(file) as out:
        while start:
            out.write(start)
            start = pipe.read(_READ)


class _Plain:
    """A writer that leaves the file open."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass
