"""Threads of any forum in this project's own layout: JSONL (one thread a line, any compression) or Parquet.

docs/threads.md documents the layout. Every record is checked: an unknown key, a missing key or a value of the wrong
kind loses the record, counted under a reason, and never the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from shp_miner.dumps import arrow, parquet
from shp_miner.dumps.ahead import read_ahead, threads_at_once, worked_ahead
from shp_miner.dumps.compressed import Advance, ignore_progress
from shp_miner.dumps.inputs import chosen_files
from shp_miner.dumps.lines import Lines
from shp_miner.dumps.published import LAYOUTS
from shp_miner.dumps.sections import Section
from shp_miner.dumps.threads_columns import refuse_nan, without_decimals
from shp_miner.dumps.threads_files import FileKind, kind_of
from shp_miner.dumps.threads_layout import (
    ADDRESS_CHARS_MAX,
    ANSWER_KEYS,
    ANSWER_REQUIRED,
    GONE_AUTHORS,
    ID_CHARS_MAX,
    SITE,
    THREAD_KEYS,
    THREAD_REQUIRED,
    Answer,
    Item,
    Thread,
    check_keys,
)
from shp_miner.dumps.threads_lines import batches, decoded, records
from shp_miner.errors import UsageError
from shp_miner.model import ANSWER, NO_TIME_US, POST
from shp_miner.platforms.records import (
    converted_json,
    epoch_us,
    file_alone,
    integer,
    latest_allowed_us,
    unknown_time,
)
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.platforms.sites import site_of
from shp_miner.tally import Damage, Lost, Tally
from shp_miner.text.clean import sound_text, visible_chars

if TYPE_CHECKING:
    import polars as pl

    from shp_miner.dumps.threads_at_once import AtOnce

SOURCE = "threads"


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore_progress,
    utc: bool = False,
    site: str | None = None,
    section: Section | None = None,
) -> Iterator[Chunk]:
    """Read files and folders of threads in the order given, or a section of the only file.

    With `utc`, times without a zone are UTC. `site` is that of rows in a published layout.

    Raises BadInput before anything is yielded if a path is missing, holds something else, or is a Parquet file with
    columns that are not in the layout, and UsageError if `site` is not a host or records with sites of their own are
    given one. Damage inside a file is noted in `tally`.
    """
    if site is not None and not _is_site(site):
        raise UsageError(f"{site!r:.60} is not a host name.", "Name the site like --site forum.example.org.")
    kinds = thread_files(paths, tally, utc=utc)
    own = next((path for path, kind in kinds if not kind.layout), None)
    if site is not None and own is not None:
        raise UsageError(f"Every record of {own} names its site.", "Leave out --site, or import this file by itself.")
    collector = Collector(tally, latest_allowed_us(now), utc=utc, site=site)
    for path, kind in kinds:
        with file_alone(path, tally):
            for _ in collector.added(path, kind, advance, section):
                if collector.full:
                    yield collector.take()
    yield collector.take()


def thread_files(paths: Sequence[Path], tally: Tally, *, utc: bool = False) -> list[tuple[Path, FileKind]]:
    """The files that paths stand for with their kinds, folders replaced by the files of threads in them."""
    return chosen_files(paths, partial(kind_of, utc=utc), tally, holds="files of threads")


class Collector:
    """Turns threads into rows and counts what is left out."""

    def __init__(self, tally: Tally, latest_us: int, *, utc: bool = False, site: str | None = None) -> None:
        self.tally, self.latest_us, self._utc, self._site = tally, latest_us, utc, site
        self._platform = "threads"
        self.posts, self.answers = Rows(POST), Rows(ANSWER)

    @property
    def full(self) -> bool:
        """Whether it is time to take the rows."""
        return self.posts.full or self.answers.full

    def take(self) -> Chunk:
        """The collected rows; the collection is empty afterwards."""
        return Chunk(self.posts.take(), self.answers.take())

    def added(self, path: Path, kind: FileKind, advance: Advance, section: Section | None) -> Iterator[None]:
        """Add the threads of a file, or of a section of it."""
        if not kind.in_batches:
            return self.add_each(path, kind, advance)
        return (self.add_rows if kind.container == "parquet" else self.add_lines)(path, advance, section)

    def add_each(self, path: Path, kind: FileKind, advance: Advance) -> Iterator[None]:
        """Add the threads of an Arrow stream, or of rows in a published layout, one by one."""
        read_records = {"arrow": arrow.records, "parquet": parquet.records, "jsonl": records}[kind.container]
        layout = LAYOUTS.get(kind.layout)
        found = read_records(path, self.tally, advance)
        if layout is not None:
            found = layout.threads(lambda: read_records(path, Tally(), ignore_progress), found, self._site)
        self._platform = "threads" if layout is None else layout.platform
        for place, record in found:
            self.add(record, place)
            yield

    def add_rows(self, path: Path, advance: Advance, section: Section | None = None) -> Iterator[None]:
        """Add the rows of a Parquet file: usual ones some thousand at once, the others one by one."""
        from shp_miner.dumps.threads_table import of_batch  # noqa: PLC0415  (as below)

        def made(part: parquet.Batch | parquet.Record) -> tuple[AtOnce | None, Iterable[parquet.Record]]:
            if not isinstance(part, parquet.Batch):
                return None, [part]
            found = self._hashed(of_batch(part.table, self.latest_us))
            return found, part.records(found.careful)

        for found, alone in worked_ahead(
            made, parquet.parts(path, self.tally, advance, section=section), threads_at_once()
        ):
            if found is not None:
                self._add_frames(found)
            for place, record in alone:
                self.add(record, place)
            yield

    def add_lines(self, path: Path, advance: Advance, section: Section | None = None) -> Iterator[None]:
        """Add the lines of a file of JSON, some thousand at a time: usual ones at once, the others one by one."""
        # Tables take a while to import, and the file has long been decompressing.
        from shp_miner.dumps.threads_usual import UsualLines  # noqa: PLC0415

        blocks, usual = batches(path, self.tally, advance, section), UsualLines(self.latest_us)

        def made(lines: Lines) -> tuple[Lines, AtOnce]:
            return lines, self._hashed(usual.rows(lines))

        for lines, found in worked_ahead(made, read_ahead(blocks, 1), threads_at_once()):
            self._add_frames(found)
            for offset, line in map(lines.at, found.careful):
                self.add(decoded(offset, line, self.tally), Damage(str(path), offset, ""))
            yield

    def _hashed(self, found: AtOnce) -> AtOnce:
        """The rows as they are added. Any thread may ask for it."""
        if found.posts.height:
            found.posts, found.answers = self.posts.hashed(found.posts), self.answers.hashed(found.answers)
        return found

    def _add_frames(self, found: AtOnce) -> None:
        for kind, frame in (("post", found.posts), ("answer", found.answers)):
            if frame.height:
                self._add_hashed(kind, frame)

    def add_frame(self, kind: str, frame: pl.DataFrame) -> None:
        """Add usual rows of posts or of answers."""
        if frame.height:
            self._add_hashed(kind, (self.posts if kind == "post" else self.answers).hashed(frame))

    def _add_hashed(self, kind: str, frame: pl.DataFrame) -> None:
        (self.posts if kind == "post" else self.answers).add_hashed(frame)
        self.tally.keep(kind, frame.height)
        self.tally.note(kind, "score_age_unknown", frame["observed_at"].null_count())

    def add(self, record: Any, place: Damage) -> None:
        """Add a thread, or count what is Lost; a bad head loses the thread, a bad answer only that answer."""
        try:
            if isinstance(record, Lost):
                raise record
            thread = _convert(record, Thread, THREAD_KEYS, THREAD_REQUIRED)
            row = self._post(thread)
            self.posts.add(**row)
        except Lost as lost:
            self.tally.lose("post", lost.reason, replace(place, what=place.what + lost.what))
            answers = record.get("answers") if isinstance(record, dict) else None
            self.tally.drop("answer", "thread_lost", len(answers) if isinstance(answers, list) else 0)
            return
        self.tally.keep("post")
        self._add_answers(thread, row, place)

    def _add_answers(self, thread: Thread, post: Mapping[str, Any], place: Damage) -> None:
        seen: dict[str, dict[str, Any]] = {}
        for n, record in enumerate(thread.answers):
            try:
                row = self._answer(_convert(record, Answer, ANSWER_KEYS, ANSWER_REQUIRED), post)
                first = seen.setdefault(row["answer_id"], row)
                if first is not row and first != row:
                    raise Lost("id_repeated", f"id {row['answer_id']!r:.40} was used before with different content")
            except Lost as lost:
                self.tally.lose("answer", lost.reason, replace(place, what=f"{place.what}answers[{n}]: {lost.what}"))
                continue
            if first is not row:
                self.tally.drop("answer", "repeated_identically")
        for answer_id, row in seen.items():
            try:
                self.answers.add(**row)
            except Lost as lost:
                self.tally.lose(
                    "answer", lost.reason, replace(place, what=f"{place.what}answer {answer_id}: {lost.what}")
                )
            else:
                self.tally.keep("answer")

    def add_answer(self, record: dict[str, Any], heads: Mapping[str, Any], place: Damage) -> None:
        """Add an answer by itself, or count it as lost; `heads` has the site, community and post_id of its thread."""
        try:
            post = {**_heads(**heads), "observed_at": None, "body_format": "markdown", "license": None}
            self.answers.add(**self._answer(_convert(record, Answer, ANSWER_KEYS, ANSWER_REQUIRED), post))
        except Lost as lost:
            self.tally.lose("answer", lost.reason, replace(place, what=place.what + lost.what))
        else:
            self.tally.keep("answer")

    def _post(self, thread: Thread) -> dict[str, Any]:
        ratio = thread.upvote_ratio
        if ratio is not None and not 0 <= ratio <= 1:
            raise Lost("wrong_type", "upvote_ratio is not between 0 and 1")
        row = self._shared(thread, None) | {
            **_heads(thread.site, thread.community, thread.post_id),
            "title": thread.title,
            "body": thread.body or "",
            "is_text": thread.is_text is not False,
            "nsfw": bool(thread.nsfw),
            "upvote_ratio": ratio,
            "views": _count(thread, "views"),
        }
        return self._sounded("post", row)

    def _answer(self, answer: Answer, post: Mapping[str, Any]) -> dict[str, Any]:
        chosen_us = None
        if not unknown_time(answer.accepted_at):
            chosen_us = _time_us(answer.accepted_at, "accepted_at", self.latest_us, utc=self._utc)
        row = self._shared(answer, post) | {
            **{name: post[name] for name in ("site", "community", "post_id")},
            "answer_id": _id(answer.answer_id, "answer_id"),
            "body": answer.body,
            "by_post_author": bool(answer.by_post_author),
            "accepted": chosen_us is not None if answer.accepted is None else answer.accepted,
            "accepted_at": chosen_us,
        }
        return self._sounded("answer", row)

    def _shared(self, item: Item, post: Mapping[str, Any] | None) -> dict[str, Any]:
        """The columns that posts and answers have in common; some of an answer's come from its post."""
        gone = item.author is None or item.author in GONE_AUTHORS
        observed_us = post["observed_at"] if post else None
        if not unknown_time(item.observed_at):
            observed_us = _time_us(item.observed_at, "observed_at", self.latest_us, utc=self._utc)
        return {
            "source": SOURCE,
            "platform": self._platform,
            "created_at": _time_us(item.created_at, "created_at", self.latest_us, utc=self._utc),
            "body_format": item.format or (post["body_format"] if post else "markdown"),
            "author": None if gone or item.author is UNSET else item.author,
            "author_id": None if item.author_id is None else str(item.author_id),
            "author_url": item.author_url,
            "author_deleted": gone,
            "author_role": item.author_role or "member",
            "url": item.url,
            "license": item.license or (post["license"] if post else None),
            "observed_at": observed_us,
            "score": _score(item.score),
            **{name: _count(item, name) for name in ("reads", "upvotes", "downvotes")},
            "state": item.state or "live",
            "edited": bool(item.edited),
            "stickied": bool(item.stickied),
        }

    def _sounded(self, kind: str, row: dict[str, Any]) -> dict[str, Any]:
        """The row with sound text and its length; what is worth knowing of it is noted."""
        repaired = False
        for name, value in row.items():
            if isinstance(value, str):
                row[name], changed = sound_text(value)
                repaired = repaired or changed
        if repaired:
            self.tally.note(kind, "text_repaired")
        if row["observed_at"] is None:
            self.tally.note(kind, "score_age_unknown")
        if row["created_at"] == NO_TIME_US:
            self.tally.note(kind, "time_unknown")
        row["body_chars"] = visible_chars(row["body"], row["body_format"])
        return row


