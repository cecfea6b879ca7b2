"""The sources by name, and how each is opened. Libraries of the one that is asked for are imported, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from shp_miner.errors import UsageError
from shp_miner.platforms.sites import site_of
from shp_miner.sources import limits
from shp_miner.sources.http import SYSTEM, Budget, Clock, Clocks, Http
from shp_miner.sources.limits import Limits
from shp_miner.sources.source import Source

if TYPE_CHECKING:
    from shp_miner.sources.reddit import Reddit

NAMES = ("reddit", "arctic-shift", "stackexchange", "lemmy", "discourse", "nodebb")

#: Stack Exchange's key for more requests a day; it is no secret, but nobody else's business either.
STACKEXCHANGE_KEY = "SHP_MINER_STACKEXCHANGE_KEY"
STACKEXCHANGE_URL = "https://api.stackexchange.com"

_CLASSES = {"lemmy": "Lemmy", "discourse": "Discourse", "nodebb": "NodeBB"}
_EXAMPLES = {"lemmy": "lemmy.world", "discourse": "meta.discourse.org", "nodebb": "community.nodebb.org"}
_LIMITS = {"lemmy": limits.LEMMY, "discourse": limits.DISCOURSE, "nodebb": limits.NODEBB}


class Access(msgspec.Struct, kw_only=True):
    """Where a source is and how it may be asked.

    `site` is a host ("lemmy.world") or the address of a forum that does not lie at its host's root. `url` is the API's
    address where that is elsewhere, such as an embedded forum's. Private addresses are refused unless allowed.
    """

    site: str | None = None
    url: str | None = None
    allow_private: bool = False
    clocks: Clocks | None = None
    clock: Clock = SYSTEM
    budget: Budget | None = None


@contextmanager
def open_source(name: str, access: Access) -> Iterator[Source]:
    """A source, ready to be asked. Raises UsageError for an unknown name or no site, NotAllowed without credentials."""
    match name:
        case "reddit":
            with _reddit(access) as reddit:
                yield reddit
        case "arctic-shift":
            from shp_miner.sources import arctic_shift  # noqa: PLC0415

            with _http(access.url or arctic_shift.URL, arctic_shift.LIMITS, access) as http:
                yield arctic_shift.ArcticShift(http, clock=access.clock)
        case "stackexchange":
            from shp_miner.sources.stackexchange import StackExchange  # noqa: PLC0415

            site, _ = _forum(name, access, "cooking.stackexchange.com")
            key = os.environ.get(STACKEXCHANGE_KEY) or None
            with _http(access.url or STACKEXCHANGE_URL, limits.STACKEXCHANGE, access, [key] if key else []) as http:
                yield StackExchange(http, site, key)
        case "lemmy" | "discourse" | "nodebb":
            site, url = _forum(name, access, _EXAMPLES[name])
            module = import_module(f"shp_miner.sources.{name}")
            with _http(url, _LIMITS[name], access) as http:
                # Lemmy names its own addresses.
                address = () if name == "lemmy" else (_address(site, access.site, url),)
                yield getattr(module, _CLASSES[name])(http, site, *address)
        case _:
            raise UsageError(f"There is no source {name!r}.", f"The sources: {', '.join(NAMES)}.")


def _forum(name: str, access: Access, example: str) -> tuple[str, str]:
    """The site's name (its host, with the path of a forum that lies below it) and its address."""
    if not access.site:
        raise UsageError(f"Which site? {name} runs on many.", f"Name it: --site {example}.")
    url = access.site if "://" in access.site else f"https://{access.site}"
    return site_of(access.site, stackexchange=name == "stackexchange"), access.url or url


def _address(site: str, *asked: str | None) -> str:
    """Where people find a site, as it was asked for: one without TLS bears http://."""
    for address in asked:
        parts = urlsplit(address or "")
        if parts.scheme and site_of(address or "") == site:
            return f"{parts.scheme}://{site}"
    return f"https://{site}"


def _http(base: str, allowed: Limits, access: Access, secrets: Sequence[str] = ()) -> Http:
    return Http(
        base,
        limits=allowed,
        clocks=access.clocks,
        clock=access.clock,
        budget=access.budget,
        allow_private=access.allow_private,
        secrets=secrets,
    )


def _reddit(access: Access) -> Reddit:
    from shp_miner.sources.reddit import Reddit  # noqa: PLC0415
    from shp_miner.sources.reddit_praw import API_URL, LOGIN_URL, Credentials  # noqa: PLC0415

    return Reddit(
        Credentials.find(),
        oauth_url=access.url or API_URL,
        reddit_url=access.url or LOGIN_URL,
        clocks=access.clocks,
        clock=access.clock,
        budget=access.budget,
        allow_private=access.allow_private,
    )
