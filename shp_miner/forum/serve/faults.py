"""Planned faults: how a forum behaves on a bad day, each fault as platforms really show it.

`Faults.add(fault, ...)` says which requests meet it; the server asks `Faults.meet` for every request. A fault that
answers by itself (429, 503, a login page) keeps the request from the platform's view; the others change its answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatchcase
from threading import Lock
from typing import Any, Literal

import msgspec

from shp_miner.errors import UsageError
from shp_miner.forum.serve.message import Request, Response

#: How a platform says "too many requests": `Retry-After` in seconds or as a date, Reddit's and Arctic Shift's counters
#: (the latter's reset is a time), Discourse's and Stack Exchange's body, or nothing but the status.
Signal = Literal[
    "retry_after_seconds", "retry_after_date", "reddit", "arctic_shift", "discourse", "stackexchange", "silent"
]

HTML = {"content-type": "text/html; charset=utf-8"}
LOGIN_PAGE = (
    "<!doctype html><html><head><title>Log in</title></head><body><form method=post action=/login>"
    "<input name=user><input name=password type=password><button>Log in</button></form></body></html>"
)


@dataclass(frozen=True)
class Delivery:
    """An answer and how it goes out.

    `clock` is the time in its Date header. It waits so many seconds before the answer and in the middle of its body,
    and breaks off after that share of the body.
    """

    response: Response
    clock: datetime
    before_s: float = 0
    midway_s: float = 0
    cut_at: float | None = None


Spoil = Callable[[Delivery], Delivery]
Instead = Callable[[datetime], Response]


@dataclass(frozen=True)
class Fault:
    """A way to misbehave: an answer in place of the platform's (made at its time), a spoilt one, a wrong clock."""

    name: str
    instead: Instead | None = None
    spoil: Spoil | None = None
    skew_s: float = 0


@dataclass
class Planned:
    """A fault and when it strikes; `struck` counts how often it did."""

    fault: Fault
    platform: str | None
    path: str
    query: Mapping[str, str]
    skip: int
    every: int | None
    next: int | None
    share: float | None
    chance: random.Random
    seen: int = 0
    struck: int = 0

    def strikes(self, platform: str, request: Request) -> bool:
        """Whether a request meets the fault. Counts it."""
        if self.platform not in (None, platform) or not fnmatchcase(request.path, self.path):
            return False
        if any(request.first(name) != value for name, value in self.query.items()):
            return False
        self.seen += 1
        number = self.seen - self.skip
        hit = number > 0
        if self.every is not None:
            hit = hit and number % self.every == 0
        if self.share is not None:
            hit = hit and self.chance.random() < self.share
        if self.next is not None:
            hit = hit and self.struck < self.next
        self.struck += hit
        return hit


@dataclass
class Faults:
    """The plan of a forum's misbehaviour. Several faults may meet one request; the log names each that happened."""

    planned: list[Planned] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(  # noqa: PLR0913  (each says which requests)
        self,
        fault: Fault,
        *,
        platform: str | None = None,
        path: str = "*",
        query: Mapping[str, str] | None = None,
        skip: int = 0,
        every: int | None = None,
        next: int | None = None,  # noqa: A002  (reads as what it is: add(fault, next=2))
        share: float | None = None,
        seed: int = 0,
    ) -> Planned:
        """Plan a fault for the requests to a platform (default all) whose path fits a pattern such as `/t/*`.

        `query` limits that to requests with these values. The first `skip` of them succeed. Of the others all meet the
        fault, or every n-th (`every`), or a share drawn from a seed; and no more than `next` in all. Raises UsageError
        for numbers out of range.
        """
        if skip < 0 or (every is not None and every < 1) or (next is not None and next < 0):
            raise UsageError("Invalid counts for a fault.", "Give `every` from 1, `skip` and `next` from 0.")
        if share is not None and not 0 <= share <= 1:
            raise UsageError(f"The share of requests is {share}; it must be from 0 to 1.", "Give 0.1 for a tenth.")
        chance = random.Random(seed)  # noqa: S311  (a test's dice, no secret)
        planned = Planned(fault, platform, path, query or {}, skip, every, next, share, chance)
        with self._lock:
            self.planned.append(planned)
        return planned

    def clear(self) -> None:
        """Remove all planned faults."""
        with self._lock:
            self.planned.clear()

    def meet(self, platform: str, request: Request) -> list[Fault]:
        """The faults that this request meets, in the order they were planned."""
        with self._lock:
            return [plan.fault for plan in self.planned if plan.strikes(platform, request)]


