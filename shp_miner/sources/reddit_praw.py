"""The path of PRAW's requests: one by one, and paced like those of every other source.

PRAW's own pacing is not used, because it ends with the process: it waits by the headers of its last answer, sleeps
without a replaceable clock, repeats failed requests, and never repeats one that was refused with 429. Here a request of
PRAW goes through a `Gate`, which does all of that with the clocks and the budget of the crawl. PRAW sees good answers
only, without the headers that would make it wait again.

No `praw.ini` is read, neither one in the current folder (it could name another host for the credentials) nor one of the
user. All settings come from parameters or from the environment.
"""

from __future__ import annotations

import os
import re
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from threading import Lock
from typing import Any

import httpx2
import msgspec
import praw
import praw.config
import prawcore
import requests

from shp_miner.errors import BadInput, NotAllowed
from shp_miner.sources.attempts import Again, Answer, failure_of, repeated_attempts, send_once
from shp_miner.sources.connect import transport
from shp_miner.sources.decode import Instead, is_html, is_login
from shp_miner.sources.limits import Limits
from shp_miner.sources.pace import SYSTEM, Budget, Clock, Clocks, Pace
from shp_miner.sources.table import ROWS

API_URL, LOGIN_URL = "https://oauth.reddit.com", "https://www.reddit.com"

_VARIABLES = {credential.key.removeprefix("reddit_"): credential.variable for credential in ROWS["reddit"].credentials}
_ACCESS = (
    "Reddit gives API access on request (reddit.com/prefs/apps and its developer form). If you have an app, set "
    f"{', '.join(_VARIABLES.values())} (your user name) in the environment; "
    "`shp-miner docs crawling#reddit-credentials` says how, and `shp-miner docs cron#credentials` where a regular run "
    "finds them. Otherwise use dump files (`import reddit-dump`) or the archive (`crawl arctic-shift`)."
)

