"""How much each platform may be asked, and how each says that it was too much.

Platforms say so in headers, which are read here for all, and some in the body of an answer. What a body says is read by
the function `signals` of the platform's Limits: it gets the body, the headers (lower-case names), the status and the
time, and returns a Wait or None. It is called for every answer, whatever its status, and must not raise on any body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
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
    """A site's wish not to be asked before `until` (seconds since 1970).

    `why` completes a sentence that starts with the host: "asks for a pause (backoff)". With `method_only` it holds for
    the API method that was asked, otherwise for the whole host. With `retry` the answer that said so is no answer (a
    refusal with status 200 or 400), and the same is asked again after the wait.
    """

    until: float
    why: str
    method_only: bool = False
    retry: bool = False


#: (body, headers with lower-case names, status, seconds since 1970 now) -> Wait or None.
Signals = Callable[[bytes, Mapping[str, str], int, float], Wait | None]


def no_signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """For platforms that say everything in headers."""
    return None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How a site is asked: at most `requests` in `interval_s` seconds, `burst` of them without a gap.

    `pause_s` is the least time between two requests. What would take a wait longer than `max_wait_s` is not waited for:
    TryLater says until when. An answer may have `max_bytes`, unpacked too. What fails is asked `attempts` times in all,
    with pauses that start near `backoff_s` and double. `connect_s`, `read_s` (no byte for so long) and `total_s` (the
    whole answer) are time limits of one request.
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
    """What the headers of an answer ask for: Retry-After, or X-Ratelimit-Remaining and -Reset.

    Times of day are compared with the answer's own Date, so that it does not matter whose clock is wrong.
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
        why = "says that its requests are used up (X-Ratelimit-Remaining)"
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


# -- Stack Exchange ---------------------------------------------------------------------------------------------------


class _Wrapper(msgspec.Struct):
    backoff: float | None = None
    quota_remaining: int | None = None
    error_name: str | None = None
    error_message: str | None = None


_WRAPPER = msgspec.json.Decoder(_Wrapper)
_AVAILABLE_IN = re.compile(r"available in (\d+) second")


def stackexchange_signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """Stack Exchange: `backoff` holds for the method, a used up quota until midnight UTC, a throttle for its time."""
    try:
        wrapper = _WRAPPER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if wrapper.error_name == "throttle_violation":
        told = _AVAILABLE_IN.search(wrapper.error_message or "")
        if told:
            return Wait(now + float(told[1]), "says that this address has asked too often (throttle)", retry=True)
        # Without a time it is the quota of the day.
        return Wait(_next_midnight(now), "says that the quota of the day is used up", retry=True)
    if wrapper.quota_remaining is not None and wrapper.quota_remaining <= 0:
        return Wait(_next_midnight(now), "says that the quota of the day is used up", retry=status >= 400)
    if wrapper.backoff is not None and wrapper.backoff > 0:
        why = f"asks for a pause of {wrapper.backoff:.0f} s (backoff)"
        return Wait(now + wrapper.backoff, why, method_only=True, retry=status >= 400)
    return None


def _next_midnight(now: float) -> float:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).timestamp()


# -- Discourse --------------------------------------------------------------------------------------------------------


class _Extras(msgspec.Struct):
    wait_seconds: float


class _Limited(msgspec.Struct):
    extras: _Extras


_LIMITED = msgspec.json.Decoder(_Limited)


def discourse_signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """Discourse: `extras.wait_seconds` of a refusal."""
    if status != 429:
        return None
    try:
        wait_s = _LIMITED.decode(body).extras.wait_seconds
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Wait(now + max(0.0, wait_s), f"asks for a pause of {wait_s:.0f} s (wait_seconds)", retry=True)


# -- The platforms ----------------------------------------------------------------------------------------------------

#: 100 a minute and client, averaged over ten minutes (Reddit's API rules); PRAW paces itself by the headers as well.
REDDIT = Limits(requests=100, interval_s=60, burst=10)
#: A guest: one at a time, about one a second.
ARCTIC_SHIFT = Limits(requests=60, interval_s=60, pause_s=1.0)
#: 30 a second get an address banned; the daily quota is the real limit.
STACKEXCHANGE = Limits(requests=120, interval_s=60, burst=5, pause_s=0.1, signals=stackexchange_signals)
#: No documented number that holds for every instance: small machines, run by volunteers.
LEMMY = Limits(requests=60, interval_s=60, burst=5)
#: Half of the default of 200 a minute and 50 in 10 seconds, which other readers at the same address use too.
DISCOURSE = Limits(requests=100, interval_s=60, burst=10, signals=discourse_signals)
#: No documented number.
NODEBB = Limits(requests=60, interval_s=60, burst=5)
