"""NodeBB forums, through the JSON that stands behind each of their pages (/api/...).

A topic comes in pages of 20 posts, as HTML. Their Markdown (/api/v3/posts/{pid}) is not asked for: that would be a
request for each post instead of one for 20.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from html import unescape
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from shp_miner.errors import BadInput, NotAllowed
from shp_miner.sources.items import Answer, Post, Role, State, Thread
from shp_miner.sources.source import Gone, Items, Listed, Listing

if TYPE_CHECKING:
    from shp_miner.sources.http import Http

_T = TypeVar("_T")

#: Ids are numbers, and addresses for posts and people from other servers (ActivityPub, since version 4).
_Id = int | str
#: Flags were 0 and 1 first and became true and false.
_Flag = int | bool

#: The groups whose badge tells what a person is.
_ROLES: dict[str, Role] = {"administrators": "admin", "global-moderators": "moderator"}


class _Group(msgspec.Struct):
    slug: str = ""


class _User(msgspec.Struct, kw_only=True):
    uid: _Id
    username: str | None
    userslug: str | None = None
    selected_groups: list[_Group] | None = msgspec.field(default=None, name="selectedGroups")


class _Post(msgspec.Struct, kw_only=True):
    """A post. `timestamp` and `edited` are milliseconds since 1970, 0 for never."""

    pid: _Id
    uid: _Id
    timestamp: int
    content: str | None
    votes: int
    deleted: _Flag
    user: _User
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


class _Category(msgspec.Struct, kw_only=True):
    cid: _Id
    slug: str
    children: list[_Category] | None = None


class _Categories(msgspec.Struct):
    categories: list[_Category]


class _CategoryPage(msgspec.Struct, kw_only=True):
    cid: _Id
    slug: str
    topics: list[_ListedTopic]
    pagination: _Pagination


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

    def __init__(self, http: Http, site: str) -> None:
        self._http, self.site = http, site

    def verify(self, community: str) -> str:
        """The category's slug, which starts with its id."""
        wanted = community.strip("/").lower()
        number = wanted.partition("/")[0]
        if number.lstrip("-").isdecimal():
            page = self._ask(f"/api/category/{number}", _CategoryPage)
            if page is not None:
                return page.slug
        return self._by_name(wanted)

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:  # noqa: ARG002
        """A page of topics by their newest reply; `since` cannot be asked for."""
        page = int(token or 1)
        number = community.partition("/")[0]
        # The site's owner may have chosen another order.
        found = self._ask(f"/api/category/{number}", _CategoryPage, sort="recently_replied", page=page)
        if found is None:
            if page > 1:
                return Listing([])  # topics went away since the page before said that there is another
            raise BadInput(f"{self.site} has no category {community!r} that the public can read.")
        return Listing(
            # Stubs of deleted topics stay in the list; whoever knows the topic finds out when reading it again.
            [
                Listed(str(one.tid), one.lastposttime * 1000, bool(one.pinned))
                for one in found.topics
                if not one.deleted
            ],
            str(page + 1) if page < found.pagination.page_count else None,
        )

    def thread(self, community: str, post_id: str) -> Thread:
        """The topic with the posts that answer its first one."""
        try:
            topic = self._page(post_id, 1)
        except NotAllowed:
            # Older versions say so of deleted topics, too.
            self._still_open(community)
            raise Gone("removed") from None
        if topic is None:
            self._still_open(community)
            raise Gone("deleted")
        if topic.deleted:
            raise Gone("deleted")
        posts = {str(post.pid): post for post in topic.posts}
        for number in range(2, topic.pagination.page_count + 1):
            page = self._page(post_id, number)
            if page is None:
                break
            posts |= {str(post.pid): post for post in page.posts}
        return self._thread(topic, posts)

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Not offered: scores come with whole pages of a topic, so `thread` reads them again."""
        raise NotImplementedError("NodeBB reads whole threads (ids_per_request is 0).")

    def _thread(self, topic: _Topic, posts: dict[str, _Post]) -> Thread:
        first = posts.get(str(topic.main_pid)) or next(iter(posts.values()), None)
        if first is None:
            raise Gone("removed")
        replies = [post for post in posts.values() if post is not first and _answers(post, first)]
        question = Post(
            **self._shared(topic, first),
            title=topic.title_raw or unescape(topic.title),
            url=f"https://{self.site}/topic/{topic.slug}",
            stickied=bool(topic.pinned),
        )
        answers = [
            Answer(
                **self._shared(topic, post),
                answer_id=str(post.pid),
                url=f"https://{self.site}/post/{quote(str(post.pid), safe='')}",
                accepted=topic.solved_pid is not None and str(topic.solved_pid) == str(post.pid),
            )
            for post in replies
        ]
        changed_at = None if topic.lastposttime is None else topic.lastposttime * 1000
        return Thread(question, answers, max(0, topic.postcount - len(posts)), changed_at)

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
            "author": author,
            "author_id": str(post.uid) if author else None,
            "author_url": f"https://{self.site}/user/{quote(slug)}" if author and slug else None,
            "author_role": _role(post.user),
            "state": state,
            "edited": post.edited not in (None, 0, "", "0"),
        }

    def _page(self, post_id: str, number: int) -> _Topic | None:
        params: dict[str, str | int] = {"page": number, "sort": "oldest_to_newest"}
        return self._http.get_or_none(f"/api/topic/{post_id}", _Topic, params=params)

    def _still_open(self, community: str) -> None:
        """Raise where the whole category cannot be read: then a topic that does not show is not gone.

        NodeBB answers alike for both. What is called gone is purged for good, which is worth one more request.
        """
        self.listing(community, since=None, token=None)

    def _by_name(self, wanted: str) -> str:
        """The slug of the category with this name. Raises BadInput with the names there are."""
        found = self._ask("/api/categories", _Categories)
        if found is None:
            raise self._other_software()
        slugs = list(dict.fromkeys(category.slug for category in _flat(found.categories)))
        matches = [slug for slug in slugs if wanted in (slug.lower(), slug.lower().partition("/")[2])]
        if len(matches) > 1:
            raise BadInput(f"{self.site} has several categories {wanted!r}.", f"Name one of {', '.join(matches)}.")
        if not matches:
            near = get_close_matches(wanted, slugs, n=3, cutoff=0.4) or slugs[:5]
            raise BadInput(
                f"{self.site} has no category {wanted!r} that the public can read.",
                f"Categories it has: {', '.join(near)}.",
            )
        return matches[0]

    def _ask(self, path: str, kind: type[_T], **params: str | int) -> _T | None:
        try:
            return self._http.get_or_none(path, kind, params=params)
        except NotAllowed as error:
            raise NotAllowed(
                f"{self.site} does not show this category to the public.", "Only what the public can read is crawled."
            ) from error
        except BadInput as error:
            raise self._other_software(error) from error

    def _other_software(self, error: BadInput | None = None) -> BadInput:
        why = f" ({error.message.rstrip('.')})" if error else ""
        return BadInput(
            f"{self.site} does not answer like a NodeBB forum{why}.",
            "Check the address, and that the site runs NodeBB.",
        )


def _flat(categories: Iterable[_Category]) -> list[_Category]:
    return [one for category in categories for one in (category, *_flat(category.children or ()))]


def _answers(post: _Post, first: _Post) -> bool:
    """Whether the post replies to the first one; posts that reply to nobody in particular do."""
    return post.to_pid in (None, "", 0, "0") or str(post.to_pid) == str(first.pid)


def _state(post: _Post) -> State:
    if not post.deleted:
        return "live"
    by_other = post.deleter not in (None, "", 0) and str(post.deleter) != str(post.uid)
    return "removed" if by_other else "deleted"


def _author(user: _User) -> str | None:
    """The name, null where the account is gone: then a word in the reader's language stands there, as [[key]]."""
    name = user.username
    return None if not name or name.startswith("[[") else unescape(name)


def _role(user: _User) -> Role:
    found = {_ROLES[group.slug] for group in user.selected_groups or () if group.slug in _ROLES}
    return "admin" if "admin" in found else "moderator" if found else "member"
