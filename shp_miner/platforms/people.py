"""The pages of people on each platform, however somebody copied their address.

reddit         /user/NAME  /u/NAME          lemmy      /u/NAME  /u/NAME@INSTANCE
stackexchange  /users/NUMBER/...            discourse  /u/NAME/...
nodebb         /user/NAME/...
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import msgspec

from shp_miner.platforms.sites import site_of

#: How the address of a person's page may be written, for messages.
FORMS = "https://SITE/user/NAME, https://SITE/u/NAME or https://SITE/users/NUMBER"

_ADDRESS = re.compile(r"(?:https?://)?([^/?#\s]*[.:][^/?#\s]*)/([^?#]*)", re.IGNORECASE)
_KINDS = ("user", "u", "users")


class Page(msgspec.Struct, frozen=True):
    """A person's page: the site, the name or the `number` of the account there, and its address as it is stored."""

    site: str
    name: str
    number: str | None
    address: str


def person_page(text: str) -> Page | None:
    """The person whose page an address is, None for any other text. Tabs, queries and fragments are left out."""
    found = _ADDRESS.match(text.strip())
    if found is None:
        return None
    host, path = found.groups()
    parts = [unquote(part) for part in path.split("/")]
    at = next((n for n, part in enumerate(parts[:-1]) if part.lower() in _KINDS and parts[n + 1]), None)
    if at is None:
        return None
    kind, name = parts[at].lower(), parts[at + 1]
    site = site_of("/".join([host, *parts[:at]]))
    number = name if kind == "users" and name.isdecimal() else None
    first, _, home = name.partition("@")
    if kind == "u" and first and home:  # on Lemmy, somebody of another instance
        return Page(site_of(home), first, None, f"https://{home}/u/{quote(first)}")
    return Page(site, name, number, f"https://{site}/{kind}/{quote(name)}")
