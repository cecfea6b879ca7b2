"""The web server of an audit: pages by Starlette and Jinja2, served by uvicorn on this machine's own address."""

from __future__ import annotations

import errno
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING

from shp_miner.errors import TryLater, UsageError, refused_by_os

if TYPE_CHECKING:
    from shp_miner.web.pages import Site

HOST = "127.0.0.1"

#: How long a start may take, and how long an end waits for pages that are being made.
_START_S = 20.0
_END_S = 2


def require_web() -> None:
    """Raise UsageError, which names the extra, where the libraries of the web server are missing."""
    missing = [name for name in ("jinja2", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"An audit needs {', '.join(missing)}: the extra `web` is not installed.",
            "Install it: pip install 'shp-miner[web]'.",
        )


@contextmanager
def served(site: Site, port: int, token: str | None = None) -> Iterator[str]:
    """Serve the pages while the block runs, and yield their address, which has the token (default: a random one).

    `port` 0 takes a free one. Raises TryLater if the port is in use, and BadInput if it may not be taken.
    """
    import uvicorn  # noqa: PLC0415  (an extra)

    from shp_miner.web.guard import Guard  # noqa: PLC0415

    token = token or secrets.token_urlsafe(24)
    with _listening(port) as listener:
        own_port = listener.getsockname()[1]
        app = Guard(site.app(token), token, lambda: own_port)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                loop="asyncio",
                http="h11",
                proxy_headers=False,
                timeout_graceful_shutdown=_END_S,
            )
        )
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="audit", daemon=True)
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield f"http://{HOST}:{own_port}/{token}/"
        finally:
            server.should_exit = True
            thread.join(_END_S + 3)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # A port is free again at once after an end, and never shared with a process that listens.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(64)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise TryLater(
                    f"Port {port} is in use, perhaps by another audit.",
                    "Stop that one, or give another port: --port 0 takes a free one.",
                ) from error
            raise refused_by_os(error, f"listening on port {port}") or error from error
        yield listener


def _wait_until_started(server: object, thread: Thread) -> None:
    until = time.monotonic() + _START_S
    while not getattr(server, "started", False):
        if not thread.is_alive() or time.monotonic() > until:
            raise TryLater("The web server did not start.", "Run the same command again, with -v for the reason.")
        time.sleep(0.01)
