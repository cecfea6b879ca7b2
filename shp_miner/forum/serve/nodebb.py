"""The embedded forum as a NodeBB site with one category: its pages of topics, and pages of 20 posts.

Shapes and habits follow NodeBB's source code and its description of the API. Deleted posts leave a stub that names who
deleted them. Deleted topics leave a stub in the list and cannot be read; the newest versions say 404 of these and of
topics that guests may not read, earlier ones 401. Nested replies stand in the same row and name the post they answer.
"""

from __future__ import annotations

import html
from typing import Any, ClassVar, TypeVar

from shp_miner.forum.live import Community, LiveAnswer, LiveItem, LiveThread
from shp_miner.forum.serve.message import Request, Response, Status

#: NodeBB's defaults: topics in a page, posts in a page.
_TOPICS, _POSTS = 20, 20

#: The number of the community's category, and of the person who deletes what others wrote.
CATEGORY_ID = 2
_ADMIN_ID = 900_000

_DELETED_TOPIC = "[[topic:topic-is-deleted]]"
_NOT_FOUND = Response(404, {"path": "/api", "loggedIn": False, "title": "[[global:404.title]]"})
_NOT_ALLOWED = Response(
    401, {"status": {"code": "not-authorised", "message": "A valid login session was not found."}, "response": {}}
)


_REFUSALS = {
    401: ("not-authorised", "A valid login session was not found. Please log in and try again."),
    403: ("forbidden", "You are not authorised to make this call."),
    410: ("gone", "This resource is not available any more."),
}


class NodebbApi:
    """NodeBB's API over a community. A private one is refused to guests, a banned one is no category."""

    platform = "nodebb"
    #: What is said of a topic that guests may not read.
    withheld: ClassVar[Response] = _NOT_FOUND

    def __init__(self, community: Community) -> None:
        self.community = community

    @property
    def slug(self) -> str:
        """The category's slug."""
        return f"{CATEGORY_ID}/{self.community.name}"

    @staticmethod
    def refusal(status: Status) -> Response:
        """NodeBB's own refusal."""
        if status == 404:
            return _NOT_FOUND
        code, says = _REFUSALS[status]
        return Response(status, {"status": {"code": code, "message": says}, "response": {}})

    def respond(self, request: Request) -> Response:
        """Answer a request as a guest's."""
        parts = [part for part in request.path.split("/") if part]
        if parts == ["api", "categories"]:
            shown = [] if self.community.private or self.community.banned else [self._category()]
            return Response(200, {"title": "[[pages:categories]]", "categories": shown})
        found: dict[str, Any] | None = None
        if not self.community.banned:
            match parts:
                case ["api", "category", number, *_] if number == str(CATEGORY_ID):
                    if self.community.private:
                        return _NOT_ALLOWED
                    found = self._list(request)
                case ["api", "topic", topic_id, *_]:
                    thread = self.community.thread(topic_id)
                    if thread and (self.community.private or thread.closed or thread.state != "live"):
                        return self.withheld
                    found = self._topic(thread, request) if thread else None
        return _NOT_FOUND if found is None else Response(200, found)

    def _category(self) -> dict[str, Any]:
        return {
            "cid": CATEGORY_ID,
            "name": html.escape(self.community.name),
            "slug": self.slug,
            "parentCid": 0,
            "children": [],
        }

    def _list(self, request: Request) -> dict[str, Any] | None:
        threads = self.community.threads("created" if request.first("sort") == "recently_created" else "activity")
        shown = sorted((thread for thread in threads if thread.category is None), key=lambda thread: not thread.pinned)
        page, count, part = _page(request, shown, _TOPICS)
        if part is None:
            return None
        topics = [self._head(thread) | {"teaserPid": int(thread.post_id)} for thread in part]
        return {**self._category(), "topic_count": len(shown), "topics": topics, "pagination": _pagination(page, count)}

    def _head(self, thread: LiveThread) -> dict[str, Any]:
        """What a list says of a topic, and the topic itself as well."""
        gone = thread.state != "live"
        title = _DELETED_TOPIC if gone else thread.title
        slug = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
        return {
            "tid": int(thread.post_id),
            "uid": int(thread.author_id),
            "cid": CATEGORY_ID,
            "mainPid": int(thread.post_id),
            "title": html.escape(title),
            "titleRaw": title,
            "slug": thread.post_id if gone else f"{thread.post_id}/{slug}",
            "timestamp": thread.created_s * 1000,
            "lastposttime": thread.activity_s * 1000,
            "postcount": 1 + sum(1 for _ in thread.walk()),
            "viewcount": thread.views,
            "deleted": int(gone),
            "locked": 0,
            "pinned": int(thread.pinned),
            "upvotes": thread.up,
            "downvotes": thread.down,
            "votes": thread.score,
        }

    def _topic(self, thread: LiveThread, request: Request) -> dict[str, Any] | None:
        answers = sorted(thread.walk(), key=lambda answer: (answer.created_s, int(answer.answer_id)))
        rows = [_post(thread, thread.post_id), *(_post(answer, answer.answer_id) for answer in answers)]
        if request.first("sort") == "most_votes":
            rows[1:] = sorted(rows[1:], key=lambda row: -row["votes"])
        page, count, part = _page(request, rows, _POSTS)
        if part is None:
            return None
        return {
            **self._head(thread),
            "posts": part,
            "category": self._category(),
            "reputation:disabled": 0,
            "downvote:disabled": 0,
            "isQuestion": 1,
            "solvedPid": int(thread.accepted_id) if thread.accepted_id else 0,
            "pagination": _pagination(page, count),
        }


