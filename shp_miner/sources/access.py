"""How to reach a source, and what platform modules derive from that."""

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
    """Where a source is and how it may be requested.

    `site` is a host ("lemmy.world"), or the address of a forum that is not at its host's root. `url` is the API's
    address if it differs, for example an embedded forum's. Private addresses are refused unless allowed.
    """

    site: str | None = None
    url: str | None = None
    allow_private: bool = False
    clocks: Clocks | None = None
    clock: Clock = SYSTEM
    budget: Budget | None = None


@contextmanager
def shared_clocks(access: Access) -> Iterator[Access]:
    """Yield the same access; if it has no clocks, with those that all runs of this person on this machine share."""
    if access.clocks is not None:
        yield access
        return
    from shp_miner.sources.clocks import FileClocks  # noqa: PLC0415 - most of this room does without

    with closing(FileClocks()) as clocks:
        yield msgspec.structs.replace(access, clocks=clocks)


def site_and_url(name: str, access: Access) -> tuple[str, str]:
    """Return the site's name (its host, with the path of a forum below it) and its address.

    `name` is a platform that runs on many sites. Raises UsageError if no site is given.
    """
    row = ROWS[name]
    if not access.site:
        raise UsageError(
            f"No site given: {name} runs on many sites.", f"Name one, for example: --site {row.example_site}."
        )
    url = access.site if "://" in access.site else f"https://{access.site}"
    return row.site_of(access.site), access.url or url


def site_address(name: str, site: str, *asked: str | None) -> str:
    """Return the address of a site for people, as it was requested: http:// only for a site without TLS."""
    for url in asked:
        parts = urlsplit(url or "")
        if parts.scheme and ROWS[name].site_of(url or "") == site:
            return f"{parts.scheme}://{site}"
    return f"https://{site}"


def http_of(base: str, limits: Limits, access: Access, secrets: Sequence[str] = ()) -> Http:
    """Return the API at `base`, with these limits and access; `secrets` appear in no message."""
    return Http(
        base,
        limits=limits,
        clocks=access.clocks,
        clock=access.clock,
        budget=access.budget,
        allow_private=access.allow_private,
        secrets=secrets,
    )
