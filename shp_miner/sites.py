"""What a site is called: one name for it in the store, whoever named it and wherever that was.

Crawls, dumps and files of threads all go through `site_of`, so that the threads of one site meet.
"""

from __future__ import annotations

import re

REDDIT = "reddit.com"

#: Other doors to Reddit.
_REDDITS = frozenset(f"{door}.{REDDIT}" for door in ("www", "old", "new", "np", "oauth"))

#: The Stack Exchange sites with a domain of their own; all others are below stackexchange.com.
_OWN_DOMAINS = {
    "stackoverflow": "stackoverflow.com",
    "superuser": "superuser.com",
    "serverfault": "serverfault.com",
    "askubuntu": "askubuntu.com",
    "mathoverflow": "mathoverflow.net",
    "stackapps": "stackapps.com",
}
_STACKEXCHANGE = (".stackexchange.com", *_OWN_DOMAINS.values())
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_DEFAULT_PORT = re.compile(r":(80|443)?$")


def site_of(name: str, *, stackexchange: bool = False) -> str:
    """The site's name: its host in lower case, with the path of a forum that does not lie at its host's root.

    `name` is a host or an address. With `stackexchange` it may also be the short name that Stack Exchange's API has for
    a site: "cooking", "stackoverflow", "cooking.meta".
    """
    word = _SCHEME.sub("", name.strip().lower()).rstrip("/")
    host, slash, path = word.partition("/")
    host = _DEFAULT_PORT.sub("", host).rstrip(".")
    if stackexchange:
        return _stackexchange(host)
    if host in _REDDITS:
        return REDDIT
    if host.endswith(_STACKEXCHANGE) and not slash:
        return site_name(host) or host
    return f"{host}{slash}{path}"


def _stackexchange(word: str) -> str:
    found = (site_name(candidate) for candidate in (word, f"{word}.com", f"{word}.net"))
    return next((host for host in found if host), word if "." in word else f"{word}.stackexchange.com")


def site_name(name: str) -> str | None:
    """The host of a Stack Exchange site from the name of a folder or archive, or None where the name does not tell.

    A full host stands for itself: `superuser.com`, `beer.stackexchange.com`, `es.meta.stackoverflow.com`. Its last part
    may be missing: `beer.stackexchange`. `conlang.meta` is `conlang.meta.stackexchange.com`, `superuser.meta` is
    `meta.superuser.com`, and the former host of a meta site, `meta.beer.stackexchange.com`, becomes today's. A single
    word such as `beer`, or a name with dots that is none of these, does not tell.
    """
    host = name.strip().lower().removeprefix("www.")
    if not _HOST.fullmatch(host):
        return None
    for candidate in (host, f"{host}.com", f"{host}.net"):
        if candidate.endswith(".stackexchange.com"):
            return re.sub(r"^meta\.([^.]+)\.stackexchange", r"\1.meta.stackexchange", candidate)
        if any(candidate == own or candidate.endswith(f".{own}") for own in _OWN_DOMAINS.values()):
            return candidate
    first, _, rest = host.partition(".")
    if rest != "meta":
        return None
    return f"meta.{_OWN_DOMAINS[first]}" if first in _OWN_DOMAINS else f"{first}.meta.stackexchange.com"
