"""What a living forum said of threads, typed, on its way into the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

from shp_miner.model import ANSWER, HASHES, POST, SKEW_US, Check
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.text.clean import sound, visible_chars

BodyFormat = Literal["markdown", "html", "text", "reddit"]
Role = Literal["member", "moderator", "admin", "bot"]
State = Literal["live", "deleted", "removed", "unreadable"]


class Item(msgspec.Struct, kw_only=True):
    """What posts and answers have in common. Ids are the platform's own; times are microseconds since 1970.

    `author` is null where the platform no longer names one. `score` is the platform's own number, null where it hides
    it. `state` is "deleted" (by its author) or "removed" (by others) where a stub is all that is left; "unreadable" is
    what a crawl notes of an item that nobody could read. `observed_at` is set by sources that tell what they read at
    another time (archives); otherwise it is the time of asking.
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
    state: State = "live"
    edited: bool = False
    stickied: bool = False
    observed_at: int | None = None


class Post(Item, kw_only=True):
    """A question as it was seen. `upvote_ratio` is 0..1 or null; `is_text` is false for links, images and polls."""

    title: str
    is_text: bool = True
    nsfw: bool = False
    upvote_ratio: float | None = None


class Answer(Item, kw_only=True):
    """A direct reply to a post as it was seen. `by_post_author` where the platform itself says so."""

    answer_id: str
    by_post_author: bool = False
    accepted: bool = False


AnItem = TypeVar("AnItem", Post, Answer)

_CHECKS: dict[type[Item], Check] = {
    kind: Check(name for name in schema.names if name not in HASHES)
    for kind, schema in ((Post, POST), (Answer, ANSWER))
}


class Thread(msgspec.Struct):
    """A post with its direct replies at one time.

    `missing` counts direct replies that the platform says there are and did not hand out. `changed_at` is the time that
    a listing would have shown before these were read (microseconds since 1970), where the platform says it here, too.
    `unusable` has the states of answers, by id, that are there and that the store cannot hold.
    """

    post: Post
    answers: list[Answer]
    missing: int = 0
    changed_at: int | None = None
    unusable: dict[str, State] = {}


class Origin(msgspec.Struct, frozen=True):
    """Where items came from: the source's name ("lemmy"), its platform, the site's host and the community."""

    source: str
    platform: str
    site: str
    community: str


def to_chunk(origin: Origin, posts: Iterable[Post], answers: Iterable[Answer], observed_at: int) -> Chunk:
    """Observations for the store, made at `observed_at` (microseconds since 1970) where an item says no other time.

    Raises Lost where the store cannot hold an item.
    """
    chunk = []
    for schema, items in ((POST, posts), (ANSWER, answers)):
        rows = Rows(schema)
        for item in items:
            rows.add(**columns(origin, item, observed_at))
        chunk.append(rows.take())
    return Chunk(*chunk)


def check_item(origin: Origin, item: Item, observed_at: int) -> None:
    """Raise Lost where the store cannot hold an item that was read at `observed_at` (microseconds since 1970)."""
    _CHECKS[type(item)](columns(origin, item, observed_at), observed_at + SKEW_US)


def columns(origin: Origin, item: Item, observed_at: int | None) -> dict[str, object]:
    """A row of POST or ANSWER; `observed_at` is null where nobody knows it."""
    values = msgspec.structs.asdict(item)
    for name in ("body", "author", "author_id", "author_url", "title", "url", "license"):
        if values.get(name) is not None:
            values[name] = sound(values[name])[0]
    return {
        **values,
        **msgspec.structs.asdict(origin),
        "community": origin.community.lower(),
        "body_chars": visible_chars(values["body"], item.body_format),
        "author_deleted": item.author is None,
        "observed_at": observed_at if item.observed_at is None else item.observed_at,
    }
