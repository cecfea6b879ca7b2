"""Reads forget requests: authors, items, and files of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import polars as pl

from shp_miner.errors import BadInput, UsageError
from shp_miner.platforms.people import Page, person_page
from shp_miner.platforms.sites import site_of
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import LINE, ForgottenItem, Line, item_line, list_line

#: Prefixes of names on platforms.
_PREFIXES = ("u/", "/u/", "user/", "/user/")
_SIGN = re.compile(r"^(?:/*(?:u|user)/+|/+|@+)")

_ITEM_HINT = (
    "Write site/post_id or site/post_id/answer_id (for example reddit.com/1abc/k2d), or the item's stored address."
)


class Asked(msgspec.Struct, frozen=True):
    """One forget request: an item, or (kind, site, value) of a person or a page.

    `unclear` is an address that is not a person's page on any known platform: only the store can tell whose it is.
    """

    item: ForgottenItem | None = None
    told: tuple[tuple[str, str | None, str], ...] = ()
    unclear: str = ""

    def lines(self, known: Forgotten) -> list[Line]:
        """Return its lines for the list `known`, whose salt is used to hash names."""
        if self.item is not None:
            return [item_line(self.item)]
        return [list_line(kind, site=site, digest=known.digest(kind, value)) for kind, site, value in self.told]


def author_request(text: str) -> Asked:
    """Return the request for a person: "name" on any site, "name@site", or the address of their page.

    Names may be written as platforms show them: u/name, /u/name, /user/name/, @name. Raises UsageError for "".
    """
    text = text.strip()
    if page := person_page(text):
        return Asked(told=_of_page(page, text))
    if "://" in text:
        return Asked(told=(("author_url", None, text),), unclear=text)
    plain = _SIGN.sub("", text).rstrip("/")
    if not plain:
        raise UsageError(f"The author {text!r} has no name.", "Write --author NAME or NAME@SITE.")
    names = {plain, text} if text.startswith("@") else {plain}  # some names do begin so
    told: set[tuple[str, str | None, str]] = {("name", None, name) for name in names}
    for name in names:
        # On Lemmy a name has a host of its own behind it; both readings are meant.
        first, _, site = name.rpartition("@")
        if first and site:
            told.add(("name", site_of(site), first))
    return Asked(told=tuple(sorted(told, key=str)))


def item_request(text: str) -> Asked:
    """Return the request for an item: "site/post_id", "site/post_id/answer_id", or its address. Raises UsageError."""
    text = text.strip()
    if "://" in text:
        return Asked(told=(("page", None, text),))
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"{text!r} is not the id of a post or answer.", _ITEM_HINT)
    return Asked(item=ForgottenItem(site_of(parts[0]), *parts[1:]))


def from_file(path: Path) -> list[Asked]:
    """Return the requests in a file: one name, id or address per line, with "author:" or "id:" before it if not clear.

    Blank lines and lines with "#" at the start are ignored. Raises BadInput and UsageError, which names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} cannot be read: {error}.", "Name a text file with one author or id per line."
        ) from error
    found = []
    for number, written in enumerate(text.splitlines(), 1):
        written = written.strip()  # noqa: PLW2901
        if written and not written.startswith("#"):
            try:
                found.append(_either(written))
            except UsageError as error:
                raise UsageError(f"{path}, line {number}: {error.message}", error.hint) from error
    return found


def _either(text: str) -> Asked:
    kind, _, rest = text.partition(":")
    if kind in ("author", "id") and rest.strip():
        return author_request(rest) if kind == "author" else item_request(rest)
    if "://" in text:
        page = person_page(text)
        theirs = _of_page(page, text) if page else (("author_url", None, text),)
        return Asked(told=(*theirs, ("page", None, text)))
    is_author = "/" not in text or text.startswith(_PREFIXES)
    return author_request(text) if is_author else item_request(text)


def _of_page(page: Page, text: str) -> tuple[tuple[str, str | None, str], ...]:
    """Return a person's keys by their page: the address as given and as stored, and their name or account there."""
    who = ("account", page.site, page.number) if page.number else ("name", page.site, page.name)
    return (who, *(("author_url", None, address) for address in dict.fromkeys([text, page.address])))


def as_lines(asked: Iterable[Asked], known: Forgotten) -> pl.DataFrame:
    """Return the lines of all requests, for the list `known`."""
    return pl.DataFrame([line for request in asked for line in request.lines(known)], schema=LINE).unique()
