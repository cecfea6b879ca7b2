"""Limits of requests to a site, and its signals for too many requests.

The numbers are in each platform's module. Platforms signal in headers, which are read here for all, and some in bodies.
A body is read by the function `signals` of the platform's Limits: it gets the body, the headers (lower-case names), the
status and the time, and returns a Wait or None. It is called for every answer, whatever its status, and must not raise
on any body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import msgspec

#: Says who asks, as operators of forums wish it.
USER_AGENT = f"shp-miner/{version('shp-miner')} (reads public forum threads for research)"

#: No wait longer than this is believed: a broken clock on either side must not stop a crawl for years.
LONGEST_WAIT_S = 24 * 3600.0

#: X-Ratelimit-Reset holds seconds; above this it is a time since 1970.
_EPOCH_S = 1e9

#: Statuses with which Retry-After means "ask the same again then".
_ASK_AGAIN = (403, 408, 425, 429, 500, 502, 503, 504)


class Wait(msgspec.Struct, frozen=True):
    """A site's request not to be asked before `until` (seconds since 1970).

    `why` completes a sentence that starts with the host: "asks for a pause (backoff)". With `method_only` the wait
    holds for that API method, otherwise for the whole host. With `retry` the answer is a refusal (with status 200 or
    400), and the same request is sent again after the wait.
    """

    until: float
    why: str
    method_only: bool = False
    retry: bool = False


#: (body, headers with lower-case names, status, seconds since 1970 now) -> Wait or None.
Signals = Callable[[bytes, Mapping[str, str], int, float], Wait | None]


def no_signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """Return None: for platforms that signal in headers only."""
    return None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How a site may be requested: at most `requests` in `interval_s` seconds, `burst` of them without a gap.

    `pause_s` is the least time between two requests. A wait longer than `max_wait_s` raises TryLater, which says until
    when. An answer may have `max_bytes`, also unpacked. A failed request is sent `attempts` times in all, with pauses
    that start near `backoff_s` and double. `connect_s`, `read_s` (without any byte) and `total_s` (the whole answer)
    are time limits of one request.
    """

    requests: int = 60
    interval_s: float = 60.0
    burst: int = 1
    pause_s: float = 0.0
    user_agent: str = USER_AGENT
    signals: Signals = no_signals
    max_bytes: int = 32 * 1024 * 1024
    max_wait_s: float = 300.0
    attempts: int = 5
    backoff_s: float = 1.0
    connect_s: float = 10.0
    read_s: float = 30.0
    total_s: float = 120.0


def header_wait(headers: Mapping[str, str], status: int, now: float) -> Wait | None:
    """Return the wait that an answer's headers request: Retry-After, or X-Ratelimit-Remaining and -Reset.

    Times of day are compared with the answer's own Date, so a wrong clock on either side does not matter.
    """
    theirs = _date(headers.get("date", "")) or now
    waits = []
    retry_s = _retry_after_s(headers.get("retry-after", ""), theirs) if status >= 400 else None
    if retry_s is not None:
        why = f"asks for a pause (status {status}, Retry-After)"
        waits.append(Wait(now + max(0.0, retry_s), why, retry=status in _ASK_AGAIN))
    remaining = _number(headers.get("x-ratelimit-remaining", ""))
    reset = _number(headers.get("x-ratelimit-reset", ""))
    if reset is not None and (status == 429 or (remaining is not None and remaining < 1)):
        reset_s = reset - theirs if reset > _EPOCH_S else reset
        why = "reports that its requests are used up (X-Ratelimit-Remaining)"
        waits.append(Wait(now + max(0.0, reset_s), why, retry=status == 429))
    return max(waits, key=lambda wait: wait.until, default=None)


def _retry_after_s(text: str, theirs: float) -> float | None:
    seconds = _number(text)
    if seconds is not None:
        return seconds
    date = _date(text)
    return None if date is None else date - theirs


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
