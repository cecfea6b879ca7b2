"""The server: each platform's view of the community on a loopback port of its own, with a log and planned faults."""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from socket import SHUT_RDWR, socket
from threading import Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from shp_miner.errors import UsageError
from shp_miner.forum.live import Community
from shp_miner.forum.serve.faults import HTML, LOGIN_PAGE, Delivery, Faults, delivered_answer
from shp_miner.forum.serve.message import Platform, Request, Response
from shp_miner.sources.table import ROWS

#: Where a redirect to a log-in leads. A page is shown there, whatever the platform.
LOGIN_PATH = "/login"

#: A connection on which nothing comes for so long is closed.
_IDLE_S = 30.0

#: No crawler sends more than this.
_REQUEST_BYTES_MAX = 1 << 20


def view_of(name: str) -> Callable[[Community], Platform]:
    """What makes a platform's view. Raises UsageError for an unknown name."""
    row = ROWS.get(name)
    if row is None:
        raise UsageError(f"The forum has no API {name!r}.", f"Its APIs: {', '.join(ROWS)}.")
    module, _, view = row.forum.partition(":")
    make: Callable[[Community], Platform] = getattr(import_module(module), view)
    return make


class Forum:
    """Serves a community over loopback while it is open (a context manager), one port for each platform.

    One platform or several are given by name, or as objects that fulfil `Platform`. The first gets `port`, the next
    ones those above it; 0 gives each a port that is free. Raises UsageError for a port that is taken. An exception in a
    view is answered with status 500 and raised again when the forum closes, so that it is not taken for a planned
    fault.
    """

    def __init__(
        self,
        community: Community,
        platforms: str | Sequence[str | Platform],
        *,
        faults: Faults | None = None,
        port: int = 0,
    ) -> None:
        self.community = community
        self.faults = faults or Faults()
        platforms = [platforms] if isinstance(platforms, str) else platforms
        views = [view_of(wanted)(community) if isinstance(wanted, str) else wanted for wanted in platforms]
        self._sites: dict[str, _Site] = {}
        for number, view in enumerate(views):
            try:
                self._sites[view.platform] = _Site(view, community, self.faults, port + number if port else 0)
            except OSError as error:
                for site in self._sites.values():
                    site.server.server_close()
                raise UsageError(
                    f"Port {port + number} cannot be used: {error.strerror}.", "Choose another --port."
                ) from error

    def __enter__(self) -> Forum:
        for site in self._sites.values():
            site.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for site in self._sites.values():
            site.stop()
        bugs = [bug for site in self._sites.values() for bug in site.bugs]
        if bugs and error is None:
            raise bugs[0]

    def url(self, platform: str) -> str:
        """Where a platform is served, without a slash at the end."""
        return f"http://127.0.0.1:{self._sites[platform].server.server_address[1]}"

    def requests(self, platform: str) -> list[Request]:
        """Return the requests to a platform so far, oldest first, each with the status and the faults it met."""
        site = self._sites[platform]
        with site.lock:
            return list(site.log)


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that none outlives it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler], bugs: list[BaseException], port: int) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._bugs = bugs
        self._open: set[socket] = set()
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (the library's parameters)
        """Clients may go away in the middle; all else is a bug, such as a body that is no JSON."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self._bugs.append(error)

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)


@dataclass(eq=False)
class _Site:
    """One platform's port: its view, its log, its thread."""

    view: Platform
    community: Community
    faults: Faults
    port: int
    log: list[Request] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        # Bound at once, so that the address is known before the first request.
        self.server = _Server(type("Handler", (_Handler,), {"site": self}), self.bugs, self.port)
        self._thread = Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.hang_up()
        self.server.server_close()
        self._thread.join()

    def answer(self, request: Request) -> Delivery:
        """Ask the view, apply the faults, write the log."""
        met = self.faults.meet(self.view.platform, request)
        delivery, names = delivered_answer(met, self.community.now, lambda: self._respond(request))
        with self.lock:
            self.log.append(replace(request, status=delivery.response.status, faults=names))
        return delivery

    def _respond(self, request: Request) -> Response:
        try:
            if request.path == LOGIN_PATH:
                return Response(200, LOGIN_PAGE, HTML)
            return self.view.respond(request)
        except Exception as bug:  # noqa: BLE001  (raised again when the forum closes)
            self.bugs.append(bug)
            return Response(500, "<h1>500 Internal Server Error</h1>")


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, has it answered, sends the answer. Keeps the connection."""

    site: _Site
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "forum.example", ""
    timeout = _IDLE_S
    # Headers and body go out as two packets; the second must not wait for the first to be acknowledged.
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        try:
            length = int(self.headers.get("content-length", 0))
        except ValueError:
            length = -1
        if not 0 <= length <= _REQUEST_BYTES_MAX:
            self.close_connection = True
            self.send_error(400)
            return
        url = urlsplit(self.path)
        delivery = self.site.answer(
            Request(
                method=self.command,
                path=unquote(url.path),
                query=parse_qs(url.query, keep_blank_values=True),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
            )
        )
        self._send(delivery)

    do_GET = do_POST = do_PUT = do_HEAD = _serve  # noqa: N815  (names that the standard library looks for)

    def _send(self, delivery: Delivery) -> None:
        body, headers = _encoded(delivery.response)
        accepts = "gzip" in self.headers.get("accept-encoding", "")
        if body and (accepts or getattr(self.site.view, "always_gzip", False)):
            body = gzip.compress(body, 1, mtime=0)
            headers |= {"content-encoding": "gzip"}
        headers |= {"content-length": str(len(body))}
        time.sleep(delivery.before_s)
        self.send_response_only(delivery.response.status)
        self.send_header("server", self.version_string())
        self.send_header("date", format_datetime(delivery.clock, usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(body) if delivery.cut_at is None else int(len(body) * delivery.cut_at)
        if delivery.midway_s:
            self.wfile.write(body[: end // 2])
            time.sleep(delivery.midway_s)
            self.wfile.write(body[end // 2 : end])
        else:
            self.wfile.write(body[:end])
        if end < len(body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: the log is for the tests."""


def _encoded(response: Response) -> tuple[bytes, dict[str, str]]:
    """The body as bytes, and the headers with its type."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if isinstance(response.body, bytes):
        body, kind = response.body, "application/octet-stream"
    elif isinstance(response.body, str):
        body, kind = response.body.encode(), "text/html; charset=utf-8"
    else:
        body, kind = msgspec.json.encode(response.body), "application/json; charset=utf-8"
    return body, {"content-type": kind, **headers}
