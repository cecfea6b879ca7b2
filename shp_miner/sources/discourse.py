"""Discourse forums, through the JSON version of each page.

A topic costs one request for its first 20 posts and one for each 20 more. Topics are listed by activity, so a topic is
listed again when it is answered. Likes do not count as activity, so scores are read again by age.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from shp_miner.errors import BadInput, Error, NotAllowed
from shp_miner.platforms.discourse import (
    Categories,
    Category,
    Moment,
    PostStream,
    Site,
    Topic,
    TopicPost,
    category_names,
    to_thread,
)
from shp_miner.platforms.items import Thread
from shp_miner.sources.access import Access, http_of, site_address, site_and_url
from shp_miner.sources.evidence import Door, Meanings, at_the_door, refusals_as_evidence
from shp_miner.sources.limits import Limits, Wait
from shp_miner.sources.software import other_software
from shp_miner.sources.source import Gone, Items, Listed, Listing, Unreadable
from shp_miner.sources.table import ROWS
from shp_miner.units import to_us

if TYPE_CHECKING:
    from shp_miner.sources.http import Http

_T = TypeVar("_T")

#: What refusals of one topic mean. 404 is the answer to guests for topics of closed categories, too, and 410 that of
#: sites with detailed errors; which it is tells the listing. Deleted topics that are shown bear `deleted_at`.
MEANINGS = Meanings(
    words={"not_found": "missing", "invalid_access": "forbidden", "not_logged_in": "closed"},
    statuses={401: "closed", 403: "forbidden", 404: "missing", 410: "missing"},
    own={"errors": list, "error_type": str},
)

#: The community that is all topics of a site.
WHOLE_SITE = ROWS["discourse"].whole_site

#: Posts in one answer, as Discourse's own client asks for them.
_POSTS_PER_REQUEST = 20
_PLAIN_SLUG = re.compile(r"[a-z0-9_-]+")


class _Extras(msgspec.Struct):
    wait_seconds: float


class _Limited(msgspec.Struct):
    extras: _Extras


_LIMITED = msgspec.json.Decoder(_Limited)


def signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """Read the wait that a refusal requests: `extras.wait_seconds`."""
    if status != 429:
        return None
    try:
        wait_s = _LIMITED.decode(body).extras.wait_seconds
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Wait(now + max(0.0, wait_s), f"asks for a pause of {wait_s:.0f} s (wait_seconds)", retry=True)


#: Half of the default of 200 a minute and 50 in 10 seconds, which other readers at the same address use too.
LIMITS = Limits(requests=100, interval_s=60, burst=10, signals=signals)


@contextmanager
def opened(access: Access) -> Iterator[Discourse]:
    """Open a forum. See registry.Module."""
    site, url = site_and_url(Discourse.name, access)
    with http_of(url, LIMITS, access) as http:
        yield Discourse(http, site, site_address(Discourse.name, site, access.site, url))


class _ListedTopic(msgspec.Struct, kw_only=True):
    id: int
    bumped_at: Moment
    pinned: bool | None = None
    pinned_globally: bool | None = None


class _TopicList(msgspec.Struct):
    topics: list[_ListedTopic]
    more_topics_url: str | None = None


class _Latest(msgspec.Struct):
    topic_list: _TopicList


class _MorePosts(msgspec.Struct):
    post_stream: PostStream


class Discourse:
    """A Discourse forum. A community is a category by its slug ("support", "support/linux"), or "latest" for all.

    A category has its own topics only; a sub-category is a separate community, so no topic is in two.
    """

    name = "discourse"
    platform = "discourse"
    order: Literal["oldest", "newest"] = "newest"
    lists_activity = True
    ids_per_request = 0
    looks_up = False
    tells_the_past = False

    def __init__(self, http: Http, site: str, address: str | None = None) -> None:
        """`address` is where people find the site; its host with https:// where nothing else is known."""
        self._http, self.site = http, site
        self._given = address or f"https://{site}"
        self._categories: dict[int, Category] = {}
        self._door = Door(lambda name: self.listing(name, since=None, token=None).threads, self._topic, site)

    def verify(self, community: str) -> str:
        """Return the category's slug with those above it."""
        if community.lower() == WHOLE_SITE:
            self.listing(WHOLE_SITE, since=None, token=None)
            return WHOLE_SITE
        number = self._category(community)
        return category_names(self._categories.values())[number]

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:  # noqa: ARG002
        """Return a page of topics by activity; `since` is not supported."""
        page = int(token or 0)
        params: dict[str, str | int | None] = {"order": "activity", "page": page or None}
        path = "/latest.json"
        if community != WHOLE_SITE:
            # Not /c/{slug}/{id}.json: that shows what the category's owner made its first page, which may be "top".
            path = f"/c/{self._path(self._category(community))}/l/latest.json"
            params["no_subcategories"] = True
        found = self._ask(path, _Latest, **params)
        if found is None:
            if community == WHOLE_SITE:
                raise self._other_software()
            raise BadInput(f"{self.site} no longer has a public category {community!r}.")
        topics = found.topic_list.topics
        return Listing(
            [
                Listed(str(topic.id), to_us(topic.bumped_at), bool(topic.pinned or topic.pinned_globally))
                for topic in topics
            ],
            str(page + 1) if topics and found.topic_list.more_topics_url else None,
        )

    def thread(self, community: str, post_id: str) -> Thread:
        """Return the topic with all posts that answer its opening post; the others are requested too, 20 at a time."""
        try:
            topic = self._topic(community, post_id)
        except Unreadable as refused:
            raise self._door.judged(community, post_id, refused) from None
        self._door.opened(community)
        if topic.deleted_at is not None:
            raise Gone("removed")
        with refusals_as_evidence(MEANINGS):
            posts, missing = self._posts(topic)
        thread = to_thread(topic, posts, self._address, missing)
        if thread is None:
            raise Unreadable("missing", f"{self.site} shows topic {post_id} without its opening post.")
        return thread

    def _topic(self, community: str, post_id: str) -> Topic:  # noqa: ARG002  (the site's ids need none)
        with refusals_as_evidence(MEANINGS):
            return self._http.get(f"/t/{post_id}.json", Topic, params={"include_raw": 1})

    @property
    def _address(self) -> str:
        """The site's address; the one that it sends everybody on to, if that gained encryption."""
        return self._given.replace("http://", "https://", 1) if self._http.encrypted else self._given

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Not offered: Discourse gives posts by topic, so `thread` reads them again."""
        raise NotImplementedError("Discourse reads whole threads (ids_per_request is 0).")

    def _posts(self, topic: Topic) -> tuple[list[TopicPost], int]:
        """All posts in their order, and how many the site lists and does not hand out."""
        posts = {post.id: post for post in topic.post_stream.posts}
        stream = topic.post_stream.stream
        if stream is None:
            # Topics of over 10,000 posts come without ids; 500 requests for one thread are too many for a guest.
            return list(posts.values()), max(0, topic.posts_count - len(posts))
        rest = [number for number in stream if number not in posts]
        for start in range(0, len(rest), _POSTS_PER_REQUEST):
            asked = rest[start : start + _POSTS_PER_REQUEST]
            params: dict[str, int | list[int]] = {"post_ids[]": asked, "include_raw": 1}
            more = self._http.get_or_none(f"/t/{topic.id}/posts.json", _MorePosts, params=params)
            if more is None:
                break
            posts |= {post.id: post for post in more.post_stream.posts}
        return [posts[number] for number in stream if number in posts], sum(number not in posts for number in stream)

    def _category(self, community: str) -> int:
        """The id of a category by its slug, the slugs of its path, its id, or "slug/id"."""
        wanted = community.strip("/").lower()
        matches = _matching(self._categories, wanted)
        if not matches:
            self._load(wanted)
            matches = _matching(self._categories, wanted)
        known = category_names(self._categories.values())
        if len(matches) > 1:
            named = " and ".join(sorted(known[number] for number in matches))
            raise BadInput(f"{self.site} has several categories {wanted!r}: {named}.", "Name one by its full path.")
        if not matches:
            near = get_close_matches(wanted, sorted(known.values()), n=3, cutoff=0.4) or sorted(known.values())[:5]
            raise BadInput(
                f"{self.site} has no public category {wanted!r}.",
                f"Its categories: {', '.join(near)}. `{WHOLE_SITE}` reads all of them.",
            )
        return matches[0]

    def _load(self, wanted: str) -> None:
        """Learn which categories there are."""
        site = self._ask("/site.json", Site)
        if site is None:
            raise self._other_software()
        self._categories = {category.id: category for category in site.categories}
        if not _matching(self._categories, wanted):
            # Sites with very many categories leave them out of the first answer.
            listed = self._ask("/categories.json", Categories, include_subcategories=True)
            tops = listed.category_list.categories if listed else []
            self._categories |= {
                category.id: category for top in tops for category in (top, *(top.subcategory_list or ()))
            }

    def _ask(self, path: str, kind: type[_T], **params: str | int | None) -> _T | None:
        try:
            return self._http.get_or_none(path, kind, params=params)
        except (NotAllowed, BadInput) as error:
            raise at_the_door(error, MEANINGS) or self._named(error) from error

    def _path(self, number: int) -> str:
        """The category in an address: its slugs and its id, which alone counts, but other slugs cost a redirect."""
        slugs = category_names(self._categories.values())[number]
        plain = all(_PLAIN_SLUG.fullmatch(slug) for slug in slugs.split("/"))
        return f"{slugs}/{number}" if plain else str(number)

    def _named(self, error: Error) -> Error:
        if isinstance(error, BadInput):
            return self._other_software(error)
        return NotAllowed(f"{self.site} shows its topics to members only.", "Only public content is crawled.")

    def _other_software(self, error: BadInput | None = None) -> BadInput:
        return other_software(self._http, self.site, self.name, error)


def _matching(categories: Mapping[int, Category], wanted: str) -> list[int]:
    """The ids of the categories that are meant: by id, by whole path, or by the last slug alone."""
    known = category_names(categories.values())
    number = wanted.rsplit("/", 1)[-1]
    if number.isdecimal() and int(number) in known:
        return [int(number)]
    exact = [number for number, path in known.items() if path == wanted]
    return exact or [number for number, path in known.items() if path.rsplit("/", 1)[-1] == wanted]
