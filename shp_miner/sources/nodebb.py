"""NodeBB forums, through the JSON version of each page (/api/...).

A topic comes in pages of 20 posts, as HTML. Their Markdown (/api/v3/posts/{pid}) is not requested: it would cost one
request per post instead of one per 20 posts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import unescape
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from shp_miner.errors import BadInput, Error, NotAllowed
from shp_miner.platforms.items import Answer, ItemState, Post, Role, Thread
from shp_miner.sources.access import Access, http_of, site_address, site_and_url
from shp_miner.sources.evidence import Door, Meanings, at_the_door, refusals_as_evidence
from shp_miner.sources.limits import Limits
from shp_miner.sources.nodebb_categories import AllCategories, Categories, by_name, is_link
from shp_miner.sources.software import other_software
from shp_miner.sources.source import Gone, Items, Listed, Listing, Unreadable
from shp_miner.text.notices import notice_state

if TYPE_CHECKING:
    from shp_miner.sources.http import Http

_T = TypeVar("_T")

#: No documented number.
LIMITS = Limits(requests=60, interval_s=60, burst=5)

#: Ids are numbers, and addresses for posts and people from other servers (ActivityPub, since version 4).
_Id = int | str
#: Flags were 0 and 1 first and became true and false.
_Flag = int | bool

#: Groups that every forum has, and the ranks that they are.
_RANKS: dict[str, Role] = {"administrators": "admin", "global-moderators": "moderator"}

#: What refusals of one topic mean. Guests are told 401 of topics that were deleted and of those that they may not read,
#: and by the newest releases 404 of both; which it is tells the category. Deleted topics that are shown bear a flag.
MEANINGS = Meanings(
    statuses={401: "closed", 403: "forbidden", 404: "missing", 410: "missing"},
    own={"path": str, "bodyClass": str, "loggedIn": bool, "response": dict},
)


@contextmanager
def opened(access: Access) -> Iterator[NodeBB]:
    """Open a forum. See registry.Module."""
    site, url = site_and_url(NodeBB.name, access)
    with http_of(url, LIMITS, access) as http:
        yield NodeBB(http, site, site_address(NodeBB.name, site, access.site, url))


class _Group(msgspec.Struct):
    slug: str = ""


class _User(msgspec.Struct, kw_only=True):
    uid: _Id
    username: str | None
    userslug: str | None = None
    #: The groups whose badge stands beside the name, by their slugs.
    groups: list[_Group | None] | None = msgspec.field(default=None, name="selectedGroups")


class _Post(msgspec.Struct, kw_only=True):
    """A post. `timestamp` and `edited` are milliseconds since 1970, 0 for never."""

    pid: _Id
    uid: _Id
    timestamp: int
    content: str | None
    votes: int
    deleted: _Flag
    user: _User
    upvotes: int | None = None
    downvotes: int | None = None
    to_pid: _Id | None = msgspec.field(default=None, name="toPid")
    edited: int | str | None = None
    deleter: _Id | None = msgspec.field(default=None, name="deleterUid")


class _Pagination(msgspec.Struct):
    page_count: int = msgspec.field(name="pageCount")


class _Topic(msgspec.Struct, kw_only=True):
    tid: _Id
    title: str
    slug: str
    posts: list[_Post]
    postcount: int
    pagination: _Pagination
    views: int | None = msgspec.field(default=None, name="viewcount")
    lastposttime: int | None = None
    main_pid: _Id | None = msgspec.field(default=None, name="mainPid")
    title_raw: str | None = msgspec.field(default=None, name="titleRaw")
    pinned: _Flag = 0
    deleted: _Flag = 0
    no_votes: _Flag | None = msgspec.field(default=None, name="reputation:disabled")
    #: The answer that solved the question, where the plugin for that is installed.
    solved_pid: _Id | None = msgspec.field(default=None, name="solvedPid")


class _ListedTopic(msgspec.Struct, kw_only=True):
    tid: _Id
    lastposttime: int
    deleted: _Flag = 0
    pinned: _Flag = 0


class _Privileges(msgspec.Struct, frozen=True):
    """What a guest may do in a category; a list of topics may be shown to people who may not read them."""

    may_read: _Flag = msgspec.field(default=True, name="topics:read")


class _CategoryPage(msgspec.Struct, kw_only=True):
    cid: _Id
    slug: str
    topics: list[_ListedTopic]
    pagination: _Pagination
    privileges: _Privileges = _Privileges()


#: A category that only leads somewhere else answers with the address, as a bare string.
_PAGE_OR_LINK: Any = _CategoryPage | str


class _Pages:
    """The pages of a topic that were handed out, one after the other."""

    def __init__(self, first: _Topic) -> None:
        self._first, self.last = first, first
        self.posts: dict[str, _Post] = {}
        self._count = 0
        self.add(first)

    def add(self, page: _Topic) -> None:
        """The next page."""
        self.last = page
        self._count += 1
        self.posts |= {str(post.pid): post for post in page.posts}

    @property
    def whole(self) -> bool:
        """Whether all posts were handed out and none went away meanwhile. A single page cannot slip."""
        return self._count == self.last.pagination.page_count == 1 or not (self._left_out or self._went_away)

    @property
    def missing(self) -> int:
        """How many posts are there and were not handed out, at least."""
        return max(self._left_out, 0 if self.whole else self._went_away, 0)

    @property
    def _left_out(self) -> int:
        return max(0, self.last.postcount - len(self.posts))

    @property
    def _went_away(self) -> int:
        """How many posts went away between the first request and the last: each lets one of a later page slip.

        Counts alone do not show it, since somebody may have answered meanwhile.
        """
        newest = self._first.lastposttime
        came = sum(newest is not None and post.timestamp > newest for post in self.posts.values())
        return max(0, self._first.postcount + came - self.last.postcount)


class NodeBB:
    """A NodeBB forum. A community is a category: its id ("5"), its slug ("5/general") or the slug's name ("general").

    Topics are listed by their newest reply, so a topic comes up again when it is answered.
    """

    name = "nodebb"
    platform = "nodebb"
    order: Literal["oldest", "newest"] = "newest"
    lists_activity = True
    ids_per_request = 0
    looks_up = False
    tells_the_past = False

    def __init__(self, http: Http, site: str, address: str | None = None) -> None:
        """`address` is where people find the site; its host with https:// where nothing else is known."""
        self._http, self.site = http, site
        self._given = address or f"https://{site}"
        self._door = Door(self._readable, lambda _, post_id: self._page(post_id, 1), site, refuses_the_gone=True)

    def verify(self, community: str) -> str:
        """Return the category's slug, which starts with its id."""
        wanted = community.strip("/").lower()
        number = wanted.partition("/")[0]
        if number.startswith("-") and number[1:].isdecimal():
            raise BadInput(
                f"Category {number} of {self.site} has topics of other servers: copies with other scores.",
                "Crawl those servers, or choose another category.",
            )
        if number.isdecimal():
            page = self._category(number)
            if page is not None:
                return page.slug
        return self._by_name(wanted)

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:  # noqa: ARG002
        """Return a page of topics by their newest reply; `since` is not supported."""
        number = int(token or 1)
        found = self._listed(community, number)
        if found is None:
            return Listing([])  # topics went away since the page before said that there is another
        return Listing(
            # Stubs of deleted topics stay in the list; whoever knows the topic finds out when reading it again.
            [
                Listed(str(topic.tid), topic.lastposttime * 1000, bool(topic.pinned))
                for topic in found.topics
                if not topic.deleted
            ],
            str(number + 1) if number < found.pagination.page_count else None,
        )

    def thread(self, community: str, post_id: str) -> Thread:
        """Return the topic with the posts that answer its first post."""
        try:
            topic = self._page(post_id, 1)
        except Unreadable as refused:
            raise self._door.judged(community, post_id, refused) from None
        self._door.opened(community)
        pages = self._pages(topic)
        if not pages.whole:
            # A post that went away between two requests let another one slip to a page that had been read.
            pages = self._pages(self._page(post_id, 1))
        return self._thread(pages)

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Not offered: scores come with whole pages of a topic, so `thread` reads them again."""
        raise NotImplementedError("NodeBB reads whole threads (ids_per_request is 0).")

    def _readable(self, community: str) -> list[Listed]:
        """Topics that a guest should be able to read. Raises NotAllowed where the category shows its list only."""
        page = self._listed(community, 1)
        if page is not None and not page.privileges.may_read:
            raise self._closed()
        return (
            []
            if page is None
            else [Listed(str(topic.tid), topic.lastposttime) for topic in page.topics if not topic.deleted]
        )

    def _listed(self, community: str, number: int) -> _CategoryPage | None:
        """A page of a category, null for one after the first that is not there."""
        category = community.partition("/")[0]
        # The site's owner may have chosen another order.
        found = self._category(category, sort="recently_replied", page=number)
        if found is None and number == 1:
            raise BadInput(f"{self.site} has no public category {community!r}.")
        return found

    def _category(self, number: str, **params: str | int) -> _CategoryPage | None:
        """A page of a category. Raises BadInput for one that only leads somewhere else."""
        found: _CategoryPage | str | None = self._ask(f"/api/category/{number}", _PAGE_OR_LINK, **params)
        if isinstance(found, str):
            raise is_link(self.site, number, found)
        return found

    def _pages(self, first: _Topic) -> _Pages:
        """All pages of a topic, as far as they are handed out."""
        pages = _Pages(first)
        number = 1
        while number < pages.last.pagination.page_count:
            number += 1
            try:
                pages.add(self._page(str(first.tid), number))
            except Unreadable as refused:
                if refused.evidence in ("closed", "wall"):
                    raise
                break
        return pages

    @property
    def _address(self) -> str:
        """The site's address; the one that it sends everybody on to, if that gained encryption."""
        return self._given.replace("http://", "https://", 1) if self._http.encrypted else self._given

    def _thread(self, pages: _Pages) -> Thread:
        topic, posts = pages.last, pages.posts
        if topic.deleted:
            raise Gone("deleted")
        main = None if topic.main_pid in (None, "", 0) else str(topic.main_pid)
        first = next(iter(posts.values()), None) if main is None else posts.get(main)
        if first is None:
            raise Unreadable("missing", f"{self.site} shows topic {topic.tid} without its first post.")
        replies = [post for post in posts.values() if post is not first and _answers(post, first)]
        question = Post(
            **self._shared(topic, first),
            title=topic.title_raw or unescape(topic.title),
            url=f"{self._address}/topic/{topic.slug}",
            views=topic.views,
            stickied=bool(topic.pinned),
        )
        answers = [
            Answer(
                **self._shared(topic, post),
                answer_id=str(post.pid),
                url=f"{self._address}/post/{quote(str(post.pid), safe='')}",
                accepted=topic.solved_pid is not None and str(topic.solved_pid) == str(post.pid),
            )
            for post in replies
        ]
        changed_at = None if topic.lastposttime is None else topic.lastposttime * 1000
        return Thread(question, answers, pages.missing, changed_at)

    def _shared(self, topic: _Topic, post: _Post) -> dict[str, Any]:
        """What posts and answers have in common."""
        state = _state(post)
        author = _author(post.user)
        slug = post.user.userslug
        return {
            "post_id": str(topic.tid),
            "created_at": post.timestamp * 1000,
            "body": (post.content or "") if state == "live" else "",
            "body_format": "html",
            "score": None if topic.no_votes else post.votes,
            "upvotes": None if topic.no_votes else post.upvotes,
            "downvotes": None if topic.no_votes else post.downvotes,
            "author": author,
            "author_id": str(post.uid) if author else None,
            "author_url": f"{self._address}/user/{quote(slug)}" if author and slug else None,
            "author_role": _role(post.user),
            "state": state,
            "edited": post.edited not in (None, 0, "", "0"),
        }

    def _page(self, post_id: str, number: int) -> _Topic:
        params: dict[str, str | int] = {"page": number, "sort": "oldest_to_newest"}
        with refusals_as_evidence(MEANINGS):
            return self._http.get(f"/api/topic/{post_id}", _Topic, params=params)

    def _by_name(self, wanted: str) -> str:
        """The slug of the category with this name. Raises BadInput with the names there are."""
        found = self._ask("/api/categories", Categories)
        if found is None:
            raise self._other_software()
        return by_name(self.site, wanted, found, self._everything)

    def _everything(self) -> AllCategories | None:
        try:
            return self._http.get_or_none("/api/v3/categories", AllCategories)
        except (NotAllowed, BadInput):
            return None  # a release that has no such list

    def _ask(self, path: str, kind: type[_T], **params: str | int) -> _T | None:
        try:
            return self._http.get_or_none(path, kind, params=params)
        except (NotAllowed, BadInput) as error:
            raise at_the_door(error, MEANINGS) or self._named(error) from error

    def _named(self, error: Error) -> Error:
        return self._other_software(error) if isinstance(error, BadInput) else self._closed()

    def _closed(self) -> NotAllowed:
        return NotAllowed(f"{self.site} does not show this category to the public.", "Only public content is crawled.")

    def _other_software(self, error: BadInput | None = None) -> BadInput:
        return other_software(self._http, self.site, self.name, error)


def _answers(post: _Post, first: _Post) -> bool:
    """Whether the post replies to the first one; posts that reply to nobody in particular do."""
    return post.to_pid in (None, "", 0, "0") or str(post.to_pid) == str(first.pid)


def _state(post: _Post) -> ItemState:
    if not post.deleted:
        return notice_state("nodebb", post.content or "", html=True) or "live"
    by_other = post.deleter not in (None, "", 0) and str(post.deleter) != str(post.uid)
    return "removed" if by_other else "deleted"


def _role(user: _User) -> Role:
    """What the author's badges say. They mark no post as official: rules take roles for ranks (`rules.profiles`)."""
    slugs = {group.slug for group in user.groups or () if group}
    return next((role for slug, role in _RANKS.items() if slug in slugs), "member")


def _author(user: _User) -> str | None:
    """The name, null where the account is gone: then a word in the reader's language stands there, as [[key]]."""
    name = user.username
    return None if not name or name.startswith("[[") else unescape(name)
