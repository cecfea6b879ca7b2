"""Sites on this machine: one that answers from a script, embedded forums that sources read, and clocks for both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar

import msgspec

from shp_miner.forum import World
from shp_miner.forum.live import Community
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.server import Forum
from shp_miner.sources.access import Access
from shp_miner.sources.http import Clocks, Http
from shp_miner.sources.limits import Limits
from shp_miner.sources.source import Listed, Source

Reads = TypeVar("Reads", bound=Source)

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


class CommunityClock(FakeClock):
    """Time is an embedded community's; waiting lets it pass."""

    def __init__(self, community: Community) -> None:
        super().__init__()
        self.community = community

    def now(self) -> float:
        return self.community.now_s

    def sleep(self, seconds: float, why: str) -> None:
        super().sleep(seconds, why)
        self.community.advance(seconds)


# -- embedded forums and sources that read them ------------------------------------------------------------------------


def grown(world: World | int, **options: Any) -> Community:
    """A community in which everything has happened; a number is one of threads."""
    world = World(threads=world) if isinstance(world, int) else world
    return Community(world=world, now=world.observed_at, **options)


@dataclass
class Fixed:
    """A view that answers each path with the JSON or the response it is told, and all others with `other`.

    Without `other`, asking for one is a bug.
    """

    platform: str
    bodies: dict[str, Any]
    other: Response | None = field(default_factory=lambda: Response(404, b""))
    always_gzip: bool = False
    asked: list[str] = field(default_factory=list)

    def respond(self, request: Request) -> Response:
        self.asked.append(request.path)
        found = self.bodies.get(request.path, self.other)
        assert found is not None, request.path
        return found if isinstance(found, Response) else Response(200, found)


def access(forum: Forum, platform: str, clock: FakeClock | None = None) -> Access:
    """What a source needs to ask a platform of an embedded forum, where time stands still."""
    site = "workbench.stackexchange.com" if platform == "stackexchange" else "forum.example"
    clock = clock or FakeClock(forum.community.now_s)
    return Access(site=site, url=forum.url(platform), allow_private=True, clock=clock)


class Asked(Generic[Reads]):
    """An embedded forum, the source that reads it, and what was asked."""

    def __init__(self, forum: Forum, platform: str, http: Http, source: Reads, clock: FakeClock) -> None:
        self.forum, self.community, self.http, self.source, self.clock = forum, forum.community, http, source, clock
        self._platform, self._before = platform, 0

    def asked(self, since: int = 0) -> list[str]:
        """The paths of all requests but the first `since`."""
        return [request.path for request in self.forum.requests(self._platform)[since:]]

    def new(self) -> list[Request]:
        """What was asked since the last time."""
        log = self.forum.requests(self._platform)
        new, self._before = log[self._before :], len(log)
        return new


@contextmanager
def asking(
    source: Callable[[Http], Reads],
    limits: Limits,
    view: Any,
    community: Community | None = None,
    *,
    clock: FakeClock | None = None,
    clocks: Clocks | None = None,
) -> Iterator[Asked[Reads]]:
    """A source that reads a view (or a platform's own) of a community, without one the view's."""
    community = community or getattr(view, "community", None) or Community(world=World(threads=1))
    clock = clock or FakeClock()
    platform = view if isinstance(view, str) else view.platform
    with (
        Forum(community, [view]) as forum,
        Http(forum.url(platform), limits=limits, clock=clock, clocks=clocks, allow_private=True) as http,
    ):
        yield Asked(forum, platform, http, source(http), clock)


def walk(source: Source, community: str, since: int | None = None) -> tuple[list[Listed], int]:
    """Every listed thread, page after page, and how many pages that took.

    Where the newest stand first, down to the first that is older than `since`; elsewhere the source begins there.
    """
    last = since if since is not None and source.order == "newest" else 0
    found: list[Listed] = []
    token, pages = None, 0
    while True:
        page = source.listing(community, since=since, token=token)
        found += page.threads
        token, pages = page.next, pages + 1
        if token is None or any(one.changed_at < last and not one.pinned for one in page.threads):
            return [one for one in found if one.changed_at >= last], pages
