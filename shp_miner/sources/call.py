"""One request to a site: sent, repeated, redirected within the site, and read or turned into an error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

import httpx2

from shp_miner.errors import BadInput, NotAllowed
from shp_miner.sources.attempts import Again, Answer, failure_of, repeated_attempts, send_once
from shp_miner.sources.decode import Instead, NotJson, WrongShape, decode_body, is_html, is_login, page_kind
from shp_miner.sources.limits import Limits
from shp_miner.sources.pace import Pace

T = TypeVar("T")

#: Query parameters; None leaves one out, a sequence repeats it, booleans become "true" and "false".
Params = Mapping[str, str | int | float | bool | Sequence[str | int] | None]

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5

#: Parameters whose values are secrets by their name.
_SECRET_PARAMS = frozenset(("key", "access_token", "api_key", "apikey", "client_secret"))


class Refused(Instead, NotAllowed):
    """401, 403, or a redirect to a log-in page."""


class Unexpected(Instead, BadInput):
    """Another status in the 400s, or a web page with any status."""


@dataclass
class Site:
    """What all requests to a site share."""

    base: httpx2.URL
    limits: Limits
    client: httpx2.Client
    headers: Mapping[str, str]
    secrets: frozenset[str]
    pace: Pace
    requests: int = 0
    answered: bool = False
    #: Whether the site sent a request on from http:// to https://.
    encrypted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        """The host, with its port if it is unusual: the name of the site in messages."""
        return self.pace.host

    def count(self) -> None:
        """Count a request that is being sent."""
        with self._lock:
            self.requests += 1


class Call:
    """One request with its repetitions and redirects."""

    def __init__(
        self, site: Site, verb: str, path: str, params: Params, method: str, content: bytes | None = None
    ) -> None:
        self._site = site
        self._verb = verb
        self._path = path
        self._params = {name: value for name, value in params.items() if value is not None}
        self._method = method
        self._content = content
        self._secrets = site.secrets | {
            str(value) for name, value in self._params.items() if name.lower() in _SECRET_PARAMS
        }

    def fetch(self, kind: type[T], strict: bool) -> T:
        """Return the answer as `kind`, after as many attempts as the limits allow."""
        with _quiet_libraries():
            return repeated_attempts(
                self._site.pace, self._hidden(self._path), lambda number: self._attempt(number, kind, strict)
            )

    def _attempt(self, number: int, kind: type[T], strict: bool) -> T:
        url, params = self._url(), self._params
        for hop in range(_MAX_REDIRECTS + 1):
            self._site.pace.before(self._method)
            answer = self._send(url, params)
            wait = self._site.pace.after(self._method, answer.status, answer.headers, answer.body, number)
            if wait is not None:
                raise Again(wait.why, told=True)
            if answer.status not in _REDIRECTS:
                return self._read(answer, kind, strict, redirected=hop > 0)
            url, params = self._target(url, answer), {}
        raise self._bad(f"redirects {{path}} more than {_MAX_REDIRECTS} times")

    def _url(self) -> httpx2.URL:
        try:
            return httpx2.URL(f"{self._site.base}".rstrip("/") + self._path)
        except httpx2.InvalidURL:
            pass
        raise self._bad("cannot be asked for {path}: the path is not valid")

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send(self, url: httpx2.URL, params: dict[str, Any]) -> Answer:
        # Raised below, outside the handler: the library's errors hold the address with its query.
        try:
            return self._exchange(url, params)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            found = failure_of(error, self._site.host, answered=self._site.answered)
            found = found or self._bad(f"cannot be asked for {{path}} ({type(error).__name__})")
        raise found

    def _exchange(self, url: httpx2.URL, params: dict[str, Any]) -> Answer:
        limits = self._site.limits
        request = self._site.client.build_request(
            self._verb,
            url,
            params=params or None,
            content=self._content,
            headers={**self._site.headers, **({"Content-Type": "application/json"} if self._content else {})},
            timeout=httpx2.Timeout(limits.read_s, connect=limits.connect_s),
            extensions={"total_s": limits.total_s},
        )
        self._site.count()
        answer = send_once(self._site.client, request, limits)
        if answer is None:
            raise self._bad(f"answered {{path}} with more than {limits.max_bytes:,} bytes", "The answer was discarded.")
        self._site.answered = True
        return answer

    def _target(self, url: httpx2.URL, answer: Answer) -> httpx2.URL:
        """Where a redirect leads, if that is the same site."""
        location = answer.headers.get("location", "")
        try:
            target = url.join(location)
        except httpx2.InvalidURL:
            location, target = "", url
        if not location or (self._verb != "GET" and answer.status not in (307, 308)):
            raise self._bad("redirects {path} to no valid address")
        below = target.path.removeprefix(self._site.base.path.rstrip("/"))
        if is_login(below):
            raise self._login(answer)
        same = (target.scheme, target.host, target.port) == (url.scheme, url.host, url.port)
        upgraded = (url.scheme, target.scheme) == ("http", "https") and target.host == url.host
        if not same and not upgraded:
            where = f"{target.scheme}://{target.netloc.decode('ascii', 'replace')}"
            raise self._bad(f"redirects {{path}} to another site, {where}", "If you mean that site, use its address.")
        self._site.encrypted = self._site.encrypted or upgraded
        return target

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, answer: Answer, kind: type[T], strict: bool, redirected: bool) -> T:
        status, body = answer.status, answer.body
        page = is_html(body, answer.headers)
        if status >= 500 or status in (408, 425):
            raise Again(f"answered with status {status}")
        if page and redirected and page_kind(body) == "a login page":
            raise self._login(answer)
        if status >= 300 or page:
            raise self._refusal(answer, page)
        try:
            return decode_body(body, kind, strict)
        except NotJson:
            failure: Exception = Again("sent an answer that is not JSON", empty=not body.strip())
        except WrongShape as error:
            failure = self._bad(
                f"answered {{path}} in an unknown shape: {error}", "The site may run other software or another version."
            )
        raise failure

    def _refusal(self, answer: Answer, page: bool) -> Exception:
        status = answer.status
        kind = Refused if status in (401, 403) else Unexpected
        said = Instead()
        said.status, said.body, said.page = status, answer.body, page
        what = said.what()
        text = f"{self._site.host} answered {self._path} with status {status}{what and f' ({what})'}."
        if status < 300:
            text = f"{self._site.host} answered {self._path} with {what} instead of JSON."
            hint = "Check the address: the site may run other software or require a login."
        elif kind is Refused:
            hint = "Check the credentials and whether the site is public."
        else:
            hint = "Check the address and the name of the community."
        return self._instead(kind(self._hidden(text), hint), answer, page)

    def _login(self, answer: Answer) -> Exception:
        text = self._hidden(f"{self._site.host} redirects {self._path} to a log-in page.")
        error = self._instead(Refused(text, "Only public content is crawled."), answer, page=False)
        error.login = True
        return error

    def _instead(self, error: Refused | Unexpected, answer: Answer, page: bool) -> Refused | Unexpected:
        error.status, error.body, error.page = answer.status, answer.body, page
        return error

    def _bad(self, what: str, hint: str = "Check the address.") -> BadInput:
        """A sentence that starts with the host; {path} in it becomes the path."""
        return BadInput(self._hidden(f"{self._site.host} {what.replace('{path}', self._path)}."), self._hidden(hint))

    def _hidden(self, text: str) -> str:
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            for written in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(written, "***")
        return text


# -- Other libraries' logs --------------------------------------------------------------------------------------------

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def _not_ours(record: logging.LogRecord) -> bool:  # noqa: ARG001
    return not _quiet.get()


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep what the libraries log of our requests out of all logs: it holds addresses with their queries."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


for _name in (
    "httpx2",
    *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
):
    logging.getLogger(_name).addFilter(_not_ours)
