"""The file of an audit: one JSON object a line, appended and on the disk before the page hears of it.

A line is a judgment, as `lab --audit` reads it, or takes one back: {"undo": ID, "judge": ..., "at": ...}. Nothing is
ever rewritten. Half a line at the end, from a process that was killed while writing, was never confirmed to anybody: it
is cut off when the file is opened again.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shp_miner.errors import BadInput, TryLater, refused_by_os
from shp_miner.store.lock import FileLock, InUse
from shp_miner.store.replacing import sync_to_disk

#: The file's name in the folder of the export.
JUDGMENTS = "audit.jsonl"

#: What a choice means. 1 and 2 are the answers as they were shown.
CHOICES = {1: "Answer 1", 2: "Answer 2", 3: "Tie", 4: "Both bad", 0: "Cannot tell"}

_FORMAT = "A line needs pair_id and choice (0 to 4); see `shp-miner docs audit`. Correct it, or name another --file."


class Judgment(Struct, frozen=True, kw_only=True):
    """What a judge says of a pair. `again`: the pair came a second time, with its sides swapped.

    `answer1_id` and `answer2_id` were shown as 1 and 2. `at` is a time in ISO 8601, `seconds` how long the judge looked
    at the pair. Lines of others may lack everything but `pair_id` and `choice`.
    """

    pair_id: str
    choice: int
    answer1_id: str | None = None
    answer2_id: str | None = None
    judge: str = ""
    again: bool = False
    at: str | None = None
    seconds: float | None = None
    id: str = ""

    @property
    def preferred_id(self) -> str | None:
        """Return the id of the answer that is preferred; None if neither is."""
        return {1: self.answer1_id, 2: self.answer2_id}.get(self.choice)


class _Line(Struct):
    """Any line: a judgment, or the end of one."""

    undo: str | UnsetType = UNSET
    pair_id: str | UnsetType = UNSET
    choice: int | UnsetType = UNSET


def read_judgments(path: Path) -> list[Judgment]:
    """Return the judgments of a file in their order, without those that were taken back; none without a file.

    Raises BadInput that names the line that is not a judgment.
    """
    try:
        return _judgments(path, path.read_bytes())[0]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refused_by_os(error, f"reading the judgments {path}") or error from error


def _judgments(path: Path, content: bytes) -> tuple[list[Judgment], int]:
    """Return the judgments, and the length of the content in bytes without half a line at its end."""
    held: dict[str, Judgment] = {}
    whole = len(content)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        is_last = not content.endswith(b"\n") and number == content.count(b"\n") + 1
        try:
            told = msgspec.json.decode(line, type=_Line)
            if told.undo is not UNSET:
                held.pop(told.undo, None)
                continue
            judgment = msgspec.json.decode(line, type=Judgment)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if is_last:
                return list(held.values()), whole - len(line)
            raise BadInput(f"Line {number} of {path} is not a judgment: {error}.", _FORMAT) from error
        if judgment.choice not in CHOICES:
            raise BadInput(f"Line {number} of {path}: choice {judgment.choice} is not one of 0 to 4.", _FORMAT)
        held[judgment.id or f"line {number}"] = judgment
    return list(held.values()), whole


class Judgments:
    """The judgments of a file that this process alone appends to, while the block runs.

    Raises InUse where another process does. Not for several threads at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            is_new = not path.exists()
            self._lock = FileLock(path)
            if is_new:
                sync_to_disk(path.parent)
        except OSError as error:
            raise refused_by_os(error, f"opening the judgments {path}") or error from error
        try:
            self._open()
        except BaseException:
            os.close(self._lock.handle)
            raise

    def _open(self) -> None:
        if not self._lock.take():
            raise InUse(
                f"Another `shp-miner audit` writes to {self.path}.",
                "Open its page instead, where several people can judge at once, or name another file with --file.",
            )
        content = self.path.read_bytes()
        self.held, self._end = _judgments(self.path, content)
        os.ftruncate(self._lock.handle, self._end)
        if content[: self._end].strip() and not content[: self._end].endswith(b"\n"):
            self._append(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._lock.handle)

    def of(self, judge: str) -> list[Judgment]:
        """Return the judgments of one judge in their order."""
        return [judgment for judgment in self.held if judgment.judge == judge]

    def add(self, judgment: Judgment) -> None:
        """Save a judgment. Raises TryLater, and nothing is saved, where the disk is full or the file was replaced."""
        self._append(msgspec.json.encode(judgment) + b"\n")
        self.held.append(judgment)

    def undo(self, judge: str, at: str) -> Judgment | None:
        """Take the judge's last judgment back and return it; None if there is none. Raises as `add`."""
        last = next((judgment for judgment in reversed(self.held) if judgment.judge == judge and judgment.id), None)
        if last is not None:
            line: dict[str, Any] = {"undo": last.id, "judge": judge, "at": at}
            self._append(msgspec.json.encode(line) + b"\n")
            self.held.remove(last)
        return last

    def _append(self, line: bytes) -> None:
        """Write a line and wait until it is on the disk; a line that cannot be written whole is taken away."""
        self._require_same()
        handle = self._lock.handle
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(handle, line[written:], self._end + written)
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, self._end)
            raise refused_by_os(error, f"saving a judgment to {self.path}") or error from error
        self._end += len(line)

    def _require_same(self) -> None:
        """Raise TryLater if the file's name leads to another file, or somebody else wrote to it."""
        try:
            there, ours = self.path.stat(), os.fstat(self._lock.handle)
            same = (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev) and ours.st_size == self._end
        except FileNotFoundError:
            same = False
        if not same:
            raise TryLater(
                f"{self.path} was moved or changed while the audit runs.", "Stop the audit, and start it again."
            )
