"""Where a source is and how it may be asked, and what is made of that for each platform's module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import msgspec

from shp_miner.errors import UsageError
from shp_miner.sources.http import SYSTEM, Budget, Clock, Clocks, Http
from shp_miner.sources.limits import Limits
from shp_miner.sources.table import ROWS


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
def shared(access: Access) -> Iterator[Access]:
    """The same; where it has no clocks, with those that all runs of this person on this machine share."""
    if access.clocks is not None:
        yield access
        return
    from shp_miner.sources.clocks import FileClocks  # noqa: PLC0415 - most of this room does without

    with closing(FileClocks()) as clocks:
        yield msgspec.structs.replace(access, clocks=clocks)


def site_and_url(name: str, access: Access) -> tuple[str, str]:
    """The site's name (its host, with the path of a forum that lies below it) and its address.

    `name` is the platform's, one that runs on many sites. Raises UsageError where no site is given.
    """
    row = ROWS[name]
    if not access.site:
        raise UsageError(
            f"No site given: {name} runs on many sites.", f"Name one, for example: --site {row.example_site}."
        )
    url = access.site if "://" in access.site else f"https://{access.site}"
    return row.site_of(access.site), access.url or url


def address(name: str, site: str, *asked: str | None) -> str:
    """Where people find a site, as it was asked for: one without TLS bears http://."""
    for one in asked:
        parts = urlsplit(one or "")
        if parts.scheme and ROWS[name].site_of(one or "") == site:
            return f"{parts.scheme}://{site}"
    return f"https://{site}"


def http_of(base: str, limits: Limits, access: Access, secrets: Sequence[str] = ()) -> Http:
    """The API at `base`, asked within `limits` and as `access` says; `secrets` are kept out of every sentence."""
    return Http(
        base,
        limits=limits,
        clocks=access.clocks,
        clock=access.clock,
        budget=access.budget,
        allow_private=access.allow_private,
        secrets=secrets,
    )
