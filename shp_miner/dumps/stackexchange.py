"""Dumps of Stack Exchange sites: a .7z as published, the folder it was unpacked to, or a Posts.xml.

A site is read twice. The first pass collects what must be known before the first post can be handed on: the newest
date in the site's files (when the scores were read), which answers were accepted, the names of those who posted, and
the votes. It keeps 8 bytes for each accepted answer, about 30 for each person who posted, and votes as
stackexchange_votes.py bounds them; the texts go by. The second pass reads the posts alone. Both passes cut
and parse the same rows, so that they agree about what is damaged. An archive is decompressed once: the first pass keeps
its posts for the second (stackexchange_kept.py). See docs/formats.md for the fields read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shp_miner.dumps.compressed import Advance, ignore_progress
from shp_miner.dumps.stackexchange_columns import Columns, Row, Usual
from shp_miner.dumps.stackexchange_frames import PostRows, to_frames
from shp_miner.dumps.stackexchange_kept import KeptPosts
from shp_miner.dumps.stackexchange_known import DECOYS, Known
from shp_miner.dumps.stackexchange_paths import sources_by_site
from shp_miner.dumps.stackexchange_tables import DumpFile, Meter, same, table_rows
from shp_miner.dumps.stackexchange_values import WHOLE, id_attribute, number_attribute, text_of, time_us
from shp_miner.dumps.stackexchange_votes import Counted, Votes
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

_KINDS = {"1": "post", "2": "answer"}

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
    first, second = _plan(sources)
    passes = Counter(source.path for source, _ in first + second)
    meters = {s.path: Meter(s.path.stat().st_size, passes[s.path], advance) for s in sources}
    for unread in meters.keys() - passes.keys():
        tally.drop("file", "not_needed")
        meters[unread].end_pass()
    known = Known(latest_us, tally, Votes() if any("votes" in source.tables for source in sources) else None)
    with ExitStack() as stack:
        kept = {source.path: stack.enter_context(KeptPosts()) for source, _ in second if source.is_slow}
        proven: dict[Path, dict[int, Usual]] = {source.path: {} for source, _ in second}
        seen: set[str] = set()
        for source, tables in first:
            its = (kept.get(source.path), proven.get(source.path)) if "posts" in tables else (None, None)
            # What is wrong with a post is counted in the second pass.
            for table, found in table_rows(source, tables, tally, meters[source.path], same, ("posts",), *its):
                known.learn(source.where(table), table, found)
                seen.add(table)
        if "votes" not in seen and not any("votes" in source.tables for source in sources if source.listed):
            known.votes = None  # a cut archive does not say whether it had any
        known.settle()
        if observed_us is None:
            observed_us = known.newest_us
        collector = _Collector(host, known, observed_us, tally, vote_history)
        for source, tables in second:
            copy = kept.pop(source.path, None)
            its = (copy, proven.pop(source.path))
            with copy or nullcontext():
                meter = meters[source.path]
                for table, rows in table_rows(source, tables, tally, meter, collector.rows_of, (), *its):
                    collector.add(source.where(table), rows)
                    if collector.full:
                        yield collector.take()
    if collector.filled:
        yield collector.take()


_Step = tuple[DumpFile, Sequence[str]]

#: What the first pass reads besides the posts.
_BESIDES = ("users", "votes")


def _plan(sources: Sequence[DumpFile]) -> tuple[list[_Step], list[_Step]]:
    """Which tables to read from which file, in the first and in the second pass.

    All posts come before all users, of whom only those who posted are kept. Where the last file with posts holds them
    before its users, as published archives do, both are read in one go.
    """
    holders = [source for source in sources if "posts" in source.tables]
    second: list[_Step] = [(source, ("posts",)) for source in holders]
    first, rest = list(second), list(sources)
    last = holders[-1]
    if next(iter(last.tables)) == "posts":
        first[-1] = (last, ("posts", *_BESIDES))
        rest.remove(last)
    return first + [(source, _BESIDES) for source in rest if not source.tables.keys().isdisjoint(_BESIDES)], second


class _Collector:
    """Turns rows of posts into observations and counts what is left out."""

    def __init__(self, site: str, known: Known, observed_us: int | None, tally: Tally, vote_history: bool) -> None:
        self.site, self.known, self.observed_us, self.tally = site, known, observed_us, tally
        self.history = known.votes if vote_history else None
        self.posts, self.answers = Rows(POST), Rows(ANSWER)

    @property
    def full(self) -> bool:
        # Questions and answers come in one file: their sum is what fills the memory.
        texts = self.posts.text_bytes + self.answers.text_bytes
        return texts >= TEXT_PER_CHUNK or self.posts.weight + self.answers.weight >= ROWS_PER_CHUNK

    @property
    def filled(self) -> bool:
        return bool(len(self.posts) or len(self.answers))

    def take(self) -> Chunk:
        return Chunk(self.posts.take(), self.answers.take())

    def rows_of(self, columns: Columns) -> PostRows | Sequence[Row]:
        """What `add` takes of usual rows. Any thread may ask for it."""
        if self.history is not None:
            return columns.rows()
        found = to_frames(columns, self.site, self.known, self.observed_us)
        found.posts, found.answers = self.posts.hashed(found.posts), self.answers.hashed(found.answers)
        return found

    def add(self, where: str, found: PostRows | Sequence[Row]) -> None:
        """Take in rows of posts: usual ones as columns, the others one by one."""
        if isinstance(found, PostRows):
            found = self._add_columns(found)
        for (offset, attributes), votes in zip(found, self._votes_of(found), strict=True):
            kind = _KINDS.get(attributes.get("PostTypeId", ""), "line")
            try:
                reason = self._unwanted(kind, attributes)
                if reason:
                    self.tally.drop(kind, reason)
                    continue
                self._keep(kind, attributes, votes)
            except Lost as lost:
                self.tally.lose(kind, lost.reason, Damage(where, offset, lost.what))
            else:
                self.tally.keep(kind)

    def _add_columns(self, found: PostRows) -> list[Row]:
        for kind, rows, frame in (("post", self.posts, found.posts), ("answer", self.answers, found.answers)):
            if frame.height:
                rows.add_hashed(frame)
                self.tally.keep(kind, frame.height)
        for (kind, note), count in found.notes.items():
            self.tally.note(kind, note, count)
        return found.others

    def _unwanted(self, kind: str, attributes: dict[str, str]) -> str | None:
        if kind == "line":
            number_attribute(attributes, "PostTypeId", "wrong_type")
            return "other_post_type"
        decoy = attributes.get("Id") in DECOYS or (kind == "answer" and attributes.get("ParentId") in DECOYS)
        return "decoy" if decoy else None

    def _votes_of(self, found: Sequence[Row]) -> Sequence[Counted | None]:
        """The votes of each row, null without a Votes.xml."""
        if self.known.votes is None:
            return [None] * len(found)
        texts = (attributes.get("Id", "") for _, attributes in found)
        return self.known.votes.counted([int(text) if WHOLE.fullmatch(text) else -1 for text in texts])

    def _keep(self, kind: str, attributes: dict[str, str], votes: Counted | None) -> None:
        item_id = id_attribute(attributes, "Id")
        shared = self._shared(kind, attributes)
        if votes is not None and votes.upvotes - votes.downvotes == shared["score"]:
            shared |= {"upvotes": votes.upvotes, "downvotes": votes.downvotes}
        elif votes is not None:
            self.tally.note(kind, "votes_differ_from_score")
        if kind == "post":
            self.posts.add(**(row := shared | self._post(item_id, attributes)))
        else:
            self.answers.add(**(row := shared | self._answer(item_id, attributes, votes)))
        if self.history is not None and self.observed_us is not None:
            self._add_earlier(kind, item_id, row, self.history, self.observed_us)

    def _post(self, item_id: int, attributes: dict[str, str]) -> dict[str, Any]:
        return {
            "post_id": str(item_id),
            "title": text_of(attributes, "Title"),
            "is_text": True,
            "nsfw": False,
            "upvote_ratio": None,
            "views": number_attribute(attributes, "ViewCount", "bad_count") if attributes.get("ViewCount") else None,
            "url": f"https://{self.site}/questions/{item_id}",
        }

    def _answer(self, item_id: int, attributes: dict[str, str], votes: Counted | None) -> dict[str, Any]:
        accepted = self.known.accepted.index(item_id) is not None
        return {
            "post_id": str(id_attribute(attributes, "ParentId")),
            "answer_id": str(item_id),
            "by_post_author": False,
            "accepted": accepted,
            "accepted_at": votes.accepted_us if votes is not None and accepted else None,
            "url": f"https://{self.site}/a/{item_id}",
        }

    def _add_earlier(self, kind: str, item_id: int, row: dict[str, Any], votes: Votes, observed_us: int) -> None:
        """Add what the scores of a row's item were before, without its text: the dump only knows that of the end."""
        earlier = {**row, "body": "", "body_chars": 0} | ({"title": "", "views": None} if kind == "post" else {})
        for reading in votes.readings(item_id, row["created_at"], observed_us):
            earlier |= {"observed_at": reading.observed_us, "score": reading.score}
            earlier |= {"upvotes": reading.upvotes, "downvotes": reading.downvotes}
            if kind == "post":
                self.posts.add(**earlier)
            else:
                chosen_us = reading.accepted_us if row["accepted"] else None
                self.answers.add(**{**earlier, "accepted": chosen_us is not None, "accepted_at": chosen_us})
            self.tally.keep(f"earlier score of {kind}")

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
