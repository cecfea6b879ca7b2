"""A web site on this machine that answers from a script, and a clock that only moves when somebody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from shp_miner.forum.live import Community
from shp_miner.sources.source import Listed, Source

#: 2026-01-01 14:02:58 UTC.
START = 1767276178.0


class FakeClock:
    """Starts at START; waiting moves it. `waits` holds the sentences, `slept` the seconds."""

    def __init__(self, now: float = START) -> None:
        self.time = now
        self.slept: list[float] = []
        self.waits: list[str] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float, why: str) -> None:
        assert seconds > 0
        self.time += seconds
        self.slept.append(seconds)
        self.waits.append(why)


@dataclass
class Reply:
    """An answer; `write` takes over the connection after the headers, or before them with `raw`."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    write: Callable[[BaseHTTPRequestHandler], None] | None = None
    raw: bool = False


class Site:
    """Answers with the replies in turn, the last one for ever. `seen` are the requests (path with query, headers)."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [Reply({"ok": 1})]
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.url = ""
        #: Closes, when the site goes down, what tests leave open.
        self.stack = ExitStack()
        self.host = ""
        self._lock = threading.Lock()

    def will(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.seen.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
            self.bodies.append(handler.rfile.read(int(handler.headers.get("content-length", 0))))
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.raw and reply.write:
            reply.write(handler)
            return
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
        handler.send_response_only(reply.status)
        for name, value in headers.items():
            if value:
                handler.send_header(name, value)
        handler.end_headers()
        if reply.write:
            reply.write(handler)
        else:
            handler.wfile.write(body)


@contextmanager
def serve() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            try:
                site.answer(self)
            except OSError:  # The other side hung up, as it should.
                self.close_connection = True

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.host = f"127.0.0.1:{server.server_port}"
    site.url = f"http://{site.host}"
    try:
        yield site
    finally:
        site.stack.close()
        server.shutdown()
        server.server_close()
        thread.join()


class CommunityClock:
    """Time is an embedded community's; waiting lets it pass."""

    def __init__(self, community: Community) -> None:
        self.community = community
        self.waits: list[str] = []

    def now(self) -> float:
        return self.community.now_s

    def sleep(self, seconds: float, why: str) -> None:
        self.waits.append(why)
        self.community.advance(seconds)


def walk(source: Source, community: str, since: int | None = None) -> list[Listed]:
    """Every listed thread down to the first that is older than `since`, page after page."""
    found: list[Listed] = []
    token = None
    while True:
        page = source.listing(community, since=since, token=token)
        found += page.threads
        token = page.next
        old = since is not None and any(one.changed_at < since and not one.pinned for one in page.threads)
        if token is None or old:
            return [one for one in found if since is None or one.changed_at >= since]