def delivered_answer(
    faults: list[Fault], now: datetime, respond: Callable[[], Response]
) -> tuple[Delivery, tuple[str, ...]]:
    """The answer to a request that meets these faults, and the names of those that happened.

    Of faults that answer in place of the platform the first is heard, and a fault that had nothing to spoil (no items
    to repeat, no such field) left the answer as it was: those did not happen.
    """
    first = next((fault for fault in faults if fault.instead), None)
    clock = now + timedelta(seconds=sum(fault.skew_s for fault in faults))
    delivery = Delivery(first.instead(clock) if first and first.instead else respond(), clock)
    names = []
    for fault in faults:
        spoilt = fault.spoil(delivery) if fault.spoil else delivery
        if fault is first or fault.skew_s or spoilt is not delivery:
            names.append(fault.name)
        delivery = spoilt
    return delivery, tuple(names)


def _counters(status: int, body: Any, remaining: str, reset: int) -> Response:
    return Response(status, body, {"x-ratelimit-remaining": remaining, "x-ratelimit-reset": str(reset)})


def _discourse(wait_s: int, _until: datetime) -> Response:
    extras = {"wait_seconds": wait_s, "time_left": f"{wait_s} seconds"}
    says = f"You've performed this action too many times. Please wait {wait_s} seconds before trying again."
    return Response(429, {"errors": [says], "error_type": "rate_limit", "extras": extras})


def _stackexchange(wait_s: int, _until: datetime) -> Response:
    says = f"too many requests from this IP, more requests available in {wait_s} seconds"
    return Response(400, {"error_id": 502, "error_name": "throttle_violation", "error_message": says})


_TOO_MANY = {"message": "Too Many Requests", "error": 429}

#: Each signal's answer, from the wait in seconds and the time when it ends.
_SIGNALS: dict[Signal, Callable[[int, datetime], Response]] = {
    "retry_after_seconds": lambda wait_s, _: Response(429, _TOO_MANY, {"retry-after": str(wait_s)}),
    "retry_after_date": lambda _, until: Response(429, _TOO_MANY, {"retry-after": format_datetime(until, usegmt=True)}),
    "reddit": lambda wait_s, _: _counters(429, _TOO_MANY, "0.0", wait_s),
    "arctic_shift": lambda _, until: _counters(
        429, {"data": None, "error": "Slow down a little"}, "0", math.ceil(until.timestamp())
    ),
    "discourse": _discourse,
    "stackexchange": _stackexchange,
    "silent": lambda _, __: Response(429, _TOO_MANY),
}


# What the platform says instead of an answer


def too_many(signal: Signal = "retry_after_seconds", wait_s: int = 2) -> Fault:
    """Status 429 with a platform's own signal to wait so many seconds (Stack Exchange: 400 and error 502)."""
    says = _SIGNALS[signal]
    return Fault("too_many", instead=lambda now: says(wait_s, now + timedelta(seconds=wait_s)))


def server_error(status: int = 503) -> Fault:
    """A page of the machine in front of the forum: 500, 502 or 503 in HTML."""
    words = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}.get(status, "Error")
    page = (
        f"<html>\r\n<head><title>{status} {words}</title></head>\r\n<body><h1>{status} {words}</h1></body>\r\n</html>"
    )
    return Fault("server_error", instead=lambda _now: Response(status, page, HTML))


