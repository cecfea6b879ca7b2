"""Names of communities as people write them, read the same way by every command, pipeline and dump reader.

Stored names are in lower case, and otherwise as the platform spells them: "askculinary", "support/windows". Own threads
keep their letter case: "Board A". People also write "/r/AskCulinary", "u/somebody" (a person's own subreddit),
"!asklemmy@lemmy.world", or copy the page's address.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from shp_miner.errors import BadInput

_ADDRESS = re.compile(r"(?:https?://[^/]+|(?:[a-z]+\.)?reddit\.com)/(?=(?:r|u|user|c)/[^/]+/?$)", re.IGNORECASE)
_PREFIX = re.compile(r"(?P<kind>r|u|user|c)/(?P<name>[^/]+)", re.IGNORECASE)
_NEAR = 3


def undecorated_name(name: str) -> str:
    """Return a name without decorations, in its own letter case."""
    text = name.strip()
    address = _ADDRESS.match(text)  # searched for anywhere, a long name would cost its length squared
    text = text[address.end() if address else 0 :].strip("/").removeprefix("!")
    written = _PREFIX.fullmatch(text)
    if written is None:
        return text
    person = written["kind"].lower() in ("u", "user")
    return f"u_{written['name']}" if person else text[written.start("name") :]


def _local(name: str) -> str:
    """A name without the server that a community of Lemmy may be named with."""
    return undecorated_name(name).partition("@")[0]


def stored_name(name: str) -> str:
    """Return a name as crawls and dumps store it."""
    return _local(name).lower()


def meant_communities(asked: Iterable[str], there: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the stored names that are asked for, and the asked names that are not stored. Both sorted, each once.

    A stored name that equals the asked one exactly is the only match: a category may be called "r/help". Otherwise all
    names that differ only in letter case match. If none does, commas part several names.
    """
    folded: dict[str, list[str]] = {}
    for stored in there:
        folded.setdefault(stored.casefold(), []).append(stored)
    found: set[str] = set()
    missing: set[str] = set()

    def here(name: str) -> list[str]:
        ways = (name.strip(), _local(name))
        return next((names for way in ways if (names := [way] if way in there else folded.get(way.casefold()))), [])

    for name in asked:
        parts = [part for part in name.split(",") if part.strip()]
        for part in [name] if here(name) or not parts else parts:
            found.update(here(part))
            missing.update([] if here(part) else [stored_name(part)])
    return sorted(found), sorted(missing)


class NoSuchCommunity(BadInput):
    """None of the requested communities exists in the place that was searched."""


def no_such_community(missing: Sequence[str], there: Collection[str], where: str) -> NoSuchCommunity:
    """Return the error for missing communities. `where` begins its message; the hint has the nearest names."""
    return NoSuchCommunity(f"{where} no community {' or '.join(map(repr, missing))}.", near(missing, there))


def known_communities(asked: Sequence[str], there: Collection[str], where: str) -> list[str]:
    """Return the stored names of the requested communities. Raises NoSuchCommunity if one is missing."""
    found, missing = meant_communities(asked, there)
    if missing:
        raise no_such_community(missing, there, where)
    return found


def near(missing: Sequence[str], there: Collection[str]) -> str:
    """Return a sentence with the nearest existing names, or with some of all."""
    if not there:
        return "It has no communities at all."
    spelled = {stored.casefold(): stored for stored in sorted(there)}
    found = (get_close_matches(name.casefold(), spelled, n=_NEAR, cutoff=0.5) for name in missing)
    close = [spelled[spelling] for names in found for spelling in names]
    if close:
        return f"The nearest names: {', '.join(dict.fromkeys(close))}."
    first = sorted(there)[:_NEAR]
    return f"It has {len(there):,}{', for example' if len(there) > _NEAR else ''}: {', '.join(first)}."
