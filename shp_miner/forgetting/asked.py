"""What people write to name what is to be forgotten, understood: authors, items, and files of either."""

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
from shp_miner.store.forgotten_list import LINE, Item, Line, item_line, line

#: How platforms write that what follows is a name.
_PREFIXES = ("u/", "/u/", "user/", "/user/")
_SIGN = re.compile(r"^(?:/*(?:u|user)/+|/+|@+)")

_ITEM_HINT = (
    "Write site/post_id or site/post_id/answer_id, such as reddit.com/1abc/k2d, or the item's address as stored."
)


class Asked(msgspec.Struct, frozen=True):
    """One thing to be forgotten, by any of these: an item, or (kind, site, value) of a person or a page.

    `unclear` is an address that is no person's page on any platform: what the store has under it tells who is meant.
    """

    item: Item | None = None
    told: tuple[tuple[str, str | None, str], ...] = ()
    unclear: str = ""

    def lines(self, known: Forgotten) -> list[Line]:
        """Its lines for the list `known`, by whose salt names are hashed."""
        if self.item is not None:
            return [item_line(self.item)]
        return [line(kind, site=site, digest=known.digest(kind, value)) for kind, site, value in self.told]


def author(text: str) -> Asked:
    """A person: "name" anywhere, "name@site", or the address of their page. Raises UsageError for an empty one.

    Names are taken as platforms show them, too: u/name, /u/name, /user/name/, @name.
    """
    text = text.strip()
    if page := person_page(text):
        return Asked(told=_of_page(page, text))
    if "://" in text:
        return Asked(told=(("author_url", None, text),), unclear=text)
    plain = _SIGN.sub("", text).rstrip("/")
    if not plain:
        raise UsageError(f"{text!r} is an author without a name.", "Write --author NAME or NAME@SITE.")
    names = {plain, text} if text.startswith("@") else {plain}  # some names do begin so
    told: set[tuple[str, str | None, str]] = {("name", None, name) for name in names}
    for name in names:
        # On Lemmy a name has a host of its own behind it; both readings are meant.
        first, _, site = name.rpartition("@")
        if first and site:
            told.add(("name", site_of(site), first))
    return Asked(told=tuple(sorted(told, key=str)))


def item(text: str) -> Asked:
    """An item: "site/post_id", "site/post_id/answer_id", or its address. Raises UsageError for anything else."""
    text = text.strip()
    if "://" in text:
        return Asked(told=(("page", None, text),))
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"{text!r} names no post or answer.", _ITEM_HINT)
    return Asked(item=Item(site_of(parts[0]), *parts[1:]))


def from_file(path: Path) -> list[Asked]:
    """One name, id or address a line; "author:" or "id:" before it says which. Blank lines and "# ..." are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Name a text file with one author or id a line.") from error
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
        return author(rest) if kind == "author" else item(rest)
    if "://" in text:
        page = person_page(text)
        theirs = _of_page(page, text) if page else (("author_url", None, text),)
        return Asked(told=(*theirs, ("page", None, text)))
    is_author = "/" not in text or text.startswith(_PREFIXES)
    return author(text) if is_author else item(text)


def _of_page(page: Page, text: str) -> tuple[tuple[str, str | None, str], ...]:
    """A person by their page: the address as given and as stored, and their name or account on that site."""
    who = ("account", page.site, page.number) if page.number else ("name", page.site, page.name)
    return (who, *(("author_url", None, address) for address in dict.fromkeys([text, page.address])))


def as_lines(asked: Iterable[Asked], known: Forgotten) -> pl.DataFrame:
    """The lines of all that is asked, for the list `known`."""
    return pl.DataFrame([one for each in asked for one in each.lines(known)], schema=LINE).unique()
