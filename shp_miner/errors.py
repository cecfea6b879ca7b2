"""Errors a user can meet, each with the exit code of the command line.

Error (1, a bug unless a subclass says otherwise)
├── UsageError (2)          the call itself is wrong
├── Incomplete (3)          done in part; what is missing is said and kept for the next run
├── NotAllowed (4)          credentials missing or refused
├── BadInput (5)            the input is not what it should be
└── TryLater (75)           locked, rate limited, source down, disk full

Every error is one sentence on what happened (`message`) and one on what to do next (`hint`).
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable
from difflib import get_close_matches

log = logging.getLogger("shp_miner")


class Error(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 1

    #: Whether it has been told already, as a line of the log.
    told = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # a traceback shows it: who calls this from Python is told what to do, too

    def __reduce__(self) -> tuple[type[Error], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class UsageError(Error):
    """The call itself is wrong: an unknown name, options that contradict each other."""

    exit_code = 2


class Incomplete(Error):
    """The work is done in part; what is missing is in the message."""

    exit_code = 3


class NotAllowed(Error):
    """Credentials are missing or refused."""

    exit_code = 4


class BadInput(Error):
    """The input is not what it should be: wrong kind of file, damaged store, missing columns."""

    exit_code = 5


class TryLater(Error):
    """Nothing is wrong with the call; the machine or the source cannot serve it now."""

    exit_code = 75


def is_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C or SIGTERM ended it. A library in Rust that met it while it called Python makes a panic of it."""
    panic = type(error).__name__ == "PanicException" and "KeyboardInterrupt" in str(error)
    return panic or isinstance(error, KeyboardInterrupt)


def in_words(error: BaseException) -> Error | None:
    """What ended a command as an error that a person can read; None where it is for Python alone."""
    if isinstance(error, Error):
        return error
    if is_interrupt(error):
        return Incomplete("Interrupted.", "What was committed stays; run the same command again to go on.")
    if not isinstance(error, Exception):
        return None
    bug = Error(f"{type(error).__name__}: {error}", "This is a bug: please report it with the output of -v.")
    return from_os_error(error, "running the command") or bug


def unforeseen(error: Exception, what: str) -> BadInput:
    """What nobody thought of, met while `what` was read, as an error that ends no more than the reading of that.

    The exception's own words are left to `-v`: they may be somebody's.
    """
    log.debug("%s could not be read", what, exc_info=error)
    return BadInput(f"{what} could not be read: {type(error).__name__}.", "Please report this with the output of -v.")


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is none of those known: it names the nearest of them, or else all."""
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}."


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE_SQLITE = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_DENIED_SQLITE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
_NO_PATH = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
_NO_SPACE_WORDS = ("No space left on device", "os error 28", "File too large")


def from_os_error(error: Exception, doing: str) -> Error | None:
    """Say in our words what the operating system refused, or None where `error` is something else.

    Libraries written in Rust pass the system's words on as text, so the text is read where there is no number.
    """
    number = getattr(error, "errno", None)
    text = str(error)
    in_sqlite = getattr(error, "sqlite_errorname", None) in _NO_SPACE_SQLITE
    if number in _NO_SPACE or in_sqlite or any(words in text for words in _NO_SPACE_WORDS):
        return TryLater(
            f"No space is left on the disk while {doing}.",
            "Free some space and run the same command again: nothing half-written is kept.",
        )
    where = getattr(error, "filename", None)
    named = f" ({where})" if where else ""
    if number == errno.EROFS or "Read-only file system" in text:
        return BadInput(
            f"A read-only file system was met while {doing}{named}.",
            "Make it writable; under systemd, `shp-miner schedule --install` allows a run what it needs by now.",
        )
    if number in _NO_PATH:
        return BadInput(
            f"A path that cannot be was met while {doing}{named}: {os.strerror(number).lower()}.",
            "Name another path: a part of this one may be a file where a folder should be.",
        )
    if number == errno.EIO or "Input/output error" in text:
        return BadInput(f"The disk failed while {doing}{named}.", "Have it checked before you run the same again.")
    denied_by_sqlite = getattr(error, "sqlite_errorname", "").startswith(_DENIED_SQLITE)
    if number in (errno.EACCES, errno.EPERM) or denied_by_sqlite or "Permission denied" in text:
        return BadInput(f"Permission was denied while {doing}{named}.", "Give your user the right to it and run again.")
    return None
