"""Monthly Reddit dump files: RS_* (submissions) and RC_* (comments), one JSON object a line, any compression.

Old and new files differ in types (numbers as strings or floats, missing flags); both are read. Only direct replies are
kept: no rule can use the others. See docs/formats.md for the fields read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.dumps.compressed import Advance, compression, ignore, lines
from shp_miner.dumps.records import Lost, epoch_us, integer, latest_allowed_us
from shp_miner.errors import BadInput, from_os_error
from shp_miner.model import ANSWER, POST, Chunk, Rows
from shp_miner.tally import Damage, Tally
from shp_miner.text.clean import sound, visible_chars

SITE = "reddit.com"
SOURCE = "reddit-dump"

_GONE_AUTHOR = frozenset({"", "[deleted]", "[removed]"})
_GONE_BODY = {"[deleted]": "deleted", "[removed]": "removed", "[ Removed by Reddit ]": "removed"}
_ROLES = {"moderator": "moderator", "admin": "admin", "special": "admin"}
# Reddit marks no account as a bot; these endings are the convention bots follow, kept narrow so that no Abbot is lost.
_BOT_NAME = re.compile(r"^automoderator$|[_-]bot$|(?-i:[a-z0-9]Bot$)|^(?:autowikibot|remindmebot|sneakpeekbot)$", re.I)
_ID = re.compile(r"[0-9a-z]+")

_SUFFIXES = (".zst", ".bz2", ".xz", ".gz", ".json", ".jsonl", ".ndjson")
_LINES_SNIFFED = 20


class _Meta(msgspec.Struct):
    """What the archive noted at its second visit; the body and author fields are not refreshed by it."""

    retrieved_2nd_on: Any = None
    is_edited: bool | None = None
    was_deleted_later: bool | None = None
    removal_type: str | None = None


class _Item(msgspec.Struct, kw_only=True):
    id: str
    subreddit: str
    created_utc: int | float | str
    score: Any
    author: str | None = None
    edited: Any = False
    distinguished: str | None = None
    stickied: bool | None = None
    retrieved_on: Any = None
    retrieved_utc: Any = None
    meta: _Meta | None = msgspec.field(default=None, name="_meta")


class _Comment(_Item, kw_only=True):
    body: str
    link_id: str
    parent_id: Any = None
    is_submitter: bool | None = None
    score_hidden: bool | None = None


class _Submission(_Item, kw_only=True):
    title: str
    selftext: str | None = None
    is_self: bool | None = None
    domain: str | None = None
    over_18: bool | None = None
    upvote_ratio: float | None = None
    permalink: str | None = None
    removed_by_category: str | None = None


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "answer": msgspec.json.Decoder(_Comment),
    "post": msgspec.json.Decoder(_Submission),
}
_TYPES: dict[str, type[_Item]] = {"answer": _Comment, "post": _Submission}


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore,
    communities: Collection[str] = (),
) -> Iterator[Chunk]:
    """Read dump files in the order given.

    `communities` are subreddit names in any letter case; none means all. Raises BadInput before anything is yielded
    if a path is missing or holds something else; damage inside a file is noted in `tally`.
    """
    files = [file for path in paths for file in _files(path)]
    kinds = {file: _kind(file) for file in files}
    wanted = frozenset(name.lower().removeprefix("r/") for name in communities)
    collector = _Collector(tally, latest_allowed_us(now), wanted)
    for file in files:
        kind = kinds[file]
        for offset, line in lines(file, tally, advance):
            collector.add(kind, line, file, offset)
            if collector.full:
                yield collector.take()
    yield collector.take()


class _Collector:
    """Turns lines into rows and counts what is left out."""

    def __init__(self, tally: Tally, latest_us: int, wanted: frozenset[str]) -> None:
        self.tally, self.latest_us, self.wanted = tally, latest_us, wanted
        self.posts, self.answers = Rows(POST), Rows(ANSWER)
        self._adders: dict[str, Callable[[Any], None]] = {"post": self._post, "answer": self._answer}

    @property
    def full(self) -> bool:
        return self.posts.full or self.answers.full

    def take(self) -> Chunk:
        return Chunk(self.posts.take(), self.answers.take())

    def add(self, kind: str, line: bytes, path: Path, offset: int) -> None:
        try:
            item = _decode(kind, line)
            reason = self._unwanted(kind, item)
            if reason:
                self.tally.drop(kind, reason)
                return
            self._adders[kind](item)
        except Lost as lost:
            self.tally.lose(kind, lost.reason, Damage(str(path), offset, lost.what))
        else:
            self.tally.keep(kind)

    def _unwanted(self, kind: str, item: Any) -> str | None:
        if self.wanted and item.subreddit.lower() not in self.wanted:
            return "other_community"
        if kind == "answer" and item.parent_id is not None and item.parent_id != item.link_id:
            return "not_direct_reply"
        return None

    def _shared(self, kind: str, item: Any, body: str) -> dict[str, Any]:
        """The columns that submissions and comments have in common."""
        body, changed = sound(body)
        if changed:
            self.tally.note(kind, "text_repaired")
        created_us = epoch_us(item.created_utc, "created_utc", self.latest_us)
        gone = (item.author or "") in _GONE_AUTHOR
        meta = item.meta or _Meta()
        role = _ROLES.get(item.distinguished or "", "member")
        if role == "member" and not gone and _BOT_NAME.search(item.author):
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
            "author": None if gone else sound(item.author)[0],
            "author_id": None,
            "author_url": None,
            "author_deleted": gone,
            "author_role": role,
            "license": None,
            "observed_at": self._observed_us(kind, item, meta),
            "score": None if item.score is None else integer(item.score, "score", "bad_score"),
            "state": _state(body, meta, getattr(item, "removed_by_category", None)),
            "edited": bool(item.edited) or bool(meta.is_edited),
            "stickied": bool(item.stickied),
        }

    def _observed_us(self, kind: str, item: Any, meta: _Meta) -> int | None:
        """When the score was read: the second visit where there was one, else the first."""
        for value in (meta.retrieved_2nd_on, item.retrieved_on, item.retrieved_utc):
            if value is not None:
                return epoch_us(value, "retrieved_on", self.latest_us)
        self.tally.note(kind, "score_age_unknown")
        return None

    def _post(self, item: _Submission) -> None:
        post_id = _plain_id(item.id, "t3_")
        body = item.selftext or ""
        title, _ = sound(item.title)
        is_text = item.is_self
        if is_text is None:
            is_text = item.domain.startswith("self.") if item.domain else bool(body)
        path = item.permalink or f"/r/{item.subreddit}/comments/{post_id}/"
        self.posts.add(
            **self._shared("post", item, body),
            post_id=post_id,
            title=title,
            is_text=is_text,
            nsfw=bool(item.over_18),
            upvote_ratio=item.upvote_ratio,
            url=f"https://www.{SITE}{sound(path)[0]}",
        )

    def _answer(self, item: _Comment) -> None:
        shared = self._shared("answer", item, item.body)
        if item.score_hidden:
            shared["score"] = None
        self.answers.add(
            **shared,
            post_id=_plain_id(item.link_id, "t3_"),
            answer_id=_plain_id(item.id, "t1_"),
            url=None,
            by_post_author=bool(item.is_submitter),
            accepted=False,
        )


def _decode(kind: str, line: bytes) -> Any:
    try:
        return _DECODERS[kind].decode(line)
    except UnicodeDecodeError as error:
        raise Lost("not_utf8", "the line is not UTF-8") from error
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except msgspec.DecodeError:
        return _decode_leniently(kind, line)


def _decode_leniently(kind: str, line: bytes) -> Any:
    """Decode what the strict decoder refuses but other programs write: lone surrogates, NaN."""
    try:
        return msgspec.convert(json.loads(line), _TYPES[kind])
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (ValueError, RecursionError) as error:
        raise Lost("not_json", "the line is not JSON") from error


def _invalid(error: msgspec.ValidationError) -> Lost:
    text = str(error)
    if "missing required field" in text:
        return Lost("missing_field", text)
    if "created_utc" in text:
        return Lost("bad_time", text)
    return Lost("not_an_object" if "Expected `object`" in text else "wrong_type", text)


def _state(body: str, meta: _Meta, removed_by: str | None) -> str:
    gone = _GONE_BODY.get(body.strip())
    if gone:
        return gone
    if meta.was_deleted_later or "deleted" in (meta.removal_type, removed_by):
        return "deleted"
    return "removed" if meta.removal_type or removed_by else "live"


def _plain_id(value: str, prefix: str) -> str:
    plain = value.removeprefix(prefix)
    if not _ID.fullmatch(plain):
        raise Lost("bad_id", f"{value!r:.40} is no Reddit id")
    return plain


def _files(path: Path) -> list[Path]:
    """The path itself, or the dump files of a folder in the order of their names."""
    try:
        if not path.is_dir():
            return [path]
        files = sorted(
            file
            for file in path.iterdir()
            if file.is_file() and (file.suffix in _SUFFIXES or (not file.suffix and file.name[:3] in ("RS_", "RC_")))
        )
    except OSError as error:
        raise from_os_error(error, f"reading the folder {path}") or error from error
    if not files:
        raise BadInput(f"The folder {path} holds no dump files.", "Name the RS_* and RC_* files themselves.")
    return files


def _kind(path: Path) -> str:
    """Whether the file holds "post" or "answer", by its first lines. Raises BadInput for any other kind of file."""
    hint = "`import reddit-dump` takes RS_* and RC_* files: one JSON object a line, plain or compressed."
    seen = 0
    for _, line in islice(lines(path, Tally()), _LINES_SNIFFED):
        seen += 1
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict):
            continue
        if "link_id" in record or ("body" in record and "title" not in record):
            return "answer"
        if "answers" in record:
            raise BadInput(
                f"{path} holds threads with their answers, not a Reddit dump.", "Use `import threads` for it."
            )
        if "title" in record and "subreddit" in record:
            return "post"
    if not seen and (compression(path) != "plain" or path.stat().st_size == 0):
        return "post"  # empty, or damaged before its first line: reading it says which
    raise BadInput(f"{path} is not a Reddit dump: its first lines are no submissions or comments.", hint)