def html_login() -> Fault:
    """A login page where JSON was asked for, with status 200."""
    return Fault("html_login", instead=lambda _now: Response(200, LOGIN_PAGE, HTML))


def expired_token() -> Fault:
    """Status 401: the token was good once."""
    headers = {"www-authenticate": 'Bearer realm="forum", error="invalid_token"'}
    body = {"message": "Unauthorized", "error": 401}
    return Fault("expired_token", instead=lambda _now: Response(401, body, headers))


def not_json() -> Fault:
    """An answer that claims to be JSON and is not."""
    headers = {"content-type": "application/json; charset=utf-8"}
    return Fault("not_json", instead=lambda _now: Response(200, b'{"items": [{"id": 1, "title": "Half a', headers))


# What happens to the platform's answer


def backoff(wait_s: int = 10) -> Fault:
    """Stack Exchange's wish in a good answer: so many seconds before the same method is asked again."""
    return Fault(
        "backoff", spoil=change_body(lambda body: {**body, "backoff": wait_s} if isinstance(body, dict) else body)
    )


def slow(before_s: float = 0.0, midway_s: float = 0.0) -> Fault:
    """Wait before the answer, or in the middle of its body."""
    return Fault(
        "slow",
        spoil=lambda delivery: replace(
            delivery, before_s=delivery.before_s + before_s, midway_s=delivery.midway_s + midway_s
        ),
    )


def cut(at: float = 0.5) -> Fault:
    """Break off after a share of the body; Content-Length promised all of it."""
    return Fault("cut", spoil=lambda delivery: replace(delivery, cut_at=at))


def changed_types(missing: str | None = None) -> Fault:
    """Numbers come as strings; or, if a field is named, it is missing wherever it was."""
    if missing is None:
        return Fault("changed_types", spoil=change_body(_numbers_as_strings))
    return Fault("changed_types", spoil=change_body(lambda body: _without(body, missing)))


def duplicated() -> Fault:
    """The items of a page come twice, one after the other."""
    return Fault("duplicated", spoil=change_body(lambda body: change_items(body, lambda items: items + items)))


def reordered() -> Fault:
    """The items of a page come in the opposite order."""
    return Fault("reordered", spoil=change_body(lambda body: change_items(body, lambda items: items[::-1])))


def clock_skew(offset_s: float) -> Fault:
    """The server's clock is off by so many seconds: its Date header, and times in the headers of other faults."""
    return Fault("clock_skew", skew_s=offset_s)


def change_body(change: Callable[[Any], Any]) -> Spoil:
    """Change a body of JSON; the view's own objects stay as they are, and other bodies too."""

    def spoil(delivery: Delivery) -> Delivery:
        body = delivery.response.body
        before = body if isinstance(body, bytes) else msgspec.json.encode(body)
        try:
            changed = change(msgspec.json.decode(before))
        except msgspec.DecodeError:
            return delivery
        after = msgspec.json.encode(changed)
        if after == before:
            return delivery
        return replace(
            delivery, response=replace(delivery.response, body=after if isinstance(body, bytes) else changed)
        )

    return spoil


def _numbers_as_strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers_as_strings(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers_as_strings(part) for part in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(part, name) for key, part in value.items() if key != name}
    return [_without(part, name) for part in value] if isinstance(value, list) else value


def change_items(body: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    """The body with its items changed in place: the longest list of objects, the outermost of equally long ones.

    A body that is a list itself (Reddit's post and comments) holds parts rather than items, unless it is all there is.
    """
    lists = list(_lists(body))
    inner = [candidate for candidate in lists if candidate is not body] or lists
    if inner:
        items = max(inner, key=len)
        items[:] = change(items)
    return body


def _lists(value: Any) -> Iterator[list[Any]]:
    """All lists of objects, outer ones first."""
    level = [value]
    while level:
        yield from (part for part in level if isinstance(part, list) and part and isinstance(part[0], Mapping))
        level = [inner for part in level for inner in _inside(part)]


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
