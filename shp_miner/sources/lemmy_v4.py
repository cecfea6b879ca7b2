"""Answers of Lemmy's API v4 (Lemmy 1.0), typed. The source knows these types only: v3 answers are turned into them.

Names are those of the API. What is not read is not named; a flag that newer and older releases lack has a default.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from shp_miner.sources.http import Http, Params

_View = TypeVar("_View")

#: Posts and comments on a page: more is an error.
PAGE_SIZE = 50


class Person(msgspec.Struct):
    """Who wrote something. `ap_id` is the address of the account on its own instance; `local` if that is this one."""

    id: int
    name: str
    ap_id: str
    deleted: bool
    local: bool
    bot_account: bool = False


class Post(msgspec.Struct):
    """A post with its counts. `url` is set for links and images; `comments` counts the live ones at every depth."""

    id: int
    name: str
    creator_id: int
    removed: bool
    deleted: bool
    nsfw: bool
    published_at: str
    ap_id: str
    score: int
    upvotes: int
    downvotes: int
    comments: int
    body: str | None = None
    url: str | None = None
    updated_at: str | None = None
    featured_community: bool = False
    featured_local: bool = False


class Comment(msgspec.Struct):
    """A comment with its counts. `path` is "0.1.2": the root, its ancestors and itself; `child_count` all below it."""

    id: int
    creator_id: int
    post_id: int
    content: str
    removed: bool
    deleted: bool
    published_at: str
    ap_id: str
    path: str
    score: int
    upvotes: int | None = None
    downvotes: int | None = None
    distinguished: bool = False
    child_count: int = 0
    updated_at: str | None = None


class Community(msgspec.Struct):
    """A community. `visibility` is "Public" or "Unlisted" where all may read it; `ap_id` is its home's address."""

    name: str
    removed: bool
    deleted: bool
    ap_id: str
    local: bool
    visibility: str = "Public"


class PostView(msgspec.Struct):
    """A post and who wrote it where."""

    post: Post
    creator: Person
    community: Community


class CommentView(msgspec.Struct):
    """A comment and who wrote it."""

    comment: Comment
    creator: Person
    creator_is_admin: bool = False


class Paged(msgspec.Struct, Generic[_View]):
    """A page. `next_page` asks for the one after it and is null at the end."""

    items: list[_View]
    next_page: str | None = None


class LocalSite(msgspec.Struct):
    """The instance's settings."""

    private_instance: bool = False


class SiteView(msgspec.Struct):
    """The instance."""

    local_site: LocalSite


class Site(msgspec.Struct):
    """What the instance says of itself."""

    version: str
    site_view: SiteView


class _OnePost(msgspec.Struct):
    post_view: PostView


class _CommunityView(msgspec.Struct):
    community: Community


class _OneCommunity(msgspec.Struct):
    community_view: _CommunityView


class Api(Protocol):
    """The calls of a version of the API that the source needs. Errors are those of Http, other refusals included.

    A page of posts or comments is asked for with the token that the page before it gave, null for the first.
    """

    def site(self) -> Site:
        """The instance."""
        ...

    def community(self, name: str) -> Community:
        """A community."""
        ...

    def post(self, post_id: str) -> PostView:
        """A post."""
        ...

    def posts(self, community: str, token: str | None) -> Paged[PostView]:
        """A community's posts, newest first, pinned ones before all others."""
        ...

    def answers(self, post_id: str, sort: str, token: str | None) -> Paged[CommentView]:
        """A post's direct replies: `sort` is "New", "Old", "Top", "Hot" or "Controversial"."""
        ...

    def comments(self, post_id: str, token: str | None) -> Paged[CommentView]:
        """A post's comments at every depth, oldest first."""
        ...


class V4:
    """API v4."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def site(self) -> Site:
        """See Api."""
        return self._http.get("/api/v4/site", Site)

    def community(self, name: str) -> Community:
        """See Api."""
        return self._http.get("/api/v4/community", _OneCommunity, params={"name": name}).community_view.community

    def post(self, post_id: str) -> PostView:
        """See Api."""
        return self._http.get("/api/v4/post", _OnePost, params={"id": post_id}).post_view

    def posts(self, community: str, token: str | None) -> Paged[PostView]:
        """See Api."""
        # The name of this parameter changed between 1.0's betas; one that a release does not know is ignored.
        names = {"community_name": community, "community_name_or_id": community}
        params: Params = {
            **names,
            "type_": "all",
            "sort": "new",
            "limit": PAGE_SIZE,
            # Without it, the instance's own setting decides how far back the list goes.
            "time_range_seconds": 0,
            "page_cursor": token,
        }
        return self._http.get("/api/v4/post/list", Paged[PostView], params=params)

    def answers(self, post_id: str, sort: str, token: str | None) -> Paged[CommentView]:
        """See Api."""
        params: Params = {
            "post_id": post_id,
            "type_": "all",
            "sort": sort.lower(),
            "max_depth": 1,
            "page_cursor": token,
        }
        return self._http.get("/api/v4/comment/list", Paged[CommentView], params=params)

    def comments(self, post_id: str, token: str | None) -> Paged[CommentView]:
        """See Api."""
        params: Params = {"post_id": post_id, "type_": "all", "sort": "old", "limit": PAGE_SIZE, "page_cursor": token}
        return self._http.get("/api/v4/comment/list", Paged[CommentView], params=params)
