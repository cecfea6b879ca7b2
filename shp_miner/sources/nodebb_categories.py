"""Finding a NodeBB category by name, at every depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

import msgspec

from shp_miner.errors import BadInput


class Category(msgspec.Struct, kw_only=True):
    """A category. The slug starts with the id; one with a `link` has no topics and leads there."""

    cid: int | str
    slug: str
    link: str | None = None
    children: list[Category] | None = None


class Categories(msgspec.Struct):
    """The page of all categories: two levels, and the first ten of each category on the second level."""

    categories: list[Category]


class AllCategories(msgspec.Struct):
    """What the newer API lists (/api/v3/categories, since NodeBB 3): categories of every depth, side by side."""

    response: Categories


def by_name(site: str, wanted: str, shown: Categories, everything: Callable[[], AllCategories | None]) -> str:
    """Return the slug of the category with this name. `everything` is called if `shown` has no such name.

    Raises BadInput, with the names there are, for no or several matches and for a category that is a link.
    """
    known = {category.slug: category for category in _flat(shown.categories)}
    matches = _named(wanted, known)
    if not matches:
        more = everything()
        known |= {category.slug: category for category in _flat(more.response.categories)} if more else {}
        matches = _named(wanted, known)
    if len(matches) > 1:
        raise BadInput(f"{site} has several categories {wanted!r}.", f"Name one of {', '.join(matches)}.")
    if not matches:
        near = get_close_matches(wanted, known, n=3, cutoff=0.4) or list(known)[:5]
        raise BadInput(
            f"{site} has no public category {wanted!r}.",
            f"Its categories: {', '.join(near)}. You can also give the number in a category's address.",
        )
    found = known[matches[0]]
    if found.link:
        raise is_link(site, str(found.cid), found.link)
    return found.slug


def is_link(site: str, number: str, leads_to: str) -> BadInput:
    """Return the error for a category that is only a link."""
    return BadInput(
        f"Category {number} of {site} has no topics; it is a link to {leads_to:.200}.",
        "Crawl the target of the link, or choose another category.",
    )


def _named(wanted: str, slugs: Iterable[str]) -> list[str]:
    """The slugs that are meant: "5/general" by the whole or by "general"."""
    return [slug for slug in slugs if wanted in (slug.lower(), slug.lower().partition("/")[2])]


def _flat(categories: Iterable[Category]) -> list[Category]:
    return [nested for category in categories for nested in (category, *_flat(category.children or ()))]
