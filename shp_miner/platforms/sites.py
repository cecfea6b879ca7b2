"""The name of a site: one name in the store, whatever name the input used.

Crawls, dumps and files of threads all use `site_of`, so that the threads of one site are together.
"""

from __future__ import annotations

import re

from shp_miner.platforms.stackexchange import DOMAINS, host_of, site_name

REDDIT = "reddit.com"

#: Other doors to Reddit.
_REDDITS = frozenset(f"{door}.{REDDIT}" for door in ("www", "old", "new", "np", "oauth"))

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_DEFAULT_PORT = re.compile(r":(80|443)?$")


def site_of(name: str, *, stackexchange: bool = False) -> str:
    """The site's name: its host in lower case, with the path of a forum that does not lie at its host's root.

    `name` is a host or an address. With `stackexchange` it may also be the short name that Stack Exchange's API has for
    a site: "cooking", "stackoverflow", "cooking.meta".
    """
    word = name.strip().lower()
    scheme = _SCHEME.match(word)  # searched for anywhere, a long name would cost its length squared
    word = word[scheme.end() if scheme else 0 :].rstrip("/")
    host, slash, path = word.partition("/")
    host = _DEFAULT_PORT.sub("", host).rstrip(".")
    if stackexchange:
        return host_of(host)
    if host in _REDDITS:
        return REDDIT
    if host.endswith(DOMAINS) and not slash:
        return site_name(host) or host
    return f"{host}{slash}{path}"
