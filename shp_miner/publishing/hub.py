"""Asks the Hub through huggingface_hub: waits and asks again where that may help, and turns failures into Errors.

The library finds the token and the endpoint (`HF_ENDPOINT`) itself. The token is never an option and never printed.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from shp_miner.errors import BadInput, Error, NotAllowed, TryLater, UsageError
from shp_miner.sources.limits import header_wait

if TYPE_CHECKING:
    from huggingface_hub import HfApi

log = logging.getLogger("shp_miner")

Answer = TypeVar("Answer")

#: Statuses of a request that may succeed later.
_FOR_A_WHILE = (408, 429, 500, 502, 503, 504)

#: Statuses of a commit whose parent is not the newest commit any more.
_OVERTAKEN = (409, 412)

#: Requests for one answer, the first wait between two, and the longest wait that a push sits out, in seconds.
_TRIES, _FIRST_WAIT_S, _LONGEST_WAIT_S = 6, 1.0, 300.0

#: Seconds after which a silent connection counts as cut. A commit of many files takes the Hub minutes.
_SILENCE_S = 300.0

#: Characters of the Hub's own message that are shown.
_WORDS_MOST = 200

#: How the client of the Hub's storage writes a refusal, in an error for connections.
_XET_STATUS = re.compile(r"HTTP status client error \((\d{3})\b")

_TOKEN_HINT = "Run `hf auth login`, or set HF_TOKEN to a token that may write to this data set."  # noqa: S105
_RESUME = "Run the same command again: files that are there already are not sent again."


class Overtaken(TryLater):
    """Somebody else changed the data set between looking at it and the commit."""


class NotThere(NotAllowed):
    """The data set does not exist, or the token may not see it."""


class Hub:
    """The Hub that huggingface_hub is set to."""

    def __init__(self) -> None:
        from huggingface_hub import HfApi, constants  # noqa: PLC0415

        self.endpoint: str = constants.ENDPOINT
        self.api: HfApi = HfApi(endpoint=self.endpoint, library_name="shp-miner", library_version=version("shp-miner"))

    @property
    def name(self) -> str:
        """The endpoint without credentials, for messages and notes."""
        address = urlsplit(self.endpoint)
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"

    def has_token(self) -> bool:
        """Return whether the library finds a token."""
        from huggingface_hub import get_token  # noqa: PLC0415

        return get_token() is not None

    def ask(self, doing: str, call: Callable[[], Answer], *, tries: int = _TRIES) -> Answer:
        """Return what `call` returns. Repeats it while the Hub is busy or away, with the wait that the Hub asks for.

        `doing` completes a sentence ("reading user/name"). Raises NotThere, Overtaken, and other Errors.
        """
        wait_s = _FIRST_WAIT_S
        for left in reversed(range(tries)):
            try:
                return call()
            except Exception as error:
                failed = _hub_error(error, doing, self.name)
                if failed is None:
                    raise
                log.debug("the Hub, while %s: %s", doing, type(error).__name__)
                asked_s = _asked_wait_s(error)
                if not left or type(failed) is not TryLater or (asked_s or 0) > _LONGEST_WAIT_S:
                    # An address may have a password, and the library's messages have the address.
                    raise failed from None if "@" in urlsplit(self.endpoint).netloc else error
            time.sleep(wait_s if asked_s is None else asked_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")

    def get(self, url: str) -> Any:
        """Return the response to a GET with the token; raises as huggingface_hub does."""
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # noqa: PLC0415

        response = get_session().get(url, headers=build_hf_headers(), follow_redirects=True)
        hf_raise_for_status(response)
        return response


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keep the library's own bars and warnings off the terminal, and let no silent connection wait for ever."""
    import httpx2  # noqa: PLC0415
    from huggingface_hub.utils import (  # noqa: PLC0415
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        get_session,
    )
    from huggingface_hub.utils import logging as library_log  # noqa: PLC0415

    level, bars = library_log.get_verbosity(), not are_progress_bars_disabled()
    session = get_session()
    before = session.timeout
    session.timeout = httpx2.Timeout(_SILENCE_S, connect=30.0)
    library_log.set_verbosity(logging.ERROR)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        session.timeout = before
        library_log.set_verbosity(level)
        if bars:
            enable_progress_bars()


