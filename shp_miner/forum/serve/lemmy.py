"""Lemmy's API over a community: a server of 1.0, which speaks v4 and some v3, or one of 0.19, which speaks v3.

Anonymous readers, as a crawler is one, do not find deleted and removed posts; of comments they see stubs. Everything
starts with a point, its author's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from shp_miner.forum.live import Community, LiveAnswer, LiveItem, LiveThread
from shp_miner.forum.serve.message import Request, Response, Status
from shp_miner.forum.simulate import SITE

_PAGE_MAX, _PAGE_DEFAULT, _TREE_MAX = 50, 10, 300
#: How far back a list of posts goes where nobody says otherwise: a setting of the instance.
_DEFAULT_RANGE_S = 7 * 86_400
_OWN_VOTE = 1

Json = dict[str, Any]
#: A comment with the ids of what is above it.
_Placed = tuple[LiveAnswer, tuple[str, ...]]

_SORTS: dict[str, Callable[[LiveAnswer], tuple[float, ...]]] = {
    "new": lambda answer: (-answer.created_s, -int(answer.answer_id)),
    "old": lambda answer: (answer.created_s, int(answer.answer_id)),
    "top": lambda answer: (answer.role != "moderator", -answer.score, -int(answer.answer_id)),
    "hot": lambda answer: (answer.role != "moderator", -answer.score, -answer.created_s, -int(answer.answer_id)),
    "controversial": lambda answer: (answer.role != "moderator", -min(answer.up, answer.down), -int(answer.answer_id)),
}


class _Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


_REFUSALS = {401: "incorrect_login", 403: "only_followers_can_view", 404: "not_found", 410: "deleted"}


class LemmyApi:
    """A server of Lemmy 1.0. What it still says in v3 has no second page."""

    platform: ClassVar[str] = "lemmy"
    version: ClassVar[str] = "1.0.0"
    versions: ClassVar[tuple[str, ...]] = ("v4", "v3")

    def __init__(self, community: Community) -> None:
        self.community = community

    @staticmethod
    def refusal(status: Status) -> Response:
        """Lemmy's own refusal."""
        return Response(status, {"error": _REFUSALS[status]})

    def respond(self, request: Request) -> Response:
        """Answer a request; an unknown path with an empty 404, as the real server does."""
        parts = [part for part in request.path.split("/") if part]
        if len(parts) < 3 or parts[0] != "api" or parts[1] not in self.versions or request.method != "GET":
            return Response(404, b"")
        calls = {
            "site": self._site,
            "community": self._community,
            "post": self._post,
            "post/list": self._posts,
            "comment/list": self._comments,
        }
        call = calls.get("/".join(parts[2:]))
        if call is None:
            return Response(404, b"")
        try:
            if self.community.private and call != self._site:
                raise _Refused(400, "instance_is_private")
            return Response(200, call(request, parts[1]))
        except _Refused as refused:
            return Response(refused.status, {"error": refused.error})

    def _site(self, request: Request, api: str) -> Json:  # noqa: ARG002
        settings = {"private_instance": self.community.private, "site_setup": True}
        view = {"site": {"id": 1, "name": SITE}, "local_site": settings}
        return {"site_view": view, "version": self.version, "admins": []}

    def _community(self, request: Request, api: str) -> Json:
        self._check_community(request.first("name"), api)
        return {"community_view": {"community": self._community_object(api)}, "moderators": []}

    def _post(self, request: Request, api: str) -> Json:
        return {"post_view": self._post_view(self._thread(request.first("id"), "post", api), api), "cross_posts": []}

    def _posts(self, request: Request, api: str) -> Json:
        self._check_community(request.first("community_name"), api)
        if request.first("sort").lower() != "new":
            raise _Refused(400, "unknown_sort")
        limit = _limit(request, "couldnt_get_posts")
        threads = [thread for thread in self.community.threads() if thread.state == "live" and thread.category is None]
        range_s = int(request.first("time_range_seconds", str(_DEFAULT_RANGE_S))) if api == "v4" else 0
        if range_s:
            threads = [thread for thread in threads if thread.created_s > self.community.now_s - range_s]
        threads.sort(key=lambda thread: not thread.pinned)
        start = 0
        cursor = request.first("page_cursor")
        if cursor:
            places = {_cursor("P", thread.post_id): place for place, thread in enumerate(threads)}
            if cursor not in places:
                raise _Refused(400, "invalid_page_cursor")
            start = places[cursor] + 1
        elif api == "v3" and "v4" not in self.versions:
            start = (int(request.first("page", "1")) - 1) * limit
        page = threads[start : start + limit]
        views = [self._post_view(thread, api) for thread in page]
        following = _cursor("P", page[-1].post_id) if page else None
        if api == "v4":
            return {"items": views, "next_page": following if len(page) == limit else None, "prev_page": None}
        return {"posts": views} if "v4" in self.versions else {"posts": views, "next_page": following}

    def _comments(self, request: Request, api: str) -> Json:
        thread = self._thread(request.first("post_id"), "post", api)
        sort = _SORTS.get(request.first("sort", "Hot").lower())
        if sort is None:
            raise _Refused(400, "unknown_sort")
        placed = sorted(_placed(thread.answers), key=lambda comment: sort(comment[0]))
        depth = int(request.first("max_depth", "0"))
        limit = _TREE_MAX if depth else _limit(request, "couldnt_get_comments")
        if depth:
            # Whole levels come one after the other.
            placed = sorted(
                (comment for comment in placed if len(comment[1]) < depth), key=lambda comment: len(comment[1])
            )
        start = 0
        if api == "v4" and request.first("page_cursor"):
            ids = [_cursor("C", comment[0].answer_id) for comment in placed]
            if request.first("page_cursor") not in ids:
                raise _Refused(400, "invalid_page_cursor")
            start = ids.index(request.first("page_cursor")) + 1
        elif "v4" not in self.versions and not depth:
            start = (int(request.first("page", "1")) - 1) * limit
        page = placed[start : start + limit]
        views = [self._comment_view(comment, thread, api) for comment in page]
        if api == "v3":
            return {"comments": views}
        following = _cursor("C", page[-1][0].answer_id) if len(page) == limit else None
        return {"items": views, "next_page": following, "prev_page": None}

    def _check_community(self, name: str, api: str) -> None:
        known = name.partition("@")[0].lower() == self.community.name.lower()
        if not known or self.community.banned:
            raise _Refused(404, "not_found" if api == "v4" else "couldnt_find_community")

    def _thread(self, post_id: str, what: str, api: str) -> LiveThread:
        thread = self.community.thread(post_id)
        if thread is None or thread.state != "live" or thread.closed or self.community.banned:
            raise _Refused(404, "not_found" if api == "v4" else f"couldnt_find_{what}")
        return thread

    def _community_object(self, api: str) -> Json:
        address = f"https://{SITE}/c/{self.community.name}"
        return {
            "id": 1,
            "name": self.community.name,
            "title": self.community.name.title(),
            "removed": False,
            "deleted": False,
            "nsfw": False,
            "local": True,
            "visibility": "public" if api == "v4" else "Public",
            "ap_id" if api == "v4" else "actor_id": address,
        }

    def _post_view(self, thread: LiveThread, api: str) -> Json:
        post = {
            **_common(thread, api),
            "id": int(thread.post_id),
            "name": thread.title,
            "body": thread.body,
            "community_id": 1,
            "nsfw": False,
            "ap_id": f"https://{SITE}/post/{thread.post_id}",
            "featured_community": thread.pinned,
            "featured_local": False,
            "locked": False,
        }
        counts = {**_votes(thread), "comments": sum(answer.state == "live" for answer in thread.walk())}
        return {**_view(thread, api), "community": self._community_object(api), **_merged("post", post, counts, api)}

    def _comment_view(self, placed: _Placed, thread: LiveThread, api: str) -> Json:
        answer, above = placed
        comment = {
            **_common(answer, api),
            "id": int(answer.answer_id),
            "post_id": int(thread.post_id),
            "content": answer.body,
            "path": ".".join(("0", *above, answer.answer_id)),
            "distinguished": answer.role == "moderator",
            "ap_id": f"https://{SITE}/comment/{answer.answer_id}",
        }
        below = (reply for reply in answer.walk() if reply is not answer)
        counts = {**_votes(answer), "child_count": sum(reply.state == "live" for reply in below)}
        return {
            **_view(answer, api),
            "community": self._community_object(api),
            **_merged("comment", comment, counts, api),
        }


