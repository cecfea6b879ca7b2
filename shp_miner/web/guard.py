"""Who may ask: this machine's browser, with the token, from the page itself. Everything else gets 403."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Nothing is loaded from elsewhere, no script stands in a page, and no page of others may frame this one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

#: Names of this machine in an address. A page elsewhere that lets its own name lead here has another one.
_HOSTS = ("127.0.0.1", "localhost")

_REFUSED = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Not allowed</title></head><body><main>
<h1>Not allowed</h1><p>{why}</p>
<p>Open the address that <code>shp-miner audit</code> printed when it was started last. What was saved is kept.</p>
</main></body></html>
"""


class Guard:
    """Lets only requests pass that name this machine as their host, have the token, and come from no other page.

    The token is the first part of the path; the application sees the path without it.
    """

    def __init__(self, app: ASGIApp, token: str, port: Callable[[], int]) -> None:
        self._app, self._token, self._port = app, token, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        why = self._refused(scope)
        if why is not None:
            await HTMLResponse(_REFUSED.format(why=why), status_code=403)(scope, receive, sealed)
            return
        path = scope["path"].removeprefix(f"/{self._token}") or "/"
        raw = quote(path).encode()
        await self._app({**scope, "path": path, "raw_path": raw}, receive, sealed)

    def _refused(self, scope: Scope) -> str | None:
        """Return why a request is refused, in a sentence; None if it may pass."""
        headers, port = Headers(scope=scope), self._port()
        origins = {f"http://{host}:{port}" for host in _HOSTS}
        if headers.getlist("host") not in [[f"{host}:{port}"] for host in _HOSTS]:
            return "The request names another host than this machine."
        first = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not hmac.compare_digest(first.encode(), self._token.encode()):
            return "The address lacks the token of this start, or has that of an earlier one."
        origin = headers.get("origin")
        writes = scope["method"] not in ("GET", "HEAD")
        if (origin is None and writes) or (origin is not None and origin not in origins):
            return "The request comes from another page."
        # A terminal may be a page, and its link leads here: reading changes nothing, and no page may frame this one.
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        own = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return None if own or (followed and not writes) else "The request comes from another page."
