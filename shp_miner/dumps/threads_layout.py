"""The keys of the project's own layout, their types, and which must be there. docs/threads.md documents them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from shp_miner.frames import ALSO_CALLED
from shp_miner.tally import Lost

SITE = re.compile(r"(https?://)?[^\s/@]+(/[^\s@]*)?", re.IGNORECASE)
ID_CHARS_MAX = 255
#: A site may be named by its address, which is longer than the name that it becomes.
ADDRESS_CHARS_MAX = 2 * ID_CHARS_MAX

#: What stands for an author who is gone.
GONE_AUTHORS = ("", "[deleted]", "[removed]")


class Item(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What posts and answers have in common. Scores, times and ids are checked apart, for reasons of their own."""

    created_at: Any
    score: Any
    observed_at: Any = None
    author: str | UnsetType | None = UNSET
    author_id: str | int | None = None
    author_url: str | None = None
    author_role: Literal["member", "moderator", "admin", "bot"] | None = None
    url: str | None = None
    license: str | None = None
    format: Literal["markdown", "html", "text"] | None = None
    edited: bool | None = None
    stickied: bool | None = None
    state: Literal["live", "deleted", "removed"] | None = None
    reads: Any = None
    upvotes: Any = None
    downvotes: Any = None


class Thread(Item, kw_only=True):
    """One record: a question with its answers, each checked by itself."""

    site: str
    community: str
    post_id: Any
    title: str
    answers: list[Any]
    body: str | None = None
    is_text: bool | None = None
    nsfw: bool | None = None
    upvote_ratio: float | None = None
    views: Any = None


class Answer(Item, kw_only=True):
    """One answer of a thread."""

    answer_id: Any
    body: str
    accepted: bool | None = None
    accepted_at: Any = None
    by_post_author: bool | None = None


THREAD_KEYS = frozenset(Thread.__struct_fields__)
ANSWER_KEYS = frozenset(Answer.__struct_fields__)
THREAD_REQUIRED = frozenset({"site", "community", "post_id", "title", "created_at", "score", "answers"})
ANSWER_REQUIRED = frozenset({"answer_id", "body", "created_at", "score"})


def check_keys(names: Iterable[str], keys: frozenset[str], required: frozenset[str], of: str = "") -> None:
    """Raise Lost where a name is unknown, with the nearest right one, or where one that is required is missing."""
    names = list(names)
    for name in names:
        if name not in keys:
            named = [ours for ours, others in ALSO_CALLED.items() if name in others and ours in keys]
            near = named or get_close_matches(name, sorted(keys), n=1)
            meant = f' (did you mean "{of}{near[0]}"?)' if near else ""
            raise Lost("unknown_field", f'"{of}{name:.60}" is not in the layout{meant}')
    for name in sorted(required.difference(names)):
        raise Lost("missing_field", f'"{of}{name}" is missing or null')