def _is_site(text: str) -> bool:
    return len(text) <= ADDRESS_CHARS_MAX and SITE.fullmatch(text) is not None


def _heads(site: str, community: str, post_id: Any) -> dict[str, str]:
    """The columns by which a thread is known. Raises Lost."""
    if not _is_site(site):
        raise Lost("bad_id", f"site {site!r:.60} is not a host name such as forum.example")
    if not community.strip():
        raise Lost("bad_id", "community is empty")
    # Host names know no letter case; one thread must not become two.
    return {"site": _id(site_of(site), "site"), "community": community, "post_id": _id(post_id, "post_id")}


def _convert(record: Any, kind: type[Any], keys: frozenset[str], required: frozenset[str]) -> Any:
    """The record as `kind`. Raises Lost: not_an_object, unknown_field, missing_field or wrong_type."""
    if not isinstance(record, dict):
        raise Lost("not_an_object", "a JSON object was expected")
    refuse_nan(record, required)
    try:
        return converted_json(without_decimals(record), kind)
    except msgspec.ValidationError as error:
        # A null score is one that the forum hides; any other required key must hold something.
        present = [name for name, value in record.items() if value is not None or name not in required - {"score"}]
        check_keys(present, keys, required)
        raise Lost("wrong_type", str(error)) from error


