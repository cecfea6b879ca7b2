"""A request to the embedded forum and its answer, as the platforms' views see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import parse_qs

import msgspec

#: Statuses of a refusal, and what they are called.
Status = Literal[401, 403, 404, 410]
WORDS: dict[Status, str] = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 410: "Gone"}


@dataclass(frozen=True)
class Request:
    """What a client asked. Header names are in lower case; the path is decoded and has no query.

    In the server's log it also says how it was answered: the status, and the names of the faults that it met.
    """

    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 0
    faults: tuple[str, ...] = ()

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def form(self) -> dict[str, str]:
        """The fields of a body sent as a form; of those sent twice the first."""
        pairs = parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {name: values[0] for name, values in pairs.items()}

    def json(self) -> Any:
        """The body as JSON. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Response:
    """What a view answers: bytes and text go out as they are (text as HTML), anything else as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Platform(Protocol):
    """A platform's API over a community. Made with the community as its one argument.

    A view may set `always_gzip = True` where the platform compresses whatever the client accepts, and `first_crawl` to
    a command that reads it where `shp-miner crawl PLATFORM {name} --site forum.example` does not ({name} is the
    community). Its static method `refusal(status)` makes the platform's own refusals, for planned faults.
    """

    platform: ClassVar[str]

    def respond(self, request: Request) -> Response:
        """Answer a request; also an unknown path, in the platform's own manner."""
        ...
