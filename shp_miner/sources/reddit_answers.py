"""Reddit's API answers as types, and their conversion to posts and answers.

Fields that decide the meaning of an item are required: an answer without them is an error that names them. Fields that
Reddit's own recorded answers lack (old ones have no `upvote_ratio` or `is_submitter`) have defaults.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from shp_miner.errors import BadInput
from shp_miner.platforms.communities import undecorated_name
from shp_miner.platforms.items import Answer, ItemState, Post, Role
from shp_miner.platforms.records import converted_json, epoch_us
from shp_miner.platforms.reddit import BOT_NAME, GONE_AUTHORS, ROLES, SITE
from shp_miner.sources.losing import each_record
from shp_miner.tally import Lost
from shp_miner.text.notices import notice_state

_NAME = re.compile(r"[A-Za-z0-9_]{2,50}")

POST_KIND, ANSWER_KIND, MORE_KIND, SUBREDDIT_KIND = "t3", "t1", "more", "t5"

_BOT = re.compile(BOT_NAME)


class Thing(msgspec.Struct):
    """One object of a listing: its kind ("t1", "t3", "t5" or "more") says what `data` is."""

    kind: str
    data: Any


class ListingData(msgspec.Struct):
    """The objects of a page; `after` is the name of its last one, null on the last page."""

    children: list[Thing]
    after: str | None = None


class Listing(msgspec.Struct):
    """A page of a listing."""

    data: ListingData


class About(msgspec.Struct):
    """A subreddit, as /about describes it."""

    display_name: str


class Subreddit(msgspec.Struct):
    """The answer of /about."""

    data: About


class Things(msgspec.Struct):
    """The results of /api/morechildren."""

    things: list[Thing]


class MoreAnswer(msgspec.Struct):
    """The inside of an answer of /api/morechildren; each error is [code, sentence, field]."""

    data: Things | None = None
    errors: list[list[str | None]] | None = None


class MoreChildren(msgspec.Struct):
    """An answer of /api/morechildren."""

    json: MoreAnswer


class More(msgspec.Struct):
    """A stub for comments that were left out.

    `count` includes replies to them; `children` are the ids to request. A stub without children means "continue this
    thread" and hides replies to its parent.
    """

    parent_id: str
    count: int
    children: list[str]


class _Shared(msgspec.Struct, kw_only=True):
    """What submissions and comments have in common. `edited` is false or a time, in very old ones true."""

    id: str
    subreddit: str
    created_utc: float
    score: int
    author: str | None
    edited: bool | float
    distinguished: str | None
    stickied: bool
    permalink: str | None = None


class Submission(_Shared, kw_only=True):
    """A post. The scores shown are not real while `hide_score` is true (new posts) and in contest mode."""

    title: str
    selftext: str
    is_self: bool
    over_18: bool
    hide_score: bool
    upvote_ratio: float | None = None
    removed_by_category: str | None = None
    contest_mode: bool = False


class Comment(_Shared, kw_only=True):
    """A comment; a direct reply has the post as its parent."""

    body: str
    link_id: str
    parent_id: str
    score_hidden: bool
    is_submitter: bool = False


def post(data: Any, latest_us: int) -> tuple[Post, bool]:
    """Convert a submission to a post, and tell whether it is in contest mode. Raises Lost, msgspec.ValidationError."""
    item = converted_json(data, Submission)
    unreal = item.hide_score or item.contest_mode
    state = _state(item.selftext, item.removed_by_category, item.title)
    found = Post(
        **_shared(item, item.selftext, state, latest_us),
        post_id=item.id,
        score=None if unreal else item.score,
        url=_url(item, f"/r/{item.subreddit}/comments/{item.id}/"),
        title=item.title if state == "live" else "",
        is_text=item.is_self,
        nsfw=item.over_18,
        upvote_ratio=None if unreal else item.upvote_ratio,
    )
    return found, item.contest_mode


def answer(data: Any, latest_us: int) -> Answer:
    """Convert a comment to an answer. Raises Lost and msgspec.ValidationError."""
    item = converted_json(data, Comment)
    post_id = item.link_id.removeprefix("t3_")
    return Answer(
        **_shared(item, item.body, _state(item.body), latest_us),
        post_id=post_id,
        answer_id=item.id,
        score=None if item.score_hidden else item.score,
        url=_url(item, f"/r/{item.subreddit}/comments/{post_id}/_/{item.id}/"),
        by_post_author=item.is_submitter,
    )


def is_direct(data: Any) -> bool:
    """Whether a comment's data are those of a direct reply to the post. Raises Lost if they do not say."""
    try:
        return bool(data["parent_id"] == data["link_id"])
    except (KeyError, TypeError) as error:
        raise Lost("missing_field", f"a comment has no field {error}") from error


def direct(things: Iterable[Thing], latest_us: int) -> list[Answer]:
    """The direct replies to a post among the things; replies to replies are left out."""
    comments = [thing.data for thing in things if thing.kind == ANSWER_KIND]
    found = each_record(comments, lambda data: answer(data, latest_us) if is_direct(data) else None)
    return [reply for reply in found if reply is not None]


def stubs(things: Iterable[Thing], fullname: str) -> list[More]:
    """The stubs that hide direct replies to the post of this full name ("t3_...")."""
    found = each_record(
        (thing.data for thing in things if thing.kind == MORE_KIND), lambda data: converted_json(data, More)
    )
    return [more for more in found if more.parent_id == fullname]


def _shared(item: _Shared, body: str, state: ItemState, latest_us: int) -> dict[str, Any]:
    """What submissions and comments have in common. No more is kept of an author than what dumps hold: the name."""
    gone = (item.author or "") in GONE_AUTHORS
    role: Role = "member"
    if item.distinguished in ROLES:
        role = "admin" if ROLES[item.distinguished] == "admin" else "moderator"
    elif not gone and item.author and _BOT.search(item.author):
        role = "bot"
    return {
        "created_at": epoch_us(item.created_utc, "created_utc", latest_us),
        "body": body if state == "live" else "",
        "body_format": "markdown",
        "state": state,
        "author": None if gone else item.author,
        "author_role": role,
        "edited": bool(item.edited),
        "stickied": item.stickied,
    }


def _state(body: str, removed_by: str | None = None, title: str = "") -> ItemState:
    gone = notice_state("reddit", body) or notice_state("reddit", title)
    if gone is None and removed_by is None:
        return "live"
    return "deleted" if "deleted" in (gone, removed_by) else "removed"


def _url(item: _Shared, path: str) -> str:
    return f"https://www.{SITE}{item.permalink or path}"


def plain_name(community: str, *, besides: Collection[str] = ()) -> str:
    """Return a community's name without decorations; `besides` are names that are invalid. Raises BadInput."""
    name = _NAME.fullmatch(undecorated_name(community))
    if name is None or name[0].lower() in besides:
        raise BadInput(
            f"{community!r:.60} is not the name of a subreddit.",
            'Give one name, for example "askacademia" or "r/askacademia".',
        )
    return name[0]