def _asked_wait_s(error: BaseException) -> float | None:
    """Return the seconds that the Hub asks to wait, by Retry-After or its rate limit; None if it does not say."""
    from huggingface_hub.utils import parse_ratelimit_headers  # noqa: PLC0415

    response = getattr(_cause(error), "response", None)
    if response is None:
        return None
    wait = header_wait(response.headers, response.status_code, 0.0)
    if wait is not None:
        return wait.until
    limit = parse_ratelimit_headers(response.headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else None


def _cause(error: BaseException) -> BaseException:
    """Return the error behind the one that the library wraps around failed uploads."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _hub_error(raised: BaseException, doing: str, hub: str) -> Error | None:
    """Return a failure as an Error; None if it is not the Hub's."""
    import httpx2  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    error = _cause(raised)
    found: Error | None = None
    if isinstance(error, Error):
        found = error
    elif isinstance(error, errors.OfflineModeIsEnabled):
        found = UsageError(f"HF_HUB_OFFLINE is set: nothing can be asked while {doing}.", "Unset it and run again.")
    elif isinstance(error, errors.LocalTokenNotFoundError):
        found = no_token()
    elif isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        found = _refused(error, doing, hub) or _of_status(error, error.response.status_code, doing, hub)
    elif isinstance(error, httpx2.TransportError | errors.FileMetadataError):
        found = TryLater(f"The connection to {hub} failed while {doing}.", _RESUME)
    elif isinstance(error, json.JSONDecodeError):
        found = TryLater(f"{hub} answers with something that is not JSON, while {doing}.", _RESUME)
    return found or _of_upload(error, doing, hub)


def _of_upload(error: BaseException, doing: str, hub: str) -> Error | None:
    """Return an error for what the two ways of uploading raise; None for anything else."""
    status = _XET_STATUS.search(str(error)) if isinstance(error, RuntimeError | ConnectionError) else None
    if type(error).__name__ == "XetAuthenticationError" or (status and status[1] == "401"):
        return NotAllowed(f"{hub} refuses the token, while {doing}.", _TOKEN_HINT)
    if status and status[1] == "403":
        return NotAllowed(f"{hub} does not allow this with this token, while {doing}.", _TOKEN_HINT)
    if isinstance(error, RuntimeError | TimeoutError | ConnectionError):
        return TryLater(f"The connection to {hub} failed while {doing} ({type(error).__name__}).", _RESUME)
    if isinstance(error, ValueError) and str(error).startswith("LFS batch API"):
        said = " ".join(str(error).rpartition("`")[2].split())[:_WORDS_MOST]
        return BadInput(f"{hub} does not take a file, while {doing}: {said}", "Correct this and run again.")
    return None


def no_token() -> NotAllowed:
    """Return the error if the library finds no token."""
    return NotAllowed("There is no token for the Hub.", _TOKEN_HINT)


def _refused(error: Any, doing: str, hub: str) -> Error | None:
    """Return an error for what is not there; None for anything else."""
    from huggingface_hub import errors  # noqa: PLC0415

    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"A revision does not exist there, while {doing}.", "Check --revision.")
    if isinstance(error, errors.RepositoryNotFoundError) and not isinstance(error, errors.GatedRepoError):
        return NotThere(f"{hub} has no such data set, or the token may not see it, while {doing}.", _TOKEN_HINT)
    return None


def _of_status(error: Any, status: int, doing: str, hub: str) -> Error:
    said = _words_of(error)
    if status == 401:
        return NotAllowed(f"{hub} refuses the token, while {doing}.", _TOKEN_HINT)
    if status == 403:
        return NotAllowed(f"{hub} does not allow this with this token, while {doing}{said}.", _TOKEN_HINT)
    if status in _OVERTAKEN:
        return Overtaken(
            f"Another change came first, while {doing}{said}.",
            "Nothing of this commit is there. Run the same command again: it looks at what is there by then.",
        )
    if status in _FOR_A_WHILE:
        return TryLater(f"{hub} answers with status {status}, while {doing}.", _RESUME)
    return BadInput(f"{hub} refuses with status {status}, while {doing}{said}.", "Correct this and run again.")


def _words_of(error: Any) -> str:
    """Return what the Hub says about a refusal, shortened, as the end of a sentence; "" if it says nothing."""
    from huggingface_hub import get_token  # noqa: PLC0415

    words = " ".join(str(error.server_message or "").split())[:_WORDS_MOST].rstrip(".")
    token = get_token()
    return f": {words}" if words and not (token and token in words) else ""
