"""Errors that a user can get, each with the exit code of the command line.

Error (1, a bug unless a subclass says otherwise)
├── UsageError (2)          the call itself is wrong
├── Incomplete (3)          done in part; the message names missing parts, and the next run continues
├── NotAllowed (4)          credentials missing or refused
├── BadInput (5)            the input is not valid
└── TryLater (75)           locked, rate limited, source down, disk full

Every error is one sentence on what happened (`message`) and one on what to do next (`hint`).
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

log = logging.getLogger("shp_miner")

#: Where the modules of this program are.
_HERE = str(Path(__file__).parent) + os.sep


class Error(Exception):
    """Base of all errors that this package raises on purpose."""

    exit_code = 1

    #: Whether the log has the error already.
    told = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # a traceback shows the hint to those who call this from Python

    def __reduce__(self) -> tuple[type[Error], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class UsageError(Error):
    """The call itself is wrong: an unknown name, options that contradict each other."""

    exit_code = 2


class Incomplete(Error):
    """The work is done in part; the message names missing parts."""

    exit_code = 3


class NotAllowed(Error):
    """Credentials are missing or refused."""

    exit_code = 4


class BadInput(Error):
    """The input is not valid: wrong kind of file, damaged store, missing columns."""

    exit_code = 5


class TryLater(Error):
    """The machine or the source cannot do this now; the call itself is right."""

    exit_code = 75


#: What each exit code of the command line means, and what to do.
EXIT_CODES = {
    0: "Done.",
    1: "A bug in shp-miner: please report it with the output of -v.",
    2: "Wrong usage: the call itself is wrong, and the message names what is right.",
    3: "Done in part: what is missing is printed, and the same command continues when it is run again.",
    4: "Not allowed: credentials are missing or refused.",
    5: "Bad input: a file, a store or a pipeline is not valid; the message names it.",
    75: "Try later: a store in use, a rate limit, a site that is down, or a full disk. Run the same command again.",
}


def is_interrupt(error: BaseException) -> bool:
    """Return whether Ctrl-C or SIGTERM ended the work. Rust libraries that call Python turn it into a panic."""
    panic = type(error).__name__ == "PanicException" and "KeyboardInterrupt" in str(error)
    return panic or isinstance(error, KeyboardInterrupt)


def in_words(error: BaseException) -> Error | None:
    """Return an exception as an error that a person can read; None if only Python can handle it."""
    if isinstance(error, Error):
        return error
    if is_interrupt(error):
        return Incomplete("Interrupted.", "What was finished stays; run the same command again for the rest.")
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY_WORDS):
        return TryLater(
            "There is not enough memory.",
            "Use less (--memory, --workers), or raise the limit, and run the same command again.",
        )
    if not isinstance(error, Exception):
        return None
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        # An argument, a variable or a file name with bytes that are not text.
        return UsageError(f"Not valid UTF-8: {error.object!r}.", "Use a name in UTF-8 and run again.")
    bug = Error(f"{type(error).__name__}: {error}", "This is a bug: please report it with the output of -v.")
    return refused_by_os(error, "running the command") or bug


def unforeseen_error(error: Exception, what: str) -> BadInput:
    """Return an unexpected error that was raised while `what` was read as BadInput, so that only this reading ends.

    The exception's own text is shown with `-v` only: people may have written it.
    """
    log.debug("%s could not be read", what, exc_info=error)
    return BadInput(f"{what} could not be read: {type(error).__name__}.", "Please report this with the output of -v.")


def is_our_own(error: BaseException) -> bool:
    """Return whether this program raised an error, or no memory was left: it says nothing of the input then."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised_in = "" if traceback is None else traceback.tb_frame.f_code.co_filename
    return isinstance(error, MemoryError) or raised_in.startswith(_HERE)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown name: the nearest known name, or all known names."""
    known = list(known)
    close = likely(name, known)
    return f"Did you mean {close!r}?" if close else f"Known: {', '.join(known)}."


#: How alike a name must be to be suggested: a wrong suggestion is worse than the list.
_LIKENESS = 0.66


def likely(name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant with high likelihood, in whatever letter case, else ""."""
    spelled = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), spelled, n=1, cutoff=_LIKENESS)
    return spelled[close[0]] if close else ""


#: Messages of libraries and Python if the system gives no more memory or no more threads.
_NO_MEMORY_WORDS = (
    "failed to map segment from shared object", "can't start new thread", "Cannot allocate memory", "kind: WouldBlock",
)  # fmt: skip

#: Error numbers of temporary conditions.
_FOR_A_WHILE = (
    errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOLCK, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH,
)  # fmt: skip


def refused_by_os(error: BaseException, doing: str) -> Error | None:
    """Return the same as `from_os_error`, and an error for every other refusal of the operating system."""
    known = from_os_error(error, doing) if isinstance(error, Exception) else None
    number = getattr(error, "errno", None)
    if known is not None or not isinstance(error, OSError) or not isinstance(number, int):
        return known
    where = f" ({error.filename})" if error.filename else ""
    said = f"The operating system reported an error while {doing}{where}: {os.strerror(number).lower()}."
    if number in _FOR_A_WHILE:
        return TryLater(said, "Run the same command again later.")
    return BadInput(said, "Correct this, or name another path, and run the same command again.")


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE_SQLITE = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_DENIED_SQLITE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
_NO_PATH = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
_NO_SPACE_WORDS = ("No space left on device", "os error 28", "File too large")


#: Functions that know the errors of more libraries by their text: object stores have one (`places/access.py`).
known_by_text: list[Callable[[Exception], Error | None]] = []


def from_os_error(error: Exception, doing: str) -> Error | None:
    """Return an error of the operating system as an Error with a hint; None if `error` is something else.

    Rust libraries pass the system's message on as text, so the text is read if there is no error number.
    """
    told = (knows(error) for knows in known_by_text)
    return next(filter(None, told), None) or _of_system(error, doing)


def _of_system(error: Exception, doing: str) -> Error | None:
    number = getattr(error, "errno", None)
    text = str(error)
    in_sqlite = getattr(error, "sqlite_errorname", None) in _NO_SPACE_SQLITE
    if number in _NO_SPACE or in_sqlite or any(words in text for words in _NO_SPACE_WORDS):
        return TryLater(
            f"No space is left on the disk while {doing}.",
            "Free some space and run the same command again: no half-written data is kept.",
        )
    where = getattr(error, "filename", None)
    named = f" ({where})" if where else ""
    if number == errno.EROFS or "Read-only file system" in text:
        return BadInput(
            f"Cannot write: the file system is read-only; this happened while {doing}{named}.",
            "Make it writable; under systemd, run `shp-miner schedule --install` again to allow the run its folders.",
        )
    if number in _NO_PATH:
        return BadInput(
            f"Invalid path while {doing}{named}: {os.strerror(number).lower()}.",
            "Name another path: a part of this one may be a file instead of a folder.",
        )
    if number == errno.EIO or "Input/output error" in text:
        return BadInput(
            f"The disk failed while {doing}{named}.", "Check the disk before you run the same command again."
        )
    denied_by_sqlite = getattr(error, "sqlite_errorname", "").startswith(_DENIED_SQLITE)
    if number in (errno.EACCES, errno.EPERM) or denied_by_sqlite or "Permission denied" in text:
        return BadInput(f"Permission was denied while {doing}{named}.", "Give your user access to it and run again.")
    return None
