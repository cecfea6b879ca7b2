"""Stack Exchange's sites and their names, its own user, and its licences."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shp_miner.units import to_us

#: The user that stands for the site itself: it owns community wikis and what automatic tasks post.
COMMUNITY_USER = -1

#: The licence of posts that name none: before a time (microseconds since 1970), and since the last of them.
LICENSES = (
    (to_us(datetime(2011, 4, 8, tzinfo=UTC)), "CC BY-SA 2.5"),
    (to_us(datetime(2018, 5, 2, tzinfo=UTC)), "CC BY-SA 3.0"),
)

NEWEST_LICENSE = "CC BY-SA 4.0"

#: The Stack Exchange sites with a domain of their own; all others are below stackexchange.com.
_OWN_DOMAINS = {
    "stackoverflow": "stackoverflow.com",
    "superuser": "superuser.com",
    "serverfault": "serverfault.com",
    "askubuntu": "askubuntu.com",
    "mathoverflow": "mathoverflow.net",
    "stackapps": "stackapps.com",
}
#: How the hosts of its sites end.
DOMAINS = (".stackexchange.com", *_OWN_DOMAINS.values())
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def host_of(word: str) -> str:
    """The host of a site by the short name that the API has for it, or by its host."""
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


def license_by_date(created_us: int) -> str:
    """The licence of a post created at `created_us` (microseconds since 1970) that names none itself.

    The site's terms: CC BY-SA 2.5 before 2011-04-08 (UTC), 3.0 from then up to but not including 2018-05-02, 4.0
    since. (An edit puts a post under the licence of the edit's day; such posts name it in ContentLicense.)
    """
    return next((name for before_us, name in LICENSES if created_us < before_us), NEWEST_LICENSE)
