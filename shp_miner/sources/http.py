"""Polite requests to one site's API: paced, repeated, limited, and without secrets in messages.

    with Http("https://lemmy.example", limits=LEMMY, clocks=clocks, budget=budget) as http:
        page = http.get("/api/v3/post/list", PostList, params={"limit": 50}, method="post/list")

Beside it: limits.py (what platforms allow, and their signals for too many requests), pace.py (clocks, budgets,
waiting), call.py (one request), attempts.py (its repetitions), connect.py (which addresses), decode.py (bodies).
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

import httpx2
import msgspec

from shp_miner.errors import UsageError
from shp_miner.sources.attempts import Silent
from shp_miner.sources.call import Call, Params, Refused, Site, Unexpected
from shp_miner.sources.connect import transport
from shp_miner.sources.limits import Limits, Signals, Wait
from shp_miner.sources.pace import SYSTEM, Budget, Clock, Clocks, MemoryClocks, OverBudget, Pace

__all__ = [
    "SYSTEM",
    "Budget",
    "Clock",
    "Clocks",
    "Http",
    "Limits",
    "MemoryClocks",
    "OverBudget",
    "Pace",
    "Params",
    "Refused",
    "Signals",
    "Silent",
    "Unexpected",
    "Wait",
]

T = TypeVar("T")

_SECRET_HEADER = re.compile(r"authorization|cookie|token|key|secret", re.IGNORECASE)
_HOST = re.compile(rb"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_PORTS = {"http": 80, "https": 443}

#: No parameters and no headers.
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Http:
    """One site's API, at `base` (which may have a path). Several threads may use it.

    `clocks` shares limits and requested waits with other processes; without it they last as long as this object.
    `headers` go with every request; credentials among their values, and `secrets`, appear in no message. `client` is
    used as it is, without the check of addresses. `jitter` spreads the pauses after failures.
    """

    def __init__(  # noqa: PLR0913 - each is a part that tests or callers exchange
        self,
        base: str,
        *,
        limits: Limits,
        clocks: Clocks | None = None,
        clock: Clock = SYSTEM,
        client: httpx2.Client | None = None,
        headers: Mapping[str, str] = NOTHING,
        secrets: Collection[str] = (),
        allow_private: bool = False,
        budget: Budget | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        url = _address(base)
        port = f":{url.port}" if url.port not in (None, _PORTS[url.scheme]) else ""
        host = f"[{url.host}]" if ":" in url.host else url.host
        self._site = Site(
            base=url,
            limits=limits,
            client=client or httpx2.Client(transport=transport(url, allow_private), trust_env=False),
            headers=_sound(
                {
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip, deflate",
                    "User-Agent": limits.user_agent,
                    **headers,
                }
            ),
            secrets=frozenset((*secrets, *_credentials(headers))),
            pace=Pace(host + port, limits, clocks=clocks, clock=clock, budget=budget, jitter=jitter),
        )

    @property
    def host(self) -> str:
        """The host with its port, if that is unusual: what sentences call the site."""
        return self._site.host

    @property
    def encrypted(self) -> bool:
        """Whether the site has redirected requests from http:// to https://."""
        return self._site.encrypted

    @property
    def requests(self) -> int:
        """The number of requests sent so far, with repetitions and redirects."""
        return self._site.requests

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._site.client.close()

    def get(
        self,
        path: str,
        type: type[T],  # noqa: A002
        *,
        params: Params = NOTHING,
        method: str = "",
        strict: bool = True,
    ) -> T:
        """The JSON at a path as `type`. `strict=False` also takes "1" for 1, where a platform writes both.

        `method` names the API method, where a platform has limits for each. Raises Refused (401, 403, a
        log-in), Unexpected (other 400s, a web page), BadInput (another shape), Silent (nothing in the body), TryLater
        (down, or a wait that is too long), OverBudget.
        """
        return Call(self._site, "GET", path, params, method).fetch(type, strict)

    def get_or_none(
        self,
        path: str,
        type: type[T],  # noqa: A002
        *,
        params: Params = NOTHING,
        method: str = "",
        strict: bool = True,
    ) -> T | None:
        """As `get`, and None if the API itself answers that the item does not exist (404, 410, and JSON).

        A web page or an empty body with these statuses does not count: a proxy or another program wrote it.
        """
        try:
            return self.get(path, type, params=params, method=method, strict=strict)
        except Unexpected as error:
            if error.status in (404, 410) and error.spoken:
                return None
            raise

    def post(
        self,
        path: str,
        type: type[T],  # noqa: A002
        *,
        json: Any = None,
        params: Params = NOTHING,
        method: str = "",
        strict: bool = True,
    ) -> T:
        """As `get`, for calls that an API wants posted. It is repeated after failures, so the call must only read."""
        content = None if json is None else msgspec.json.encode(json)
        return Call(self._site, "POST", path, params, method, content).fetch(type, strict)


def _address(base: str) -> httpx2.URL:
    """A site's address. The text is not in the sentences: it may hold a password."""
    wanted = "Write it like https://forum.example."
    try:
        url = httpx2.URL(base.rstrip("/"))
    except httpx2.InvalidURL:
        raise UsageError("The site's address is not a URL.", wanted) from None
    if url.scheme not in _PORTS or not _HOST.fullmatch(url.raw_host):
        raise UsageError("The site's address must start with https:// and a host.", wanted)
    if url.userinfo or url.query or url.fragment:
        raise UsageError("The site's address may have only a host and a path.", wanted)
    return url


def _sound(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise UsageError(
                f"The header {name} contains a line break or a character that headers cannot carry.",
                "Check the credential for stray characters.",
            )
    return headers


def _credentials(headers: Mapping[str, str]) -> list[str]:
    """The values of headers that are named like credentials, and their last words: "Bearer abc" and "abc"."""
    values = [value for name, value in headers.items() if _SECRET_HEADER.search(name)]
    return [*values, *(value.split()[-1] for value in values if value.strip())]
