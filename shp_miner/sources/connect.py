"""Connections to public addresses only, each request within one time limit.

Names are resolved and checked here, and the connection uses the checked address. A name server that answers differently
a moment later gains nothing. Not covered: a proxy from the environment resolves names itself (only addresses written in
the URL are checked then); a client of the caller is used as it is; the system's resolver has its own time limit.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import IPPROTO_TCP, getaddrinfo
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from shp_miner.errors import BadInput, UsageError

#: IPv6 addresses that carry an IPv4 address in their last 32 bits (RFC 6052): what networks without IPv4 use.
_NAT64 = IPv6Network("64:ff9b::/96")

#: Seconds that an unused connection is kept open, below the minute or so after which servers close theirs.
_KEEP_S = 20.0


def transport(base: httpx2.URL, allow_private: bool) -> httpx2.BaseTransport:
    """Return the transport for requests to `base`. Raises BadInput for an address that is not allowed."""
    if not allow_private:
        _refuse_written_out(base.host)
    proxy = None if _local(base.host) or proxy_bypass(base.host) else getproxies().get(base.scheme)
    if proxy is None:
        return Transport(allow_private)
    if not proxy.startswith(("http://", "https://")):
        raise UsageError(
            f"The environment's proxy for {base.scheme} is not an HTTP proxy.",
            f"Name {base.host} in NO_PROXY, or set an address that starts with http://.",
        )
    return httpx2.HTTPTransport(proxy=proxy, verify=_tls())


class Transport(httpx2.BaseTransport):
    """HTTP/1.1 over connections that are checked and timed. The extension "total_s" is a request's time limit."""

    def __init__(self, allow_private: bool) -> None:
        self._deadline = _Deadline()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_tls(),
            keepalive_expiry=_KEEP_S,
            network_backend=_Backend(allow_private, self._deadline),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. The caller reads the body of the answer, in the same thread."""
        self._deadline.start(request.extensions["total_s"])
        url = request.url
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with _Translated():
            answer = self._pool.handle_request(
                httpcore2.Request(
                    request.method,
                    target,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Translated:
    """Raises the errors of httpcore2 as those of httpx2, which have the same names."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        same = getattr(httpx2, type(error).__name__, None)
        if isinstance(same, type) and type(error).__module__.startswith("httpcore2"):
            raise same(str(error)) from error


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Any:
        with _Translated():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Deadline(threading.local):
    """When the request of this thread must be over."""

    at = float("inf")

    def start(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def within(self, timeout: float | None, over: type[Exception]) -> float:
        """The time limit of the next step, which ends with the request's."""
        left_s = self.at - time.monotonic()
        if left_s <= 0:
            raise over("the whole answer took too long")
        return left_s if timeout is None else min(left_s, timeout)


class _Backend(httpcore2.SyncBackend):
    def __init__(self, allow_private: bool, deadline: _Deadline) -> None:
        self._allow_private = allow_private
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            found = getaddrinfo(host, port, proto=IPPROTO_TCP)
        except (OSError, UnicodeError) as error:  # the latter where a part of the name is too long
            raise httpcore2.ConnectError("the name is not known") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_private:
            for address in addresses:
                if not public(address):
                    raise _not_public(host, address)
        while addresses:
            limit_s = self._deadline.within(timeout, httpcore2.ConnectTimeout)
            try:
                inner = super().connect_tcp(addresses.pop(0), port, limit_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if not addresses:
                    raise
            else:
                return _Timed(inner, self._deadline)
        raise httpcore2.ConnectError("the name has no address")


class _Timed(httpcore2.NetworkStream):
    """A connection whose every step ends with its request's time."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.within(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.within(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        limit_s = self._deadline.within(timeout, httpcore2.ConnectTimeout)
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, limit_s), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@cache
def _tls() -> ssl.SSLContext:
    """Certificates are always verified; reading the machine's takes a moment, so it is done once."""
    return httpx2.create_ssl_context()


# -- Addresses --------------------------------------------------------------------------------------------------------


def public(address: str) -> bool:
    """Whether an address is on the public internet: not private, loopback, link-local, reserved or multicast."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        ip = carried or ip
    return ip.is_global and not ip.is_multicast


def _refuse_written_out(host: str) -> None:
    if _local(host):
        raise _not_public(host, host)
    try:
        written_out = not public(host)
    except ValueError:
        return
    if written_out:
        raise _not_public(host, host)


def _local(host: str) -> bool:
    """Whether this machine itself is meant; it is never asked through a proxy."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _not_public(host: str, address: str) -> BadInput:
    named = f"{host} is" if host == address else f"{host} resolves to {address}, which is"
    return BadInput(
        f"{named} not an address of the public internet.",
        "If it is your own site, pass --allow-private (in a pipeline or in Python: allow_private).",
    )