class NodebbOldApi(NodebbApi):
    """A version of NodeBB that refuses what guests may not read instead of denying that it is there."""

    withheld: ClassVar[Response] = _NOT_ALLOWED


def _post(item: LiveItem, item_id: str) -> dict[str, Any]:
    deleter = {"deleted": int(item.author_id), "removed": _ADMIN_ID}.get(item.state)
    paragraphs = "".join(f"<p>{html.escape(part)}</p>\n" for part in item.body.split("\n\n"))
    return {
        "pid": int(item_id),
        "tid": int(item.post_id),
        "uid": 0 if item.author is None else int(item.author_id),
        "content": paragraphs if item.state == "live" else "[[topic:post-is-deleted]]",
        "timestamp": item.created_s * 1000,
        "edited": (item.edited_s or 0) * 1000,
        "deleted": int(item.state != "live"),
        **({} if deleter is None else {"deleterUid": deleter}),
        "upvotes": item.up,
        "downvotes": item.down,
        "votes": item.score,
        **_replies_to(item),
        "user": _user(item),
    }


def _replies_to(item: LiveItem) -> dict[str, int]:
    """What somebody pressed "reply" at: for the question that is done by some and not others."""
    if not isinstance(item, LiveAnswer):
        return {}
    said = item.parent_id != item.post_id or int(item.answer_id) % 3 == 0
    return {"toPid": int(item.parent_id)} if said else {}


def _user(item: LiveItem) -> dict[str, Any]:
    if item.author is None:
        return {"uid": 0, "username": "[[global:former-user]]", "userslug": "", "selectedGroups": []}
    groups = [{"name": "Global Moderators", "slug": "global-moderators"}] if item.role == "moderator" else []
    slug = "-".join(item.author.lower().split())
    return {
        "uid": int(item.author_id),
        "username": html.escape(item.author),
        "userslug": slug,
        "selectedGroups": groups,
    }


_Item = TypeVar("_Item")


def _page(request: Request, items: list[_Item], size: int) -> tuple[int, int, list[_Item] | None]:
    """The number of the page asked for, how many there are, and its items; null beyond the last."""
    count = max(1, -(-len(items) // size))
    text = request.first("page", "1")
    page = int(text) if text.isdecimal() else 1
    return page, count, items[(page - 1) * size : page * size] if 1 <= page <= count else None


def _pagination(page: int, count: int) -> dict[str, Any]:
    return {
        "currentPage": page,
        "pageCount": count,
        "prev": {"page": max(1, page - 1), "active": page > 1},
        "next": {"page": min(count, page + 1), "active": page < count},
    }
