"""Posts, answers and threads of a live forum, typed, on their way into the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

from shp_miner.model import ANSWER, HASHES, POST, SKEW_US, Check
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.text.clean import sound_text, visible_chars

BodyFormat = Literal["markdown", "html", "text", "reddit"]
Role = Literal["member", "moderator", "admin", "bot"]
ItemState = Literal["live", "deleted", "removed", "unreadable"]


class Item(msgspec.Struct, kw_only=True):
    """The fields that posts and answers share. Ids are the platform's own; times are microseconds since 1970.

    `author` is null if the platform no longer names one. `score` is the platform's own number, null if it is hidden.
    `reads` (readers who were logged in), `upvotes` and `downvotes` are null where the platform does not count them.
    `state` is "deleted" (by its author) or "removed" (by others) if only a stub is left; "unreadable" is a crawl's note
    that the item could not be read. `observed_at` is set by sources that report a reading at another time (archives);
    otherwise it is the time of the request.
    """

    post_id: str
    created_at: int
    body: str
    body_format: BodyFormat
    score: int | None
    author: str | None = None
    author_id: str | None = None
    author_url: str | None = None
    author_role: Role = "member"
    url: str | None = None
    license: str | None = None
    state: ItemState = "live"
    edited: bool = False
    stickied: bool = False
    observed_at: int | None = None
    reads: int | None = None
    upvotes: int | None = None
    downvotes: int | None = None


class Post(Item, kw_only=True):
    """A question as observed. `upvote_ratio` is 0..1 or null; `is_text` is false for links, images and polls.

    `views` is how often the thread was opened, null where the platform does not count it.
    """

    title: str
    is_text: bool = True
    nsfw: bool = False
    upvote_ratio: float | None = None
    views: int | None = None


class Answer(Item, kw_only=True):
    """A direct reply to a post as observed. `by_post_author` if the platform itself reports it.

    `accepted_at` is when the asker accepted it (microseconds since 1970), null if that is unknown.
    """

    answer_id: str
    by_post_author: bool = False
    accepted: bool = False
    accepted_at: int | None = None


AnItem = TypeVar("AnItem", Post, Answer)

_CHECKS: dict[type[Item], Check] = {
    kind: Check(name for name in schema.names if name not in HASHES)
    for kind, schema in ((Post, POST), (Answer, ANSWER))
}


class Thread(msgspec.Struct):
    """A post with its direct replies at one time.

    `missing` counts direct replies that the platform counts and did not return. `changed_at` is the time of change that
    a listing would have shown before this reading (microseconds since 1970), if the platform reports it. `unusable` has
    the states of answers, by id, that exist but cannot be stored.
    """

    post: Post
    answers: list[Answer]
    missing: int = 0
    changed_at: int | None = None
    unusable: dict[str, ItemState] = {}


class Origin(msgspec.Struct, frozen=True):
    """The origin of items: the source's name ("lemmy"), its platform, the site's host and the community."""

    source: str
    platform: str
    site: str
    community: str


def to_chunk(origin: Origin, posts: Iterable[Post], answers: Iterable[Answer], observed_at: int) -> Chunk:
    """Return observations for the store, made at `observed_at` (microseconds since 1970).

    An item with its own `observed_at` keeps it. Raises Lost if an item cannot be stored.
    """
    chunk = []
    for schema, items in ((POST, posts), (ANSWER, answers)):
        rows = Rows(schema)
        for item in items:
            rows.add(**item_row(origin, item, observed_at))
        chunk.append(rows.take())
    return Chunk(*chunk)


def check_item(origin: Origin, item: Item, observed_at: int) -> None:
    """Raise Lost if an item that was read at `observed_at` (microseconds since 1970) cannot be stored."""
    _CHECKS[type(item)](item_row(origin, item, observed_at), observed_at + SKEW_US)


def item_row(origin: Origin, item: Item, observed_at: int | None) -> dict[str, object]:
    """Return a row of POST or ANSWER; `observed_at` is null if it is unknown."""
    values = msgspec.structs.asdict(item)
    for name in ("body", "author", "author_id", "author_url", "title", "url", "license"):
        if values.get(name) is not None:
            values[name] = sound_text(values[name])[0]
    return {
        **values,
        **msgspec.structs.asdict(origin),
        "community": origin.community.lower(),
        "body_chars": visible_chars(values["body"], item.body_format),
        "author_deleted": item.author is None,
        "observed_at": observed_at if item.observed_at is None else item.observed_at,
    }