class LemmyOldApi(LemmyApi):
    """A server of Lemmy 0.19: v3 only, with cursors for posts and page numbers for comments."""

    version: ClassVar[str] = "0.19.13"
    versions: ClassVar[tuple[str, ...]] = ("v3",)


def _limit(request: Request, error: str) -> int:
    limit = int(request.first("limit", str(_PAGE_DEFAULT)))
    if not 1 <= limit <= _PAGE_MAX:
        raise _Refused(400, error)
    return limit


def _placed(answers: Sequence[LiveAnswer], above: tuple[str, ...] = ()) -> Iterator[_Placed]:
    for answer in answers:
        yield answer, above
        yield from _placed(answer.replies, (*above, answer.answer_id))


def _common(item: LiveItem, api: str) -> Json:
    later = "_at" if api == "v4" else ""
    found = {
        "creator_id": int(item.author_id),
        "removed": item.state == "removed",
        "deleted": item.state == "deleted",
        "local": True,
        f"published{later}": _time(item.created_s),
    }
    return found if item.edited_s is None else {**found, f"updated{later}": _time(item.edited_s)}


def _votes(item: LiveItem) -> Json:
    return {"score": item.score + _OWN_VOTE, "upvotes": item.up + _OWN_VOTE, "downvotes": item.down}


def _merged(name: str, item: Json, counts: Json, api: str) -> Json:
    """v4 has the counts in the post or comment, v3 beside it."""
    return {name: {**item, **counts}} if api == "v4" else {name: item, "counts": {f"{name}_id": item["id"], **counts}}


def _view(item: LiveItem, api: str) -> Json:
    """What stands beside a post or comment. A deleted account keeps its row, without what it was called."""
    name = item.author if item.author is not None else f"deleted-{item.author_id}"
    creator = {
        "id": int(item.author_id),
        "name": name,
        "deleted": item.author is None,
        "local": True,
        "bot_account": item.role == "bot",
        "ap_id" if api == "v4" else "actor_id": f"https://{SITE}/u/{item.author_id}",
    }
    return {"creator": creator, "creator_is_moderator": item.role == "moderator", "creator_is_admin": False}


def _cursor(kind: str, item_id: str) -> str:
    return f"{kind}{int(item_id):x}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
