"""Finding out which software a site runs, after an answer that does not fit the named platform."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from shp_miner.errors import BadInput, Error
from shp_miner.sources.http import Http, OverBudget, Unexpected
from shp_miner.sources.table import ROWS

#: How others write themselves, whatever the case that sites give.
_OTHERS = {"piefed": "PieFed", "mbin": "Mbin", "kbin": "kbin", "phpbb": "phpBB", "wordpress": "WordPress"}

_NAME = re.compile(r"[a-z][a-z0-9 ._-]{0,30}", re.IGNORECASE)
_GENERATOR = re.compile(rb"<meta name=[\"']?generator[\"']? content=[\"']([A-Za-z][A-Za-z0-9_-]{0,30})")
_SEARCHED_BYTES = 1 << 16


class _Link(msgspec.Struct):
    rel: str
    href: str


class _Links(msgspec.Struct):
    links: list[_Link]


class _Software(msgspec.Struct):
    name: str


class _NodeInfo(msgspec.Struct):
    software: _Software


def other_software(http: Http, site: str, wanted: str, refused: Error | None) -> BadInput:
    """Return the error for a site that does not answer as `wanted` ("lemmy"), with its software if known.

    `refused` is its answer. Sends two requests at most.
    """
    row = ROWS[wanted]
    name = next((name for name in _told(http, refused) if name.lower() != row.software), None)
    if name is None:
        why = f" ({refused.message.rstrip('.')})" if refused else ""
        return BadInput(
            f"{site} does not answer like a {row.title} {row.sites_are}{why}.",
            f"Check the address, and that the site runs {row.title}.",
        )
    other = next((candidate for candidate in ROWS.values() if candidate.software == name.lower()), None)
    if other is not None:
        return BadInput(
            f"{site} runs {other.title}, not {row.title}.", f"Use the source for it: shp-miner crawl {other.name}."
        )
    shown = _OTHERS.get(name.lower(), name)
    return BadInput(
        f"{site} runs {shown}, not {row.title}.",
        f"No source of shp-miner reads {shown}: its API is different. Choose a site that runs {row.title}.",
    )


def _told(http: Http, refused: Error | None) -> Iterator[str]:
    """The names that the site gives of its software: in the page that came, and where federated servers say it."""
    page = refused.body[:_SEARCHED_BYTES] if isinstance(refused, Unexpected) and refused.page else b""
    found = _GENERATOR.search(page)
    if found:
        yield found[1].decode()
    try:
        links = http.get("/.well-known/nodeinfo", _Links).links
        path = next((urlsplit(link.href).path for link in links if "nodeinfo" in link.rel), "")
        name = http.get(path, _NodeInfo).software.name if path.startswith("/") else ""
    except (Error, OverBudget, ValueError):
        return
    if _NAME.fullmatch(name):
        yield name
