"""Answers of Lemmy's API v3 (Lemmy 0.x), typed, and turned into those of v4.

v3 keeps the counts beside the post or comment, and calls times and addresses by other names.
"""

from __future__ import annotations

import msgspec

from shp_miner.sources import lemmy_v4 as v4
from shp_miner.sources.http import Http, Params

#: Tokens that are page numbers, which releases before 0.19 know only. Cursors never look like that.
_NUMBERED = "page "


class _Person(msgspec.Struct):
    id: int
    name: str
    actor_id: str
    deleted: bool
    local: bool
    bot_account: bool = False

    def later(self) -> v4.Person:
        return v4.Person(self.id, self.name, self.actor_id, self.deleted, self.local, self.bot_account)


class _Post(msgspec.Struct):
    id: int
    name: str
    creator_id: int
    removed: bool
    deleted: bool
    nsfw: bool
    published: str
    ap_id: str
    body: str | None = None
    url: str | None = None
    updated: str | None = None
    featured_community: bool = False
    featured_local: bool = False


class _PostCounts(msgspec.Struct):
    score: int
    upvotes: int
    downvotes: int
    comments: int


class _Comment(msgspec.Struct):
    id: int
    creator_id: int
    post_id: int
    content: str
    removed: bool
    deleted: bool
    published: str
    ap_id: str
    path: str
    distinguished: bool = False
    updated: str | None = None


class _CommentCounts(msgspec.Struct):
    score: int
    upvotes: int | None = None
    downvotes: int | None = None
    child_count: int = 0


class _Community(msgspec.Struct):
    name: str
    removed: bool
    deleted: bool
    actor_id: str
    local: bool
    visibility: str = "Public"

    def later(self) -> v4.Community:
        return v4.Community(self.name, self.removed, self.deleted, self.actor_id, self.local, self.visibility)


class _PostView(msgspec.Struct):
    post: _Post
    creator: _Person
    community: _Community
    counts: _PostCounts

    def later(self) -> v4.PostView:
        values = msgspec.structs.asdict(self.post) | msgspec.structs.asdict(self.counts)
        published, updated = values.pop("published"), values.pop("updated")
        post = v4.Post(**values, published_at=published, updated_at=updated)
        return v4.PostView(post, self.creator.later(), self.community.later())


class _CommentView(msgspec.Struct):
    comment: _Comment
    creator: _Person
    counts: _CommentCounts
    creator_is_admin: bool = False

    def later(self) -> v4.CommentView:
        values = msgspec.structs.asdict(self.comment) | msgspec.structs.asdict(self.counts)
        published, updated = values.pop("published"), values.pop("updated")
        comment = v4.Comment(**values, published_at=published, updated_at=updated)
        return v4.CommentView(comment, self.creator.later(), self.creator_is_admin)


class _Posts(msgspec.Struct):
    posts: list[_PostView]
    next_page: str | None = None


class _Comments(msgspec.Struct):
    comments: list[_CommentView]


class _OnePost(msgspec.Struct):
    post_view: _PostView


class _CommunityView(msgspec.Struct):
    community: _Community


class _OneCommunity(msgspec.Struct):
    community_view: _CommunityView


class V3:
    """API v3. Comments have numbered pages, and direct replies one page of at most 300; see lemmy_v4.Api."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def site(self) -> v4.Site:
        """See lemmy_v4.Api."""
        return self._http.get("/api/v3/site", v4.Site)

    def community(self, name: str) -> v4.Community:
        """See lemmy_v4.Api."""
        found = self._http.get("/api/v3/community", _OneCommunity, params={"name": name})
        return found.community_view.community.later()

    def post(self, post_id: str) -> v4.PostView:
        """See lemmy_v4.Api."""
        return self._http.get("/api/v3/post", _OnePost, params={"id": post_id}).post_view.later()

    def posts(self, community: str, token: str | None) -> v4.Paged[v4.PostView]:
        """See lemmy_v4.Api."""
        number = _number(token)
        params: Params = {
            "community_name": community,
            "type_": "All",
            "sort": "New",
            "limit": v4.PAGE_SIZE,
            "page": number,
            "page_cursor": token if number is None else None,
        }
        found = self._http.get("/api/v3/post/list", _Posts, params=params)
        # 0.19 names a next page after every page that is not empty; one that is not full is the last.
        full = len(found.posts) >= v4.PAGE_SIZE
        following = found.next_page or _following(token, len(found.posts))
        return v4.Paged([view.later() for view in found.posts], following if full else None)

    def answers(self, post_id: str, sort: str, token: str | None) -> v4.Paged[v4.CommentView]:  # noqa: ARG002
        """See lemmy_v4.Api."""
        return self._comments({"post_id": post_id, "type_": "All", "sort": sort, "max_depth": 1})

    def comments(self, post_id: str, token: str | None) -> v4.Paged[v4.CommentView]:
        """See lemmy_v4.Api."""
        number = _number(token) or 1
        params: Params = {"post_id": post_id, "type_": "All", "sort": "Old", "limit": v4.PAGE_SIZE, "page": number}
        page = self._comments(params)
        page.next_page = _following(token, len(page.items))
        return page

    def _comments(self, params: Params) -> v4.Paged[v4.CommentView]:
        found = self._http.get("/api/v3/comment/list", _Comments, params=params)
        return v4.Paged([view.later() for view in found.comments])


def _number(token: str | None) -> int | None:
    if token is None or not token.startswith(_NUMBERED):
        return None
    return int(token.removeprefix(_NUMBERED))


def _following(token: str | None, count: int) -> str | None:
    """The token of the numbered page after that of `token`, null where it was not full."""
    if count < v4.PAGE_SIZE or (token is not None and not token.startswith(_NUMBERED)):
        return None
    return f"{_NUMBERED}{(_number(token) or 1) + 1}"
