"""Attempts at one request: sent, read within limits, and repeated after a pause if that may help.

Every request of every source goes through here, also those of PRAW.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import httpx2
import msgspec

from shp_miner.errors import BadInput, TryLater
from shp_miner.sources.decode import Instead
from shp_miner.sources.limits import Limits
from shp_miner.sources.pace import Pace

T = TypeVar("T")

#: What a look-up says of a name that has no address; other failures of it may pass in a moment.
_NO_ADDRESS = frozenset((socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)))


class Silent(Instead, TryLater):
    """An empty body with a good status, on every attempt."""


class Again(Exception):
    """An attempt failed and may be repeated.

    `told`: the site named a wait, and its clock is set. `empty`: the answer had no body.
    """

    def __init__(self, why: str, *, told: bool = False, empty: bool = False) -> None:
        super().__init__(why)
        self.why, self.told, self.empty = why, told, empty


class Answer(msgspec.Struct, frozen=True):
    """An answer that was read to its end."""

    status: int
    headers: httpx2.Headers
    body: bytes


def repeated_attempts(pace: Pace, path: str, attempt: Callable[[int], T]) -> T:
    """Return the result of the first attempt that does not raise Again; `attempt` gets its number, from 1.

    Pace makes the pauses between attempts, because it has the clock and the budget. Raises TryLater (Silent if the last
    answer was empty) after the last attempt; `path` names the request in messages.
    """
    attempts = pace.limits.attempts
    failed = Again("was not asked")
    for number in range(1, attempts + 1):
        try:
            return attempt(number)
        except Again as again:
            failed = again
        if not failed.told and number < attempts:
            pace.rest(number, failed.why)
    raise (Silent if failed.empty else TryLater)(
        f"{pace.host} {failed.why} ({path}, attempt {attempts} of {attempts}).",
        "The site may be down or busy. Run the same command again later; what was fetched is kept.",
    )


def send_once(client: httpx2.Client, request: httpx2.Request, limits: Limits) -> Answer | None:
    """Send a request once, without following redirects, and return its answer; None if it is larger than allowed.

    Raises Again (it took too long) and the library's errors, which `failure_of` turns into ours.
    """
    deadline = time.monotonic() + limits.total_s
    answer = client.send(request, stream=True, follow_redirects=False)
    try:
        announced = answer.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limits.max_bytes:
            return None
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > limits.max_bytes or answer.num_bytes_downloaded > limits.max_bytes:
                return None
            if time.monotonic() > deadline:
                raise Again("did not answer in time")
    finally:
        answer.close()
    return Answer(answer.status_code, answer.headers, bytes(body))


def failure_of(error: Exception, host: str, *, answered: bool) -> Exception | None:
    """Return the meaning of a library's error: Again, or an error that ends the request; None if it is unknown.

    `answered` says whether the host has answered before.
    """
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return BadInput(
            f"The certificate of {host} could not be verified.", "Check the address and this machine's certificates."
        )
    # Names lose their addresses for a while, and so does a machine that is not online: no reason to give up a site.
    unknown = any(isinstance(cause, socket.gaierror) and cause.errno in _NO_ADDRESS for cause in _causes(error))
    if unknown and not answered:
        return TryLater(
            f"No address was found for the host {host}.",
            "Check the name and that this machine is online; then run the same command again.",
        )
    for kinds, why in _WHYS:
        if isinstance(error, kinds):
            return Again(why)
    return None


_WHYS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((httpx2.TimeoutException,), "did not answer in time"),
    ((httpx2.ConnectError, httpx2.ProxyError), "could not be reached"),
    ((httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.DecodingError), "cut off its answer"),
)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
