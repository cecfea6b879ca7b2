"""Discourse's topics as its /t/{id}.json serves them: typed, and turned into threads.

Live sites and saved files are both read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, unquote

import msgspec

from shp_miner.platforms.items import Answer, ItemState, Post, Role, Thread
from shp_miner.text.notices import notice_state
from shp_miner.units import to_us

#: Discourse's numbers: 1 is a regular post; moderators' actions, notes such as "closed this topic" and whispers differ.
REGULAR = 1
LIKE = 2

#: What the reactions plugin calls a thumb down: the one reaction that by default is no like.
DOWN = frozenset({"-1", "thumbsdown"})

#: Categories nest no deeper than this (max_category_nesting).
_DEEPEST = 3

#: A time with its zone, as in "2022-11-22T17:55:34.126Z".
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Action(msgspec.Struct):
    """How often something was done to a post; id 2 is a like. Servers leave out zero counts."""

    id: int
    count: int | None = 0


class Reaction(msgspec.Struct):
    """How many people reacted to a post with an emoji, by its name without colons."""

    id: str
    count: int | None = 0


class TopicPost(msgspec.Struct, kw_only=True):
    """A post of a topic. `raw` (Markdown) is there if asked for, `cooked` (HTML) always; user ids below 0 are bots.

    `reads` counts the readers who were logged in, its author too. `moderator` and `admin` are the author's badges.
    """

    id: int
    post_number: int
    post_type: int
    created_at: Moment
    cooked: str
    version: int
    actions_summary: list[Action]
    username: str | None
    user_id: int | None
    reply_to_post_number: int | None
    raw: str | None = None
    hidden: bool | None = False
    user_deleted: bool | None = False
    deleted_at: Moment | None = None
    accepted_answer: bool | None = None
    polls: list[Any] | None = None
    reads: int | None = None
    moderator: bool | None = None
    admin: bool | None = None
    #: Every reaction, where people have more than likes (the reactions plugin).
    reactions: list[Reaction] | None = None
    #: Up-votes minus down-votes, where readers vote on the posts of the topic (the post-voting plugin).
    post_voting_vote_count: int | None = None


class PostStream(msgspec.Struct):
    """Posts in order, and the ids of all posts; topics of more than 10,000 posts come without these ids."""

    posts: list[TopicPost]
    stream: list[int] | None = None


class Accepted(msgspec.Struct):
    """Which post solves the topic, where the plugin for that is installed."""

    post_number: int


class Topic(msgspec.Struct, kw_only=True):
    """A topic with its first posts."""

    id: int
    title: str
    post_stream: PostStream
    posts_count: int
    views: int | None = None
    last_posted_at: Moment | None = None
    slug: str | None = ""
    category_id: int | None = None
    archetype: str | None = "regular"
    pinned: bool | None = None
    pinned_globally: bool | None = None
    featured_link: str | None = None
    deleted_at: Moment | None = None
    accepted_answer: Accepted | None = None
    is_post_voting: bool | None = None


class Category(msgspec.Struct, kw_only=True):
    """A category; the slug is empty if the site makes none from names in its script."""

    id: int
    slug: str
    parent_category_id: int | None = None
    subcategory_list: list[Category] | None = None


class Site(msgspec.Struct):
    """The content of /site.json, without categories if the site loads them later."""

    categories: list[Category]


class _CategoryList(msgspec.Struct):
    categories: list[Category]


class Categories(msgspec.Struct):
    """The content of /categories.json."""

    category_list: _CategoryList


def category_names(categories: Iterable[Category]) -> dict[int, str]:
    """Return the names of categories by id: the slug, after that of the parent: "support" or "support/linux"."""
    every = {category.id: category for top in categories for category in (top, *(top.subcategory_list or ()))}

    def path(category: Category, depth: int = 1) -> str:
        own = unquote(category.slug) or f"{category.id}-category"
        parent = every.get(category.parent_category_id or 0)
        return own if parent is None or depth == _DEEPEST else f"{path(parent, depth + 1)}/{own}"

    return {number: path(category).lower() for number, category in every.items()}


def is_direct(post: TopicPost) -> bool:
    """Whether the post replies to the opening post; a post that replies to no post in particular does."""
    return post.post_number != 1 and post.post_type == REGULAR and post.reply_to_post_number in (None, 1)


def to_thread(topic: Topic, posts: Sequence[TopicPost], address: str, missing: int = 0) -> Thread | None:
    """Return the topic with these posts as a thread, None if the opening post is not among them.

    `address` is that of the site, as in "https://forum.example".
    """
    opening = next((post for post in posts if post.post_number == 1), None)
    if opening is None:
        return None
    changed_at = None if topic.last_posted_at is None else to_us(topic.last_posted_at)
    return Thread(_question(topic, opening, address), topic_answers(topic, posts, address), missing, changed_at)


def topic_answers(topic: Topic, posts: Iterable[TopicPost], address: str) -> list[Answer]:
    """The direct replies among the posts, each once."""
    direct = {post.id: post for post in posts if is_direct(post)}
    solved = topic.accepted_answer.post_number if topic.accepted_answer else None
    return [
        Answer(
            **_shared(topic, post, address),
            answer_id=str(post.id),
            accepted=bool(post.accepted_answer) or post.post_number == solved,
        )
        for post in direct.values()
    ]


def _question(topic: Topic, opening: TopicPost, address: str) -> Post:
    shared = _shared(topic, opening, address)
    if topic.deleted_at is not None and shared["state"] == "live":
        shared |= {"state": "removed", "body": ""}
    return Post(
        **shared,
        title=topic.title,
        views=topic.views,
        is_text=not (topic.featured_link or opening.polls),
        stickied=bool(topic.pinned or topic.pinned_globally),
    )


def _shared(topic: Topic, post: TopicPost, address: str) -> dict[str, Any]:
    """What posts and answers have in common."""
    state = _state(post)
    body, body_format = (post.cooked, "html") if post.raw is None else (post.raw, "markdown")
    place = f"{address}/t/{topic.slug or '-'}/{topic.id}"
    return {
        "post_id": str(topic.id),
        "created_at": to_us(post.created_at),
        # Staff are shown the text of deleted posts, everybody a note in its place: neither is wanted.
        "body": body if state == "live" else "",
        "body_format": body_format,
        "score": _score(topic, post),
        "reads": post.reads,
        **_votes_apart(topic, post),
        "author": post.username,
        "author_id": None if post.user_id is None else str(post.user_id),
        "author_url": None if post.username is None else f"{address}/u/{quote(post.username)}",
        "author_role": _role(post),
        "url": place if post.post_number == 1 else f"{place}/{post.post_number}",
        "state": state,
        "edited": post.version > 1,
    }


def _score(topic: Topic, post: TopicPost) -> int | None:
    """Votes where readers can vote on posts, likes elsewhere; null where votes are meant and not handed out."""
    if _has_votes(topic, post):
        return post.post_voting_vote_count
    return _likes(post)


def _votes_apart(topic: Topic, post: TopicPost) -> dict[str, int]:
    """Likes, which hold all reactions but thumbs down, and those; nothing where people cannot give a thumb down.

    The post-voting plugin hands out the difference alone.
    """
    if post.reactions is None or _has_votes(topic, post):
        return {}
    down = sum(reaction.count or 0 for reaction in post.reactions if reaction.id in DOWN)
    return {"upvotes": _likes(post), "downvotes": down}


def _has_votes(topic: Topic, post: TopicPost) -> bool:
    return bool(topic.is_post_voting) or post.post_voting_vote_count is not None


def _likes(post: TopicPost) -> int:
    return sum(action.count or 0 for action in post.actions_summary if action.id == LIKE)


def _state(post: TopicPost) -> ItemState:
    if post.user_deleted:
        return "deleted"
    # Hidden means that the community flagged it.
    if post.hidden or post.deleted_at is not None:
        return "removed"
    text = post.cooked if post.raw is None else post.raw
    return notice_state("discourse", text, html=post.raw is None) or "live"


def _role(post: TopicPost) -> Role:
    """A bot's where the forum itself or a program speaks, else what somebody's badge says.

    A badge marks no post as official: rules take these roles for ranks (`rules.profiles`).
    """
    if post.post_type != REGULAR or (post.user_id is not None and post.user_id < 0):
        return "bot"
    if post.admin:
        return "admin"
    return "moderator" if post.moderator else "member"
