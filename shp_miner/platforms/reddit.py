"""One Reddit record at a time, with every exception in old and new files."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from shp_miner.model import NO_COMMUNITY
from shp_miner.platforms.records import converted_json, epoch_us, integer, lenient_json, unknown_time
from shp_miner.platforms.sites import REDDIT
from shp_miner.tally import Lost, Tally
from shp_miner.text.clean import sound_text, visible_chars
from shp_miner.text.notices import notice_state

SITE = REDDIT
SOURCE = "reddit-dump"

#: Accounts that are bots by name. Reddit marks none; these endings are the convention bots follow, kept narrow so that
#: no Abbot is lost.
BOT_NAME = r"(?i:^automoderator$|[_-]bot$)|[a-z0-9]Bot$|(?i:^(?:autowikibot|remindmebot|sneakpeekbot)$)"
GONE_AUTHORS = ("", "[deleted]", "[removed]")
ROLES = {"moderator": "moderator", "admin": "admin", "special": "admin"}

#: What is left of a row whose item is gone; an archive's first reading may hold all of it.
EMPTIED: dict[str, Any] = {
    "title": "",
    "body": "",
    "body_chars": 0,
    "author": None,
    "author_deleted": True,
    "author_role": "member",
    "by_post_author": False,
    "url": None,
}

_FLAGS = {"none": False, "": False, "false": False, "0": False, "true": True, "1": True}
_BOT = re.compile(BOT_NAME)
_ID = re.compile(r"[0-9a-z]+")


class Meta(msgspec.Struct):
    """What the archive noted at its second visit; the body and author fields are not refreshed by it.

    What was gone at the first visit and was back at the second (`was_initially_deleted`) keeps the marks of that time:
    `removal_type`, and a post's `removed_by_category`.
    """

    retrieved_2nd_on: Any = None
    is_edited: Any = None
    was_deleted_later: Any = None
    was_initially_deleted: Any = None
    removal_type: Any = None


class RedditItem(msgspec.Struct, kw_only=True):
    """The fields that submissions and comments share, in every type that files have had."""

    id: str
    created_utc: int | float | str
    score: Any
    subreddit: str | None = None
    author: str | None = None
    edited: Any = False
    distinguished: str | None = None
    stickied: Any = None
    retrieved_on: Any = None
    retrieved_utc: Any = None
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class Comment(RedditItem, kw_only=True):
    """A line of an RC file."""

    body: str
    link_id: str
    parent_id: Any = None
    is_submitter: Any = None
    score_hidden: Any = None


class Submission(RedditItem, kw_only=True):
    """A line of an RS file."""

    title: str
    selftext: str | None = None
    is_self: Any = None
    domain: str | None = None
    over_18: Any = None
    upvote_ratio: Any = None
    permalink: str | None = None
    removed_by_category: str | None = None


#: A file may hold both kinds: what archives give of one account, or files that somebody joined.
OTHER_KIND = {"post": "answer", "answer": "post"}

_TYPES: dict[str, type[RedditItem]] = {"answer": Comment, "post": Submission}
#: Strict decoders of the lines of each kind.
DECODERS: dict[str, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(item) for kind, item in _TYPES.items()}


def unwanted(kind: str, item: Any, wanted: frozenset[str]) -> str | None:
    """Return why the record is left out: another community, none, or not a direct reply; None if it is kept."""
    if wanted and (item.subreddit or "").lower() not in wanted:
        return "other_community"
    if not item.subreddit:
        return NO_COMMUNITY  # a promoted post of 2014 to 2017
    if kind == "answer" and item.parent_id is not None and item.parent_id != item.link_id:
        return "not_direct_reply"
    return None


def values(kind: str, item: Any, latest_us: int, tally: Tally) -> dict[str, Any]:
    """Return the columns of POST or ANSWER that a source fills in. Raises Lost for an unusable record."""
    row = _post(item, latest_us, tally) if kind == "post" else _answer(item, latest_us, tally)
    if row["state"] != "live":
        row |= {name: value for name, value in EMPTIED.items() if name in row}
    return row


def decode_either(kind: str, line: bytes) -> tuple[str, Any]:
    """The record of a line and its kind, which is the other one where files were joined. Raises Lost as `decode`."""
    try:
        return kind, decode(kind, line)
    except Lost as lost:
        if lost.reason != "missing_field":
            raise
        other = OTHER_KIND[kind]
        try:
            return other, decode(other, line)
        except Lost:
            raise lost from None


def decode(kind: str, line: bytes) -> Any:
    """Return the record of a line. Raises Lost if it is not of this kind."""
    try:
        return DECODERS[kind].decode(line)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_leniently(kind, line)


def _decode_leniently(kind: str, line: bytes) -> Any:
    """Decode what the strict decoder refuses but other programs write, such as lone surrogates and NaN."""
    try:
        return converted_json(lenient_json(line), _TYPES[kind])
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: msgspec.ValidationError) -> Lost:
    text = str(error)
    if "missing required field" in text:
        return Lost("missing_field", text)
    if "created_utc" in text:
        return Lost("bad_time", text)
    return Lost("not_an_object" if "Expected `object`" in text else "wrong_type", text)


def _state(item: Any, body: str, meta: Meta) -> str:
    gone = notice_state("reddit", body) or notice_state("reddit", getattr(item, "title", ""))
    if gone:
        return gone
    if _flag(meta.was_deleted_later):
        return "deleted"
    if _flag(meta.was_initially_deleted):
        return "live"
    removed_by = getattr(item, "removed_by_category", None)
    if "deleted" in (meta.removal_type, removed_by):
        return "deleted"
    return "removed" if removed_by or meta.removal_type not in (None, "") else "live"


def _flag(value: Any) -> bool:
    """Whether a field says yes: true, 1 or the word for it. Raises Lost for what says neither yes nor no."""
    said = _FLAGS.get(str(value).lower()) if value is None or isinstance(value, bool | int | str) else None
    if said is None:
        raise Lost("wrong_type", f"{value!r:.40} is neither true nor false")
    return said


def _ratio(value: Any) -> float | None:
    """A share, written as a number or as text. Raises Lost for anything else."""
    if value is None:
        return None
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Lost("wrong_type", f"{value!r:.40} is no share of votes") from error


def _edited(value: Any) -> bool:
    """Whether a record was edited: files say false, true, or when."""
    return bool(value) and value not in ("false", "0")


def _plain_id(value: str, prefix: str) -> str:
    plain = value.removeprefix(prefix)
    if not _ID.fullmatch(plain):
        raise Lost("bad_id", f"{value!r:.40} is not a Reddit id")
    return plain


def _shared(kind: str, item: Any, body: str, latest_us: int, tally: Tally) -> dict[str, Any]:
    """The columns that submissions and comments have in common."""
    body, changed = sound_text(body)
    if changed or (kind == "post" and sound_text(item.title)[1]):
        tally.note(kind, "text_repaired")
    created_us = epoch_us(item.created_utc, "created_utc", latest_us)
    gone = (item.author or "") in GONE_AUTHORS
    meta = item.meta or Meta()
    role = ROLES.get(item.distinguished or "", "member")
    if role == "member" and not gone and _BOT.search(item.author):
        role = "bot"
    return {
        "source": SOURCE,
        "platform": "reddit",
        "site": SITE,
        "community": item.subreddit.lower(),
        "created_at": created_us,
        "body": body,
        "body_format": "reddit",
        "body_chars": visible_chars(body, "reddit"),
        "author": None if gone else sound_text(item.author)[0],
        "author_id": None,
        "author_url": None,
        "author_deleted": gone,
        "author_role": role,
        "license": None,
        "observed_at": _observed_us(kind, item, meta, latest_us, tally),
        "score": None if item.score is None else integer(item.score, "score", "bad_score"),
        "state": _state(item, body, meta),
        "edited": _edited(item.edited) or _flag(meta.is_edited),
        "stickied": _flag(item.stickied),
    }


def _observed_us(kind: str, item: Any, meta: Meta, latest_us: int, tally: Tally) -> int | None:
    """When the score was read: the second visit where there was one, else the first.

    A record is worth keeping without it: a time that cannot be costs the age of the score and nothing else.
    """
    for value in (meta.retrieved_2nd_on, item.retrieved_on, item.retrieved_utc):
        if not unknown_time(value):
            try:
                return epoch_us(value, "retrieved_on", latest_us)
            except Lost:
                tally.note(kind, "bad_time_of_reading")
    tally.note(kind, "score_age_unknown")
    return None


def _post(item: Submission, latest_us: int, tally: Tally) -> dict[str, Any]:
    post_id = _plain_id(item.id, "t3_")
    body = item.selftext or ""
    is_text = None if item.is_self is None else _flag(item.is_self)
    if is_text is None:
        is_text = item.domain.startswith("self.") if item.domain else bool(body)
    path = item.permalink or f"/r/{item.subreddit}/comments/{post_id}/"
    return {
        **_shared("post", item, body, latest_us, tally),
        "post_id": post_id,
        "title": sound_text(item.title)[0],
        "is_text": is_text,
        "nsfw": _flag(item.over_18),
        "upvote_ratio": _ratio(item.upvote_ratio),
        "url": f"https://www.{SITE}{sound_text(path)[0]}",
    }


def _answer(item: Comment, latest_us: int, tally: Tally) -> dict[str, Any]:
    shared = _shared("answer", item, item.body, latest_us, tally)
    if _flag(item.score_hidden):
        shared["score"] = None
    return {
        **shared,
        "post_id": _plain_id(item.link_id, "t3_"),
        "answer_id": _plain_id(item.id, "t1_"),
        "url": None,
        "by_post_author": _flag(item.is_submitter),
        "accepted": False,
    }
