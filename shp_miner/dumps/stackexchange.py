"""Dumps of Stack Exchange sites: a .7z as published, the folder it was unpacked to, or a Posts.xml.

A site is read twice. The first pass collects what must be known before the first post can be handed on: the newest
date in the site's files (when the scores were read), which answers were accepted, and the names of those who posted.
It keeps 8 bytes for each accepted answer and about 30 for each person who posted, and the votes where their history is
wanted (stackexchange_votes.py bounds them); the texts go by. The second pass reads the posts alone. Both passes take
the same way through the XML parser, so that they agree about what is damaged; in an archive the time goes into
decompressing. See docs/formats.md for the fields read.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from shp_miner.dumps.compressed import Advance, ignore_progress
from shp_miner.dumps.stackexchange_paths import sources_by_site
from shp_miner.dumps.stackexchange_values import WHOLE, id_attribute, number_attribute, text_of, time_us
from shp_miner.dumps.stackexchange_votes import Votes
from shp_miner.dumps.stackexchange_xml import DumpFile, Meter, Row, table_rows
from shp_miner.engine import Step
from shp_miner.errors import BadInput, UsageError
from shp_miner.model import ANSWER, POST
from shp_miner.platforms.records import file_alone, latest_allowed_us
from shp_miner.platforms.rows import ROWS_PER_CHUNK, TEXT_PER_CHUNK, Chunk, Rows
from shp_miner.platforms.stackexchange import COMMUNITY_USER, license_by_date
from shp_miner.tally import Damage, Lost, Tally
from shp_miner.text.clean import visible_chars
from shp_miner.units import to_us

SOURCE = "stackexchange-dump"

# A question and an answer that are planted in every dump.
_DECOYS = frozenset({"1000000001", "1000000010"})

_KINDS = {"1": "post", "2": "answer"}
_DATES = ("CreationDate", "LastActivityDate", "LastEditDate", "LastAccessDate", "ClosedDate", "CommunityOwnedDate")

# Before 1990 there was no such site: a smaller number is a missing value.
_EARLIEST_US = to_us(datetime(1990, 1, 1, tzinfo=UTC))


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore_progress,
    site: str | None = None,
    observed_at: datetime | None = None,
    vote_history: bool = False,
) -> Iterator[Chunk]:
    """Read dumps site by site. Posts are questions (PostTypeId 1), answers PostTypeId 2; other types are dropped.

    `site` is the host, for files whose name does not tell it. `observed_at` says when the scores were read; without
    it that is the newest date found in any of the site's posts, users and votes. Files named together share it.
    With `vote_history` each item also has observations of what its score was some days after it was written
    (`AGES_DAYS`), rebuilt from the site's Votes.xml and without the text.
    `advance` is told the bytes consumed; they add up to `size_bytes(paths, site)`.

    Raises BadInput (not a dump; no votes where their history is wanted) and UsageError (the site is not known; a bad
    `observed_at`) when called, before anything is read. Damage inside a file is noted in `tally`, and the next file is
    read.
    """
    latest_us = latest_allowed_us(now)
    observed_us = None
    if observed_at is not None:
        if observed_at.tzinfo is None:
            raise UsageError("The time at which the scores were read has no time zone.", "Add one: ...Z is UTC.")
        observed_us = to_us(observed_at)
        if not _EARLIEST_US <= observed_us <= latest_us:
            raise UsageError(
                f"The scores cannot have been read at {observed_at.isoformat()}.",
                "Give the day on which the dump was made.",
            )
    sites = sources_by_site(paths, site, tally)
    if vote_history:
        for host, sources in sites.items():
            if not any("votes" in source.tables for source in sources):
                raise BadInput(f"There is no Votes.xml of {host}.", "Add the file, or leave out --vote-history.")
    return _chunks(sites, tally, latest_us, observed_us, advance, vote_history)


def size_bytes(paths: Sequence[Path], site: str | None = None) -> int:
    """Return the bytes that reading `paths` takes in, with files found beside them. Errors as `read`."""
    return sum(source.path.stat().st_size for sources in sources_by_site(paths, site).values() for source in sources)


def _chunks(sites: dict[str, list[DumpFile]], tally: Tally, *how: Any) -> Iterator[Chunk]:
    for host, sources in sites.items():
        with file_alone(host, tally):
            yield from _site_chunks(host, sources, tally, *how)


def _site_chunks(  # noqa: PLR0917 - what `read` was told
    host: str,
    sources: list[DumpFile],
    tally: Tally,
    latest_us: int,
    observed_us: int | None,
    advance: Advance,
    vote_history: bool,
) -> Iterator[Chunk]:
    advance(Step(doing=host))
    first, second = _plan(sources, ("users", "votes") if observed_us is None or vote_history else ("users",))
    passes = Counter(source.path for source, _ in first + second)
    meters = {s.path: Meter(s.path.stat().st_size, passes[s.path], advance) for s in sources}
    for unread in meters.keys() - passes.keys():
        tally.drop("file", "not_needed")
        meters[unread].end_pass()
    known = _Known(latest_us, tally, Votes() if vote_history else None)
    for source, tables in first:
        # What is wrong with a post is counted in the second pass.
        for table, found in table_rows(source, tables, tally, meters[source.path], uncounted=("posts",)):
            known.learn(source.where(table), table, found)
    known.settle()
    collector = _Collector(host, known, known.newest_us if observed_us is None else observed_us, tally)
    for source, tables in second:
        for table, found in table_rows(source, tables, tally, meters[source.path]):
            collector.add(source.where(table), found)
            if collector.full:
                yield collector.take()
    if collector.filled:
        yield collector.take()


_Step = tuple[DumpFile, Sequence[str]]


def _plan(sources: Sequence[DumpFile], besides: Sequence[str]) -> tuple[list[_Step], list[_Step]]:
    """Which tables to read from which file, in the first and in the second pass.

    All posts come before all users, of whom only those who posted are kept. Where the last file with posts holds them
    before its users, as published archives do, both are read in one go.
    """
    holders = [source for source in sources if "posts" in source.tables]
    second: list[_Step] = [(source, ("posts",)) for source in holders]
    first, rest = list(second), list(sources)
    last = holders[-1]
    if next(iter(last.tables)) == "posts":
        first[-1] = (last, ("posts", *besides))
        rest.remove(last)
    return first + [(source, besides) for source in rest if not source.tables.keys().isdisjoint(besides)], second


class _Ids:
    """A set of whole numbers at 8 bytes each: sorted ones, and new ones that wait to be sorted in."""

    _WAITING_MAX = 1 << 20

    def __init__(self) -> None:
        self._sorted, self._waiting = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, number: int) -> None:
        self._waiting.append(number)
        if len(self._waiting) >= self._WAITING_MAX:
            self.settle()

    def settle(self) -> None:
        """Sort the new ones in; only then are they found."""
        merged = np.union1d(np.asarray(self._sorted), np.asarray(self._waiting))
        self._sorted, self._waiting = array("q", merged.astype(np.int64).tobytes()), array("q")

    def index(self, number: int) -> int | None:
        """The place of `number` among all in their order, or None."""
        place = bisect_left(self._sorted, number)
        return place if place < len(self._sorted) and self._sorted[place] == number else None


class _Known:
    """What the first pass learns of a site."""

    def __init__(self, latest_us: int, tally: Tally, votes: Votes | None) -> None:
        self.latest_us, self._tally, self.votes = latest_us, tally, votes
        self.newest_us: int | None = None
        self._newest_text = ""
        self.accepted, self._posters = _Ids(), _Ids()
        # Where each poster's name begins in _names (0 where it is not known); each name ends in NUL, which XML has not.
        self._name_at: array[int] | None = None
        self._names = bytearray(b"\0")

    def learn(self, where: str, table: str, found: Sequence[Row]) -> None:
        """Take in rows of a table."""
        for offset, attributes in found:
            if table == "users":
                self._user(where, offset, attributes)
            elif table == "posts":
                if attributes.get("Id") in _DECOYS:
                    continue
                self._post(attributes)
            elif self.votes is not None:
                self._vote(where, offset, attributes)
            self._date(attributes)

    def settle(self) -> None:
        """Make what was learned ready to be asked for."""
        self.accepted.settle()
        if self.votes is not None:
            self.votes.settle()
        if self._name_at is None:
            self._posters.settle()
            self._name_at = array("q", bytes(8 * len(self._posters)))

    def _vote(self, where: str, offset: int, attributes: dict[str, str]) -> None:
        try:
            if self.votes is not None:
                self.votes.learn(attributes)
        except Lost as lost:
            self._tally.lose("line", lost.reason, Damage(where, offset, lost.what))

    def name(self, user: int) -> str | None:
        """The display name of a user who posted."""
        place = self._posters.index(user)
        begin = self._name_at[place] if place is not None and self._name_at is not None else 0
        return self._names[begin : self._names.index(0, begin)].decode() or None

    def _date(self, attributes: dict[str, str]) -> None:
        for name in _DATES:
            text = attributes.get(name, "")
            # Times as text are in order; only one that may be the newest is worth reading.
            if text > self._newest_text:
                moment_us = time_us(text)
                if moment_us is not None and (self.newest_us or 0) < moment_us <= self.latest_us:
                    self.newest_us, self._newest_text = moment_us, text

    def _post(self, attributes: dict[str, str]) -> None:
        for name, numbers in (("AcceptedAnswerId", self.accepted), ("OwnerUserId", self._posters)):
            text = attributes.get(name, "")
            if WHOLE.fullmatch(text):
                numbers.add(int(text))

    def _user(self, where: str, offset: int, attributes: dict[str, str]) -> None:
        if self._name_at is None:
            self.settle()
        try:
            place = self._posters.index(number_attribute(attributes, "Id", "bad_id"))
        except Lost as lost:
            self._tally.lose("line", lost.reason, Damage(where, offset, lost.what))
            return
        name = attributes.get("DisplayName")
        if place is not None and name and self._name_at is not None:
            self._name_at[place] = len(self._names)
            self._names += name.encode() + b"\0"


class _Collector:
    """Turns rows of posts into observations and counts what is left out."""

    def __init__(self, site: str, known: _Known, observed_us: int | None, tally: Tally) -> None:
        self.site, self.known, self.observed_us, self.tally = site, known, observed_us, tally
        self.posts, self.answers = Rows(POST), Rows(ANSWER)

    @property
    def full(self) -> bool:
        # Questions and answers come in one file: their sum is what fills the memory.
        texts = self.posts.text_bytes + self.answers.text_bytes
        return texts >= TEXT_PER_CHUNK or len(self.posts) + len(self.answers) >= ROWS_PER_CHUNK

    @property
    def filled(self) -> bool:
        return bool(len(self.posts) or len(self.answers))

    def take(self) -> Chunk:
        return Chunk(self.posts.take(), self.answers.take())

    def add(self, where: str, found: Sequence[Row]) -> None:
        """Take in rows of posts."""
        for offset, attributes in found:
            kind = _KINDS.get(attributes.get("PostTypeId", ""), "line")
            try:
                reason = self._unwanted(kind, attributes)
                if reason:
                    self.tally.drop(kind, reason)
                    continue
                self._keep(kind, attributes)
            except Lost as lost:
                self.tally.lose(kind, lost.reason, Damage(where, offset, lost.what))
            else:
                self.tally.keep(kind)

    def _unwanted(self, kind: str, attributes: dict[str, str]) -> str | None:
        if kind == "line":
            number_attribute(attributes, "PostTypeId", "wrong_type")
            return "other_post_type"
        decoy = attributes.get("Id") in _DECOYS or (kind == "answer" and attributes.get("ParentId") in _DECOYS)
        return "decoy" if decoy else None

    def _keep(self, kind: str, attributes: dict[str, str]) -> None:
        item_id = id_attribute(attributes, "Id")
        shared = self._shared(kind, attributes)
        if kind == "post":
            self.posts.add(**(row := shared | self._post(item_id, attributes)))
        else:
            self.answers.add(**(row := shared | self._answer(item_id, attributes)))
        if self.known.votes is not None and self.observed_us is not None:
            self._add_earlier(kind, item_id, row, self.known.votes, self.observed_us)

    def _post(self, item_id: int, attributes: dict[str, str]) -> dict[str, Any]:
        return {
            "post_id": str(item_id),
            "title": text_of(attributes, "Title"),
            "is_text": True,
            "nsfw": False,
            "upvote_ratio": None,
            "url": f"https://{self.site}/questions/{item_id}",
        }

    def _answer(self, item_id: int, attributes: dict[str, str]) -> dict[str, Any]:
        return {
            "post_id": str(id_attribute(attributes, "ParentId")),
            "answer_id": str(item_id),
            "by_post_author": False,
            "accepted": self.known.accepted.index(item_id) is not None,
            "url": f"https://{self.site}/a/{item_id}",
        }

    def _add_earlier(self, kind: str, item_id: int, row: dict[str, Any], votes: Votes, observed_us: int) -> None:
        """Add what the scores of a row's item were before, without its text: the dump only knows that of the end."""
        earlier = {**row, "body": "", "body_chars": 0} | ({"title": ""} if kind == "post" else {})
        for reading in votes.readings(item_id, row["created_at"], observed_us):
            earlier |= {"observed_at": reading.observed_us, "score": reading.score}
            if kind == "post":
                self.posts.add(**earlier)
            else:
                self.answers.add(**{**earlier, "accepted": row["accepted"] and reading.accepted})
            self.tally.keep(f"earlier score of {kind}")
        if votes.total(item_id) != row["score"]:
            self.tally.note(kind, "votes_differ_from_score")

    def _shared(self, kind: str, attributes: dict[str, str]) -> dict[str, Any]:
        """The columns that questions and answers have in common."""
        # No text needs repair: the XML parser lets neither NUL characters nor lone surrogates through.
        body = text_of(attributes, "Body")
        created_us = self._created_us(attributes)
        return {
            "source": SOURCE,
            "platform": "stackexchange",
            "site": self.site,
            "community": self.site,
            "created_at": created_us,
            "body": body,
            "body_format": "html",
            "body_chars": visible_chars(body, "html"),
            **self._author(kind, attributes),
            "license": attributes.get("ContentLicense") or license_by_date(created_us),
            "observed_at": self.observed_us,
            "score": number_attribute(attributes, "Score", "bad_score"),
            "state": "live",
            "edited": "LastEditDate" in attributes,
            "stickied": False,
        }

    def _created_us(self, attributes: dict[str, str]) -> int:
        text = text_of(attributes, "CreationDate")
        created_us = time_us(text)
        if created_us is None or created_us < _EARLIEST_US:
            raise Lost("bad_time", f"CreationDate {text!r:.40} is not a time")
        if created_us > self.known.latest_us:
            raise Lost("time_in_future", f"CreationDate {text!r:.40} is in the future")
        return created_us

    def _author(self, kind: str, attributes: dict[str, str]) -> dict[str, Any]:
        """Who wrote it. Someone without a user id has left the site; only a name may remain."""
        user = number_attribute(attributes, "OwnerUserId", "bad_id") if attributes.get("OwnerUserId") else None
        name = (self.known.name(user) if user is not None else None) or attributes.get("OwnerDisplayName") or None
        if user is not None and name is None:
            self.tally.note(kind, "author_name_unknown")
        return {
            "author": name,
            "author_id": None if user is None else str(user),
            "author_url": None if user is None else f"https://{self.site}/users/{user}",
            "author_deleted": user is None,
            "author_role": "bot" if user == COMMUNITY_USER else "member",
        }