_USER = re.compile(r"(?:/?u/)?([A-Za-z0-9_-]{3,20})")
_REASON = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class Credentials:
    """An app of the user's own. An empty secret is right for an "installed app", which has none.

    `user_agent` is the Reddit name of whoever runs the crawl, or a whole User-Agent.
    """

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    user_agent: str

    @classmethod
    def find(
        cls,
        client_id: str | None = None,
        client_secret: str | None = None,
        user_agent: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Credentials:
        """Return the credentials; those not given come from SHP_MINER_REDDIT_*. Raises NotAllowed if one is missing."""
        given = {"client_id": client_id, "client_secret": client_secret, "user_agent": user_agent}
        found = {name: environ.get(_VARIABLES[name]) if value is None else value for name, value in given.items()}
        missing = [
            _VARIABLES[name] for name, value in found.items() if value is None or not (value or "secret" in name)
        ]
        if missing:
            raise NotAllowed(f"Reddit requires credentials. Not set: {', '.join(missing)}.", _ACCESS)
        return cls(**{name: (value or "").strip() for name, value in found.items()})

    def header(self) -> str:
        """Return the User-Agent in the form that Reddit asks for. Raises NotAllowed if it would not be one."""
        user = _USER.fullmatch(self.user_agent)
        if user:
            return f"{sys.platform}:shp-miner:v{version('shp-miner')} (by /u/{user[1]})"
        if not self.user_agent.isascii() or not self.user_agent.isprintable() or len(self.user_agent) < 10:
            raise NotAllowed("The user agent for Reddit is neither a user name nor a User-Agent.", _ACCESS)
        return self.user_agent


class Refused(Instead, Exception):
    """A refusal: Reddit's word for the reason if it gives one ("private"), and the request."""

    def __init__(self, answer: Answer, path: str) -> None:
        self.status, self.body, self.path = answer.status, answer.body, path
        self.page = is_html(answer.body, answer.headers)
        self.reason = _reason(answer.body)
        self.login = 300 <= self.status < 400 and is_login(httpx2.URL(answer.headers.get("location", "")).path)
        super().__init__(f"status {self.status} for {self.path}")

    @property
    def message(self) -> str:
        """What happened, as a sentence."""
        what = "a redirect to a log-in page" if self.login else self.what()
        return f"Reddit answered {self.path} with status {self.status}{what and f' ({what})'}."


class TokenExpired(Exception):
    """The token has expired; a new one is needed."""


class Gate:
    """Sends requests to the two hosts of Reddit: the API, and the host that gives out tokens.

    `requests` counts the requests sent. Redirects are not followed, answers have a maximum size, and every wait has a
    limit. A name that resolves to a private address is not requested unless `allow_private`.
    """

    def __init__(
        self,
        *,
        api_url: str,
        login_url: str,
        limits: Limits,
        clocks: Clocks | None = None,
        clock: Clock = SYSTEM,
        budget: Budget | None = None,
        allow_private: bool = False,
    ) -> None:
        self.requests = 0
        self.limits = limits
        self._hosts: dict[str, tuple[Pace, httpx2.Client]] = {}
        for url in map(httpx2.URL, (api_url, login_url)):
            if url.scheme != "https" and not allow_private:
                raise BadInput("Reddit's address does not start with https://.", "Credentials are sent over TLS only.")
            pace = Pace(url.netloc.decode("ascii"), limits, clocks=clocks, clock=clock, budget=budget)
            client = httpx2.Client(transport=transport(url, allow_private), trust_env=False)
            self._hosts.setdefault(_origin(url), (pace, client))
        self._timeout = httpx2.Timeout(limits.read_s, connect=limits.connect_s)
        self._lock = Lock()

    def close(self) -> None:
        """Close the connections."""
        for _, client in self._hosts.values():
            client.close()

    def send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Return the good answer to a request. Raises Refused, TokenExpired, BadInput, TryLater and OverBudget."""
        address = httpx2.URL(url)
        if _origin(address) not in self._hosts:
            raise BadInput("A request to Reddit was about to go to another host.", "Please report this.")
        pace, client = self._hosts[_origin(address)]
        request = client.build_request(
            method, url, timeout=self._timeout, extensions={"total_s": self.limits.total_s}, **kwargs
        )
        with self._lock:
            return repeated_attempts(pace, address.path, lambda number: self._attempt(pace, client, request, number))

    def _attempt(self, pace: Pace, client: httpx2.Client, request: httpx2.Request, number: int) -> requests.Response:
        pace.before()
        self.requests += 1
        host, path = pace.host, request.url.path
        try:
            answer = send_once(client, request, self.limits)
        except httpx2.RequestError as error:
            unknown = BadInput(f"{host} cannot be asked for {path} ({type(error).__name__}).", "Please report this.")
            raise failure_of(error, host, answered=self.requests > 1) or unknown from None
        if answer is None:
            raise BadInput(
                f"{host} answered {path} with more than {self.limits.max_bytes:,} bytes.",
                "Leave this thread out, or import it from a dump.",
            )
        wait = pace.after("", answer.status, answer.headers, answer.body, number)
        if wait is not None:
            raise Again(wait.why, told=True)
        if why := _failed(answer):
            raise Again(why, empty=answer.status == 200 and not answer.body.strip())
        return _checked(answer, path)


class GatedRequestor(prawcore.Requestor):
    """Sends PRAW's requests through a gate."""

    def __init__(self, *, gate: Gate, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._gate = gate
        self._name = f"{kwargs['user_agent']} prawcore/{prawcore.__version__}"

    def request(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> requests.Response:  # noqa: ARG002
        """Send through the gate, by its rules. PRAW's time limit is not used, and files are never sent."""
        method, url = args
        headers = {"User-Agent": self._name, **(kwargs.get("headers") or {})}
        if auth := kwargs.get("auth"):
            headers["Authorization"] = "Basic " + b64encode(":".join(auth).encode()).decode()
        form = dict(kwargs.get("data") or ()) or None
        return self._gate.send(method, url, params=kwargs.get("params"), data=form, headers=headers)


def connect_praw(credentials: Credentials, gate: Gate, *, api_url: str, login_url: str) -> praw.Reddit:
    """Return a read-only PRAW, configured by these parameters only. Sends nothing yet."""
    with _packaged_settings():
        return praw.Reddit(
            "DEFAULT",
            requestor_class=GatedRequestor,
            requestor_kwargs={"gate": gate},
            client_id=credentials.client_id,
            client_secret=credentials.client_secret or None,
            user_agent=credentials.header(),
            reddit_url=login_url,
            oauth_url=api_url,
            redirect_uri=None,
            refresh_token=None,
            username=None,
            password=None,
            check_for_updates=False,
            check_for_async=False,
        )


@contextmanager
def _packaged_settings() -> Iterator[None]:
    """Let PRAW see the settings it comes with and no file beside them; what it had loaded is put back after."""
    config = praw.config.Config
    before = config.CONFIG
    own = ConfigParser()
    own.read_string(files("praw").joinpath("praw.ini").read_text())
    config.CONFIG = own
    try:
        yield
    finally:
        config.CONFIG = before


def _failed(answer: Answer) -> str:
    """What is wrong with an answer that may be better the next time; empty where nothing is, or nothing will be."""
    status, body = answer.status, answer.body
    if status >= 500 or status == 408:
        return f"answered with status {status}"
    if status != 200 or is_html(body, answer.headers):
        return ""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return "sent an answer that is not JSON"
    return ""


def _checked(answer: Answer, path: str) -> requests.Response:
    """A good answer in the form that PRAW takes. Raises Refused and TokenExpired."""
    if answer.status != 200 or is_html(answer.body, answer.headers):
        if answer.status == 401 and "invalid_token" in answer.headers.get("www-authenticate", ""):
            raise TokenExpired
        raise Refused(answer, path)
    copy = requests.Response()
    copy.status_code = answer.status
    copy.encoding = "utf-8"
    copy.raw = BytesIO(answer.body)
    return copy


def _reason(body: bytes) -> str:
    """Reddit's word for why it refuses, empty where it says none."""
    try:
        reason = msgspec.json.decode(body, type=dict[str, Any]).get("reason")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else ""


def _origin(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