def _id(value: Any, name: str) -> str:
    """An id as a string. Unlike text an unsound id is not repaired: two ids could become one."""
    if value is None:
        raise Lost("missing_field", f'"{name}" is missing or null')
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Lost("bad_id", f"{name} is neither a string nor a whole number")
    text = str(value)
    if not text or text != text.strip() or not text.isprintable() or len(text) > ID_CHARS_MAX:
        raise Lost("bad_id", f"{name} {text!r:.60} is empty, too long, not printable or has space around it")
    return text


def _score(value: Any) -> int | None:
    if isinstance(value, str):
        raise Lost("bad_score", "score is a string, not a number")
    return None if value is None else integer(value, "score", "bad_score")


def _count(item: Item, name: str) -> int | None:
    """A count of readers, views or votes; null where it is left out."""
    value = getattr(item, name)
    if value is None:
        return None
    if isinstance(value, str):
        raise Lost("bad_count", f"{name} is a string, not a number")
    count = integer(value, name, "bad_count")
    if count < 0:
        raise Lost("bad_count", f"{name} is {count}, and counts begin at 0")
    return count


def _time_us(value: Any, name: str, latest_us: int, *, utc: bool) -> int:
    """Microseconds since 1970 from ISO 8601 with a zone, seconds since 1970, or a datetime."""
    if value is None:
        raise Lost("missing_field", f'"{name}" is missing or null')
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise Lost("bad_time", f"{name} {value!r:.40} is not an ISO 8601 time") from error
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001  (the zone comes next)
    if isinstance(value, datetime):
        if value.tzinfo is None and not utc:
            raise Lost(
                "bad_time",
                f"{name} {value:%Y-%m-%dT%H:%M:%S} has no time zone; if it is UTC, add Z to it or give --utc",
            )
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        value = value.timestamp()
    return epoch_us(value, name, latest_us)
